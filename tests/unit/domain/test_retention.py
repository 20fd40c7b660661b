"""Who needs content, and so what may be deleted: every rule, and that no order of things breaks a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from artdag_common.domain import retention
from artdag_common.domain.retention import (
    ANALYSIS,
    ARRIVAL_NS,
    ARRIVING,
    CLAIMS,
    EFFECT,
    INPUT,
    NAMED,
    OUTPUT,
    PICTURE,
    PLAN,
    PROVENANCE,
    PUBLISHED,
    RECIPE,
    RULES,
    SOURCE,
    STEP,
    UPLOADED,
    WEAK,
    Hold,
    decide_deletion,
    decide_run_deletion,
    decide_sweep,
    is_arriving,
    user,
)

ME, OTHER = Hold(UPLOADED, user("me")), Hold(UPLOADED, user("other"))
DAY = 86_400.0


@pytest.mark.parametrize(
    ("hold", "name"),
    [
        (Hold(PUBLISHED, user("other")), "published"),
        (Hold(INPUT, "run-1"), "input"),
        (Hold(OUTPUT, "run-1"), "output"),
        (Hold(PROVENANCE, "run-1"), "record"),
        (Hold(PLAN, "run-1"), "record"),
        (Hold(ANALYSIS, "run-1"), "record"),
        (Hold(STEP, "run-1"), "in-progress"),
        (Hold(RECIPE, "recipe-1"), "recipe"),
        (Hold(SOURCE, "recipe-1"), "recipe"),
        (Hold(EFFECT, "effect-1"), "effect"),
    ],
)
def test_what_is_needed_is_refused_to_everybody(hold: Hold, name: str) -> None:
    """To who uploaded it, to the operator, and to the one who removes what is old."""
    for verdict in (
        decide_deletion([ME, hold], "me"),
        decide_deletion([hold], "me", operator=True),
        decide_sweep([hold], 1000 * DAY, 0),
    ):
        assert (verdict.action, verdict.rule, verdict.holders) == ("refuse", name, (hold,))
        assert verdict.reason


def test_every_kind_has_its_place() -> None:
    kinds = {value for name, value in vars(retention).items() if name.isupper() and isinstance(value, str)}
    kinds -= {retention.DERIVED, retention.FACTS, retention.OPERATOR, retention.ARRIVES}
    ruled = [kind for _, kinds, _ in RULES for kind in kinds]
    assert len(ruled) == len(set(ruled))
    assert kinds == {*ruled, *CLAIMS, *WEAK}


@pytest.mark.parametrize(
    ("holds", "operator", "action", "rule"),
    [
        ([ME], False, "evict", ""),
        ([ME, Hold(NAMED, user("me")), Hold(PICTURE, "run-1")], False, "evict", ""),
        ([Hold(NAMED, user("me"))], False, "evict", ""),
        ([ME, OTHER], False, "disown", ""),
        ([OTHER], False, "refuse", "not-yours"),
        ([OTHER], True, "refuse", "not-yours"),
        ([ME, Hold(ARRIVING, "upload-1")], False, "disown", ""),
        ([Hold(ARRIVING, "upload-1")], False, "refuse", "arriving"),
        ([OTHER, Hold(ARRIVING, "upload-1")], True, "refuse", "not-yours"),
        ([], False, "refuse", "not-yours"),
        ([], True, "evict", ""),
        ([Hold(PICTURE, "run-1")], True, "evict", ""),
    ],
)
def test_who_may_delete(holds: list[Hold], operator: bool, action: str, rule: str) -> None:
    verdict = decide_deletion(holds, "me", operator)
    assert (verdict.action, verdict.rule) == (action, rule)


def test_the_strongest_rule_is_named() -> None:
    holds = [Hold(OUTPUT, "run-2"), Hold(OUTPUT, "run-1"), Hold(PUBLISHED, user("me")), ME]
    assert decide_deletion(holds, "me").rule == "published"
    assert decide_deletion(holds[:2], "me").holders == (Hold(OUTPUT, "run-1"), Hold(OUTPUT, "run-2"))


@pytest.mark.parametrize(
    ("holds", "days", "action", "rule"),
    [
        ([], 30.0, "evict", ""),
        ([], 29.9, "refuse", "young"),
        ([Hold(PICTURE, "run-1")], 31.0, "evict", ""),
        ([ME], 1000.0, "refuse", "claimed"),
        ([Hold(NAMED, user("me"))], 1000.0, "refuse", "claimed"),
        ([Hold(ARRIVING, "upload-1")], 1000.0, "refuse", "claimed"),
    ],
)
def test_what_is_old_goes(holds: list[Hold], days: float, action: str, rule: str) -> None:
    verdict = decide_sweep(holds, days * DAY, 30 * DAY)
    assert (verdict.action, verdict.rule) == (action, rule)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_only_a_completed_run_is_kept_by_a_publication(status: str) -> None:
    published = Hold(PUBLISHED, user("me"))
    assert decide_run_deletion(status, [Hold(OUTPUT, "run-1")]).action == "evict"
    verdict = decide_run_deletion(status, [Hold(OUTPUT, "run-1"), published])
    assert (verdict.action == "refuse") == (status == "completed")
    assert verdict.holders == ((published,) if status == "completed" else ())


@pytest.mark.parametrize(
    ("stamp", "known", "now", "arriving"),
    [
        (100, 100, 101, False),
        (101, 100, 102, True),
        (101, 100, 101 + ARRIVAL_NS, False),
        (0, 0, 1, False),
        (0, 100, 101, False),
    ],
)
def test_a_file_that_nobody_noted_is_somebody_s_for_a_while(stamp: int, known: int, now: int, arriving: bool) -> None:
    assert is_arriving(stamp, known, now) is arriving


@dataclass
class ARun:
    inputs: frozenset[str]
    output: str
    status: str = "running"


USERS = st.sampled_from(["me", "other"])
CONTENT = st.sampled_from("abcdef")


@dataclass
class World:
    """Content, its holds, and who needs it, kept twice: as holds, and as what they stand for."""

    present: set[str] = field(default_factory=set)
    holds: set[tuple[str, Hold]] = field(default_factory=set)
    runs: dict[str, ARun] = field(default_factory=dict)
    published: set[tuple[str, str]] = field(default_factory=set)
    claimed: set[tuple[str, str]] = field(default_factory=set)

    def of(self, cid: str) -> list[Hold]:
        return [hold for held, hold in self.holds if held == cid]

    def let_go(self, holder: str, cid: str = "", kind: str = "") -> None:
        self.holds = {
            (held, hold)
            for held, hold in self.holds
            if hold.holder != holder or (cid and held != cid) or (kind and hold.kind != kind)
        }


class Deleting(RuleBasedStateMachine):
    """People upload, render, publish, delete, and time passes, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(cid=CONTENT, by=USERS)
    def upload(self, cid: str, by: str) -> None:
        self.world.present.add(cid)
        self.world.claimed.add((by, cid))
        self.world.holds.add((cid, Hold(UPLOADED, user(by))))

    @rule(inputs=st.frozensets(CONTENT, min_size=1, max_size=2), output=CONTENT)
    def start(self, inputs: frozenset[str], output: str) -> None:
        if inputs <= self.world.present:
            run_id = f"run-{len(self.world.runs)}"
            self.world.runs[run_id] = ARun(inputs, output)
            self.world.holds |= {(cid, Hold(INPUT, run_id)) for cid in inputs}

    @rule(data=st.data(), status=st.sampled_from(["completed", "failed"]))
    def end(self, data: st.DataObject, status: str) -> None:
        going = sorted(key for key, run in self.world.runs.items() if run.status == "running")
        if going:
            key = data.draw(st.sampled_from(going))
            run = self.world.runs[key]
            run.status = status
            if status == "completed":
                self.world.present.add(run.output)
                self.world.holds.add((run.output, Hold(OUTPUT, key)))

    @rule(cid=CONTENT, by=USERS)
    def publish(self, cid: str, by: str) -> None:
        if cid in self.world.present:
            self.world.published.add((by, cid))
            self.world.holds.add((cid, Hold(PUBLISHED, user(by))))

    @rule(cid=CONTENT, by=USERS, operator=st.booleans())
    def delete(self, cid: str, by: str, operator: bool) -> None:
        verdict = decide_deletion(self.world.of(cid), by, operator)
        if verdict.action == "disown":
            self.world.claimed.discard((by, cid))
            self.world.let_go(user(by), cid, UPLOADED)
        elif verdict.action == "evict":
            self.evict(cid)

    @rule(cid=CONTENT, days=st.floats(0, 100))
    def sweep(self, cid: str, days: float) -> None:
        if decide_sweep(self.world.of(cid), days * DAY, 30 * DAY).action == "evict":
            assert not any(cid == claimed for _, claimed in self.world.claimed), "a user's own never goes by itself"
            self.evict(cid)

    @rule(data=st.data())
    def delete_run(self, data: st.DataObject) -> None:
        over = sorted(key for key, run in self.world.runs.items() if run.status != "running")
        if over:
            key = data.draw(st.sampled_from(over))
            run = self.world.runs[key]
            output = run.output if run.status == "completed" else ""
            if decide_run_deletion(run.status, self.world.of(output)).action == "evict":
                assert run.status == "failed" or not any(output == cid for _, cid in self.world.published)
                del self.world.runs[key]
                self.world.let_go(key)

    def evict(self, cid: str) -> None:
        self.world.present.discard(cid)
        self.world.holds = {(held, hold) for held, hold in self.world.holds if held != cid}
        self.world.claimed = {(by, claimed) for by, claimed in self.world.claimed if claimed != cid}

    @invariant()
    def nothing_that_is_needed_is_missing(self) -> None:
        for run in self.world.runs.values():
            assert run.inputs <= self.world.present
            assert run.status != "completed" or run.output in self.world.present
        assert {cid for _, cid in self.world.published} <= self.world.present

    @invariant()
    def nobody_loses_what_is_theirs(self) -> None:
        assert {cid for _, cid in self.world.claimed} <= self.world.present


TestDeleting = Deleting.TestCase
TestDeleting.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
