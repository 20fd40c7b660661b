"""Record golden histories: ``PYTHONPATH=.:libs python tests/golden/history/record.py``.

Writes those that are not there. One that is there is never written again: it is what was stored then. A new type of
event, or an old one with a new field, gets a new history under a new name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from artdag_common.domain.access import Token
from artdag_common.domain.aggregate import Aggregate
from artdag_common.domain.content import Object, Publication, Words
from artdag_common.domain.copy import Copy
from artdag_common.domain.effect import Effect
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import AnalysisResult, InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.domain.storage import Storage
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
    run.take_failure(SYNC.cache_id, 2, "step-input", "the video ends before its first beat", next(clock))
    return run


def run_cancelled(clock: Iterator[datetime]) -> Run:
    """The owner stopped it."""
    run = a_run(clock)
    run.cancel("changed my mind", next(clock))
    return run


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
    recipe.delete(next(clock))
    recipe.register("other", next(clock))
    return recipe


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
    content.publish("owner", Publication("Cat", "A cat.", RUN, cid("r"), cid("w")), next(clock))
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


HISTORIES: tuple[Callable[[Iterator[datetime]], Aggregate], ...] = (
    run_completed,
    run_from_cache,
    run_failed,
    run_cancelled,
    run_delivered,
    step_cancelled,
    step_completed,
    step_failed,
    recipe_restored,
    effect_registered,
    object_named,
    object_evicted,
    object_published,
    storage_purged,
    copy_removed,
    token_revoked,
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
