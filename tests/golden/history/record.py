"""Record golden histories: ``PYTHONPATH=.:libs python tests/golden/history/record.py``.

Writes those that are not there. One that is there is never written again: it is what was stored then. A new type of
event, or an old one with a new field, gets a new history under a new name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from artdag_common.domain.access import Token, User
from artdag_common.domain.aggregate import Aggregate
from artdag_common.domain.audit import Audit, Refusal
from artdag_common.domain.content import Object, Publication, Words
from artdag_common.domain.copy import Copy
from artdag_common.domain.effect import Effect
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import AnalysisResult, InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.domain.storage import Storage
from artdag_common.domain.webhook import Notice, Webhook
from tests.golden.history.histories import FOLDER, state_of, stored

RUN = "0190b5f2c3d47e8f9a0b1c2d3e4f5a6b"


def cid(letter: str) -> str:
    """Return a name in the shape of a CID."""
    return "bafybei" + letter * 52


def ticks() -> Iterator[datetime]:
    """Yield one moment after the other, microseconds and all."""
    now = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
    while True:
        yield now
        now += timedelta(milliseconds=1500, microseconds=1)


def a_step(node: str, kind: str, inputs: tuple[int, ...], level: int, output_cid: str = "") -> PlannedStep:
    """Return a planned step; its cache id is 64 times the first letter's code."""
    cache_id = f"{ord(node[0]):02x}" * 32
    config = '{"features":["beats"]}' if kind == "ANALYZE" else '{"mode":"stretch"}' if kind == "BEAT_SYNC" else "{}"
    return PlannedStep(node, kind, cache_id, config, inputs, f"beat-sync.{node}.{kind.lower()}", level, output_cid)


SOURCES = (a_step("video", "SOURCE", (), 0, cid("v")), a_step("audio", "SOURCE", (), 0, cid("a")))
BEATS = a_step("beats", "ANALYZE", (1,), 1)
SYNC = a_step("sync", "BEAT_SYNC", (0, 2, 1), 2)


def a_run(clock: Iterator[datetime], *, hold: bool = False) -> Run:
    """Return a run that has analysed its input and is planned."""
    inputs = (InputBinding("video", (cid("v"),)), InputBinding("audio", (cid("a"),)))
    run = Run.create(
        Run.Requested,
        RUN,
        next(clock),
        recipe_cid=cid("r"),
        recipe_name="beat-sync",
        owner="owner",
        inputs=inputs,
        output_name="Tänze.mp4",
        hold=hold,
    )
    run.plan_steps([*SOURCES, BEATS], next(clock))
    run.schedule(next(clock), {BEATS.cache_id: 2})
    run.take({BEATS.cache_id: cid("b")}, next(clock), {})
    run.record(Run.InputsAnalyzed, next(clock), analyses=(AnalysisResult("beats", cid("a"), cid("b")),))
    run.plan_steps([SYNC], next(clock))
    run.complete_plan(cid("p"), "5e" * 32, 3, next(clock))
    return run


def run_completed(clock: Iterator[datetime]) -> Run:
    """Held after planning, released, rendered, deleted."""
    run = a_run(clock, hold=True)
    run.release(next(clock))
    run.schedule(next(clock), {})
    run.take({SYNC.cache_id: cid("o")}, next(clock), {})
    run.complete(cid("w"), next(clock))
    run.delete(next(clock))
    return run


def run_from_cache(clock: Iterator[datetime]) -> Run:
    """Everything was there already."""
    run = Run.create(
        Run.Requested,
        RUN,
        next(clock),
        recipe_cid=cid("r"),
        recipe_name="dog",
        owner="owner",
        inputs=(),
        output_name="",
        hold=False,
    )
    run.plan_steps([replace(s, output_cid=s.output_cid or cid("c")) for s in (*SOURCES, BEATS, SYNC)], next(clock))
    run.complete_plan(cid("p"), "5e" * 32, 3, next(clock))
    run.complete(cid("w"), next(clock))
    return run


def run_failed(clock: Iterator[datetime]) -> Run:
    """A step failed for good."""
    run = a_run(clock)
    run.schedule(next(clock), {})
    run.take_failures({SYNC.cache_id: (2, "step-input", "the video ends before its first beat")}, next(clock))
    return run


def run_cancelled(clock: Iterator[datetime]) -> Run:
    """The owner stopped it."""
    run = a_run(clock)
    run.cancel("changed my mind", next(clock))
    return run


def run_steered(clock: Iterator[datetime]) -> Run:
    """A repetition with a node to compute again, urgency and limits; paused twice, went on without what failed."""
    run = Run.create(
        Run.Requested,
        RUN,
        next(clock),
        recipe_cid=cid("r"),
        recipe_name="beat-sync",
        owner="owner",
        inputs=(),
        output_name="",
        hold=False,
        priority="batch",
        on_failure="continue",
        forced=("sync",),
        rerun_of="0190b5f2c3d47e8f9a0b1c2d3e4f5a6c",
        deadline_us=1_795_320_000_000_000,
        wait_timeout_ms=60_000,
        step_timeout_ms=3_600_000,
    )
    run.pause(next(clock), "owner")
    run.resume(next(clock), "owner")
    run.plan_steps([*SOURCES, BEATS, replace(SYNC, forced=True), a_step("lone", "NOOP", (0,), 1)], next(clock))
    run.complete_plan(cid("p"), "5e" * 32, 3, next(clock))
    run.schedule(next(clock), {BEATS.cache_id: 2})
    run.pause(next(clock))
    run.take_failures({BEATS.cache_id: (4, "step-timeout", "it took longer than 3600 s")}, next(clock))
    run.resume(next(clock))
    run.cancel_step(4, "", next(clock))
    run.conclude_failure(next(clock))
    return run


def step_retried(clock: Iterator[datetime]) -> Step:
    """A provider was busy, the memory too small; then it failed for good, and says what kind of failure that was."""
    step = Step.begin(SYNC.cache_id, "host-1", SYNC.type, SYNC.label, next(clock))
    step.fail_attempt("provider-busy", "429 from the bucket", next(clock), retry_after=2.5)
    step.start("host-2", SYNC.type, SYNC.label, next(clock))
    step.fail_attempt("step-out-of-memory", "it needed more than 2 GB", next(clock))
    return step


def step_completed(clock: Iterator[datetime]) -> Step:
    """The first attempt was lost with its executor, the second gave the output."""
    step = Step.begin(SYNC.cache_id, "host-1", SYNC.type, SYNC.label, next(clock))
    step.start("host-2", SYNC.type, SYNC.label, next(clock))
    step.complete(cid("o"), 1_234_567, "video/mp4", 6789, next(clock))
    return step


def run_delivered(clock: Iterator[datetime]) -> Run:
    """The plan says whose output people get."""
    run = a_run(clock)
    run.plan_steps([replace(SYNC, deliver=True)], next(clock))
    return run


def step_cancelled(clock: Iterator[datetime]) -> Step:
    """Nobody waited any more; later somebody asked again."""
    step = Step.begin(SYNC.cache_id, "host-1", SYNC.type, SYNC.label, next(clock))
    step.cancel(next(clock))
    step.start("host-2", SYNC.type, SYNC.label, next(clock))
    return step


def step_failed(clock: Iterator[datetime]) -> Step:
    """Trying again would not help."""
    step = Step.begin(BEATS.cache_id, "host-1", BEATS.type, BEATS.label, next(clock))
    step.fail("analysis", "no pulse in 1.5 s of silence", next(clock))
    return step


def recipe_restored(clock: Iterator[datetime]) -> Recipe:
    """Registered, deleted, registered again."""
    recipe = Recipe.create(
        Recipe.Registered,
        cid("r"),
        next(clock),
        name="beat-sync",
        recipe_version="1.0",
        description="Synchronize video to audio beats",
        owner="owner",
        source_cid=cid("y"),
    )
    recipe.delete("owner", next(clock))
    recipe.register("other", cid("y"), next(clock))
    return recipe


def recipe_shared(clock: Iterator[datetime]) -> Recipe:
    """Registered by two in words of their own, deleted by one and then by the other, registered again."""
    recipe = Recipe.create(
        Recipe.Registered,
        cid("r"),
        next(clock),
        name="beat-sync",
        recipe_version="1.0",
        description="",
        owner="owner",
        source_cid=cid("y"),
    )
    recipe.register("u-abc", cid("z"), next(clock))
    recipe.delete("owner", next(clock))
    recipe.delete("u-abc", next(clock))
    recipe.register("u-def", cid("x"), next(clock))
    return recipe


def effect_shared(clock: Iterator[datetime]) -> Effect:
    """Uploaded by two, given up by both, uploaded by one of them again."""
    effect = effect_registered(clock)
    effect.claim("u-abc", next(clock))
    effect.disown("owner", next(clock))
    effect.disown("u-abc", next(clock))
    effect.claim("owner", next(clock))
    return effect


def effect_registered(clock: Iterator[datetime]) -> Effect:
    """Uploaded; nothing else happens to an effect."""
    return Effect.create(
        Effect.Registered,
        cid("e"),
        next(clock),
        name="glow",
        effect_version="1.0.0",
        author="Ann",
        description="Läßt helle Stellen leuchten.",
        kind="frame",
        owner="owner",
    )


def object_named(clock: Iterator[datetime]) -> Object:
    """Uploaded, then named by two owners."""
    content = Object.create(
        Object.Stored, cid("v"), next(clock), size_bytes=2**40, media_type="video/mp4", origin="upload"
    )
    content.name("owner", "cat", next(clock))
    content.name("other", "Kätzchen", next(clock))
    return content


def object_published(clock: Iterator[datetime]) -> Object:
    """Named and described, renamed by taking the name away, published by one owner."""
    content = Object.create(Object.Stored, cid("o"), next(clock), size_bytes=1, media_type="video/mp4", origin="step")
    content.describe("owner", Words("cat", "Eine Katze.", ("animal", "näher")), next(clock))
    content.describe("owner", Words(name=""), next(clock))
    content.publish("owner", Publication("Cat", "A cat.", RUN, cid("r"), cid("w")), ("", ""), False, next(clock))
    return content


def object_unpublished(clock: Iterator[datetime]) -> Object:
    """Published, under other words, and no more; the registry took two of it, refused one, and then took that too."""
    content = Object.create(Object.Stored, cid("o"), next(clock), size_bytes=1, media_type="video/mp4", origin="step")
    ids = [f"6f0c7d0e-5a0b-5d0b-9a59-00000000000{number}" for number in range(4)]
    content.publish("u-abc", Publication("Cat", "A cat.", RUN, cid("r"), cid("w")), (ids[0], ids[1]), True, next(clock))
    content.settle(ids[0], True, "https://l2.example/assets/1", 2, next(clock))
    content.publish("u-abc", Publication("Katze", ""), (ids[1], ids[2]), True, next(clock))
    content.settle(ids[1], True, "", 1, next(clock))
    content.settle(ids[2], False, "422: no such person", 1, next(clock))
    content.settle(ids[2], True, "https://l2.example/assets/2", 0, next(clock))
    content.unpublish("u-abc", ids[3], next(clock))
    return content


def object_evicted(clock: Iterator[datetime]) -> Object:
    """Uploaded by two, deleted by one and then by the other, computed again by a step."""
    content = Object.create(
        Object.Stored, cid("v"), next(clock), size_bytes=2**40, media_type="video/mp4", origin="upload"
    )
    for owner in ("owner", "other"):
        content.claim(owner, next(clock))
        content.name(owner, "Kätzchen", next(clock))
    content.disown("owner", next(clock))
    content.evict("other", "deleted", next(clock))
    content.restore("video/mp4", "step", next(clock))
    return content


STORAGE = "2b1f6f0e-5d0c-5f43-9c86-0f6a3a6f7a10"


def storage_purged(clock: Iterator[datetime]) -> Storage:
    """Added, edited, switched, tested, given up and emptied."""
    storage = Storage.create(
        Storage.Added,
        STORAGE,
        next(clock),
        owner="owner",
        kind="ipfs",
        name="Knoten",
        settings='{"endpoint":"https://ipfs.example.org"}',
        secrets=("token",),
        capacity_bytes=0,
    )
    storage.edit("Knoten", '{"endpoint":"https://ipfs.example.com"}', (), ("token",), 2**40, next(clock))
    storage.switch(False, next(clock))
    storage.switch(True, next(clock))
    storage.check("service-unavailable", "it does not answer", next(clock))
    storage.check("", "", next(clock))
    storage.remove(True, next(clock))
    storage.end_purge(1, next(clock))
    return storage


def copy_removed(clock: Iterator[datetime]) -> Copy:
    """Tried twice, failed, asked for again, made, removed."""
    copy = Copy.request(STORAGE, cid("o"), "owner", next(clock))
    copy.fail("service-unavailable", "it does not answer", True, next(clock))
    copy.fail("storage-refused", "the bucket is gone", False, next(clock))
    copy.ask_again(next(clock))
    copy.make(f"s3://bucket/oo/{cid('o')}", 2**40, next(clock))
    copy.remove(next(clock))
    return copy


def token_revoked(clock: Iterator[datetime]) -> Token:
    """Attached, then revoked."""
    token = Token.create(Token.Attached, "ab" * 32, next(clock), user="owner")
    token.revoke(next(clock))
    return token


def token_refused(clock: Iterator[datetime]) -> Token:
    """Never attached here; L2 revoked it."""
    return Token.create(Token.Refused, "cd" * 32, next(clock), by="l2", reason="revoked at L2")


def token_expiring(clock: Iterator[datetime]) -> Token:
    """Attached with an end and a generation, then given back."""
    token = Token.create(
        Token.Attached,
        "ef" * 32,
        next(clock),
        user="u-abcdefghijklmnopqrstuvwxyz",
        generation=2,
        expires_at=1_798_000_000,
        kind="device",
    )
    token.revoke(next(clock), "u-abcdefghijklmnopqrstuvwxyz", "signed out")
    return token


def user_revoked(clock: Iterator[datetime]) -> User:
    """Joined, and signed out everywhere, twice."""
    user = User.join("u-abcdefghijklmnopqrstuvwxyz", next(clock))
    user.revoke_tokens(next(clock), "l2", "signed out at L2")
    user.revoke_tokens(next(clock), "u-abcdefghijklmnopqrstuvwxyz", "signed out everywhere")
    return user


def audit_refused(clock: Iterator[datetime]) -> Audit:
    """Two gateways handed over what they had refused; of the second's, some were too many to be told apart."""
    told = Refusal("token-revoked", "DELETE /runs/{run_id}", "u-abc", "0123456789abcdef", 3, 1795320000, 1795320001)
    audit = Audit.begin("2026-11-21T12", [told, Refusal("foreign-origin", "", "", "f" * 16, 1, 1, 1)], next(clock))
    audit.note([told, Refusal("hidden", "*", "", "", 10_000, 1795320000000, 1795320060000)], next(clock))
    return audit


@dataclass(frozen=True)
class ALetter:
    """A dead letter, as far as the trail tells of it."""

    id: int
    service: str
    name: str
    subject: str


def audit_letters(clock: Iterator[datetime]) -> Audit:
    """An hour that begins with a dead letter that was sent again; a second one was dropped, then somebody refused."""
    hour = "2026-11-21T12"
    first = ALetter(7, "planner", "StartRun", f"cmd.planner.StartRun.{RUN}")
    audit = Audit.settle_letter(None, hour, first, "owner", None, next(clock))
    second = ALetter(9, "executor", "ExecuteSteps", "work.cpu." + "ab" * 32)
    Audit.settle_letter(audit, hour, second, "owner", "an older executor's, täglich", next(clock))
    audit.note([Refusal("unauthenticated", "POST /runs", "", "f" * 16, 1, 1795320000000, 1795320000000)], next(clock))
    return audit


def audit_dropped(clock: Iterator[datetime]) -> Audit:
    """An hour that begins with a dead letter that was dropped."""
    return Audit.settle_letter(None, "2026-11-21T13", ALetter(1, "cache", "Notice", ""), "owner", "old", next(clock))


def user_erased(clock: Iterator[datetime]) -> User:
    """Joined, then erased by the operator, which takes every token."""
    user = User.join("u-abcdefghijklmnopqrstuvwxyz", next(clock))
    user.erase(next(clock), "owner")
    return user


def run_deleted_by(clock: Iterator[datetime]) -> Run:
    """Stopped and deleted, by whom the events say."""
    run = a_run(clock)
    run.cancel("its owner was erased", next(clock), "owner")
    run.delete(next(clock), "owner")
    return run


def object_erased(clock: Iterator[datetime]) -> Object:
    """Uploaded by two, published by one; the operator erased both of them, one after the other."""
    content = Object.create(Object.Stored, cid("v"), next(clock), size_bytes=1, media_type="video/mp4", origin="upload")
    for owner in ("u-abc", "u-def"):
        content.claim(owner, next(clock))
    content.publish("u-abc", Publication("Cat", ""), ("activity-1", "activity-2"), False, next(clock))
    content.unpublish("u-abc", "activity-3", next(clock), "owner")
    content.disown("u-abc", next(clock), "owner")
    content.evict("owner", "erased", next(clock), "u-def")
    return content


def recipe_erased(clock: Iterator[datetime]) -> Recipe:
    """On two lists; the operator erased those who had it, one after the other."""
    recipe = Recipe.create(
        Recipe.Registered,
        cid("r"),
        next(clock),
        name="dog",
        recipe_version="1.0",
        description="",
        owner="u-abc",
        source_cid=cid("y"),
    )
    recipe.register("u-def", cid("z"), next(clock))
    recipe.delete("u-abc", next(clock), "owner")
    recipe.delete("u-def", next(clock), "owner")
    return recipe


def effect_erased(clock: Iterator[datetime]) -> Effect:
    """The operator erased the one who had it."""
    effect = Effect.create(
        Effect.Registered,
        cid("e"),
        next(clock),
        name="glow",
        effect_version="1.0.0",
        author="",
        description="",
        kind="frame",
        owner="u-abc",
    )
    effect.disown("u-abc", next(clock), "owner")
    return effect


def storage_removed_by(clock: Iterator[datetime]) -> Storage:
    """The operator removed it, since its owner was erased."""
    storage = Storage.create(
        Storage.Added,
        STORAGE,
        next(clock),
        owner="u-abc",
        kind="ipfs",
        name="Knoten",
        settings='{"endpoint":"https://ipfs.example.org"}',
        secrets=("token",),
        capacity_bytes=0,
    )
    storage.remove(False, next(clock), "owner")
    return storage


def webhook_removed(clock: Iterator[datetime]) -> Webhook:
    """Edited, given up by the server, enabled again, removed by the operator who erased its owner."""
    told = ("run.completed", "run.failed", "run.cancelled")
    webhook = Webhook.create(
        Webhook.Added, STORAGE, next(clock), owner="u-abc", url="https://example.org/täglich", events=told
    )
    webhook.edit("https://example.org/hook", ("run.failed",), False, next(clock))
    webhook.edit("https://example.org/hook", ("run.failed",), True, next(clock))
    webhook.switch(False, next(clock), "it answers 410")
    webhook.switch(True, next(clock))
    webhook.remove(next(clock), "owner")
    return webhook


def notice_repeated(clock: Iterator[datetime]) -> Notice:
    """Given up, sent again, taken."""
    run = run_failed(ticks())
    (end,) = [event for event in run.pending_events if isinstance(event, Run.Failed)]
    notice = Notice.of_end(STORAGE, end, next(clock))
    notice.give_up(40, 503, "it answers 503", next(clock))
    notice.repeat(next(clock))
    notice.deliver(1, 204, next(clock))
    return notice


HISTORIES: tuple[Callable[[Iterator[datetime]], Aggregate], ...] = (
    run_completed,
    run_from_cache,
    run_failed,
    run_cancelled,
    run_steered,
    run_delivered,
    step_cancelled,
    step_completed,
    step_failed,
    step_retried,
    recipe_restored,
    recipe_shared,
    effect_registered,
    effect_shared,
    object_named,
    object_evicted,
    object_published,
    object_unpublished,
    storage_purged,
    copy_removed,
    token_revoked,
    token_refused,
    token_expiring,
    user_revoked,
    audit_refused,
    audit_letters,
    audit_dropped,
    user_erased,
    run_deleted_by,
    object_erased,
    recipe_erased,
    effect_erased,
    storage_removed_by,
    webhook_removed,
    notice_repeated,
)


def main() -> None:
    """Write the histories that are not there."""
    for make in HISTORIES:
        path = FOLDER / f"{make.__name__}.json"
        if not path.exists():
            aggregate = make(ticks())
            document = {"stream": aggregate.id, "events": stored(aggregate), "state": state_of(aggregate)}
            path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
