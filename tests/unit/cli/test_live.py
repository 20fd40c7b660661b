"""The live view of a run, on a terminal and elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console

from artdag_cli.cache_import import bar
from artdag_cli.client import ServerEvent
from artdag_cli.live import SHOWN, RunView


def planned(*steps: dict[str, Any]) -> ServerEvent:
    """The event that tells the steps."""
    return ServerEvent(2, "RunStepsPlanned", {"data": {"steps": list(steps)}})


def step(label: str, cache_id: str, kind: str = "EFFECT", output_cid: str = "") -> dict[str, Any]:
    """A step of a plan."""
    return {"label": label, "cache_id": cache_id, "type": kind, "output_cid": output_cid}


def of_step(kind: str, cache_id: str) -> ServerEvent:
    """An event of a step's own stream."""
    return ServerEvent(5, kind, {"subject": f"step-{cache_id}", "data": {"attempt": 1}})


def of_run(kind: str, **data: Any) -> ServerEvent:
    """An event of the run's stream."""
    return ServerEvent(6, kind, {"subject": "run-1", "data": data})


STORY = [
    of_run("RunRequested"),
    planned(step("cat", "c0", "SOURCE", "bafy0"), step("dog", "c1"), step("small", "c2", "RESIZE", "bafy1")),
    of_run("RunStepsScheduled", steps=[{"step": 1}]),
    of_step("StepStarted", "c1"),
    ServerEvent(0, "progress", {"step": 1, "done": 60, "total": 120}),
    of_step("StepCompleted", "c1"),
    of_run("RunStepsSatisfied", steps=[{"step": 1}]),
    of_run("RunCompleted", output_cid="bafy2", computed=1, cached=1),
]


def told(events: Iterable[ServerEvent], *, terminal: bool = False, quiet: bool = False) -> tuple[RunView, str]:
    """Follow events; return the view and what stands on the screen."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100, color_system=None)
    with RunView("dog, first time", console, quiet) as view:
        view.follow(events)
    return view, screen.getvalue()


HOSTILE = "a[/b]\x1b[2J[red]"
SHOWN_AS = "a[/b]?[2J[red]"


@pytest.mark.parametrize("terminal", [True, False])
def test_names_of_others_are_text_and_nothing_else(terminal: bool) -> None:
    screen, saving = io.StringIO(), io.StringIO()
    with RunView(HOSTILE, Console(file=screen, force_terminal=terminal, width=100, color_system=None)) as view:
        view.take(planned(step(HOSTILE, "c1")))
        view.take(of_run("RunStepsFailed", steps=[{"step": 0, "reason": HOSTILE}]))
    with bar(HOSTILE, 10, Console(file=saving, force_terminal=terminal, width=100, color_system=None), False) as told:
        told(5)
    assert screen.getvalue().count(SHOWN_AS) > 1, "the title and the step"
    assert (SHOWN_AS in saving.getvalue()) == terminal
    assert "\x1b[2J" not in screen.getvalue() + saving.getvalue()


def test_without_a_terminal_each_end_of_a_step_is_a_line() -> None:
    view, text = told(STORY)
    assert text.splitlines() == ["dog, first time", "  cat: cached", "  small: cached", "  dog: completed"]
    assert view.outcome == {"event": "RunCompleted", "output_cid": "bafy2", "computed": 1, "cached": 1}


def test_on_a_terminal_each_step_has_a_bar() -> None:
    view, text = told(STORY, terminal=True)
    last = text.split("dog, first time")[-1]
    assert "60/120 frames" in last
    assert "done" in last
    assert "cached" in last
    assert "cat" not in last, "sources are no work"
    assert view.outcome["event"] == "RunCompleted"


def test_quiet_says_nothing_and_knows_the_outcome() -> None:
    for terminal in (True, False):
        view, text = told(STORY, terminal=terminal, quiet=True)
        assert text == ""
        assert view.outcome["event"] == "RunCompleted"


@pytest.mark.parametrize("kind", ["RunFailed", "RunCancelled"])
def test_other_ends_are_outcomes_with_their_reason(kind: str) -> None:
    events = [*STORY[:4], of_step("StepFailed", "c1"), of_run(kind, reason="no video")]
    for terminal in (True, False):
        view, text = told(events, terminal=terminal)
        assert view.outcome == {"event": kind, "reason": "no video"}
        assert "failed" in text


def test_attempts_that_fail_wait_for_the_next() -> None:
    failed = ServerEvent(
        5, "StepAttemptFailed", {"subject": "step-c1", "data": {"reason": "it is busy", "retry_ms": 3000}}
    )
    events = [*STORY[:4], failed]
    assert told(events)[1].splitlines()[-1] == "  dog: waiting (it is busy; again in 3 s)"
    assert "again in 3 s" in told(events, terminal=True)[1]
    assert told([*events, *STORY[3:]])[1].splitlines()[-1] == "  dog: completed"


def test_a_pause_says_how_to_go_on() -> None:
    lines = told([*STORY[:3], of_run("RunPaused", by="owner"), of_run("RunResumed", by="owner")])[1].splitlines()
    assert lines[-2:] == ["  paused; artdag resume RUN goes on with it", "  resumed"]


def test_what_needs_a_lost_step_is_skipped_and_the_rest_goes_on() -> None:
    steps = [step("left", "c1"), step("right", "c2"), step("after", "c3"), step("last", "c4")]
    for each, inputs in zip(steps, ([], [], [0], [2, 1]), strict=True):
        each["inputs"] = inputs
    events = [
        planned(*steps),
        of_run("RunStepsScheduled", steps=[{"step": 0}, {"step": 1}]),
        of_run("RunStepsFailed", steps=[{"step": 0, "reason": "no sound"}]),
        of_step("StepStarted", "c1"),
        of_run("RunStepsSatisfied", steps=[{"step": 1}]),
        of_run("RunFailed", step=0, reason="no sound"),
    ]
    lines = told(events)[1].splitlines()[1:]
    assert lines == ["  left: failed (no sound)", "  after: skipped", "  last: skipped", "  right: completed"]
    assert told(events, terminal=True)[1].count("skipped") >= 2


def test_a_step_that_two_nodes_share_moves_both() -> None:
    events = [planned(step("left", "same"), step("right", "same")), of_step("StepFailed", "same")]
    assert told(events)[1].splitlines()[1:] == ["  left: failed", "  right: failed"]


def test_late_news_of_an_executor_do_not_undo_what_is_done() -> None:
    late = [*STORY[:8], of_step("StepStarted", "c1"), of_step("StepFailed", "c1")]
    assert "failed" not in told(late)[1]


def test_news_of_unknown_steps_are_no_news() -> None:
    events = [
        of_step("StepStarted", "c9"),
        of_run("RunStepsScheduled", steps=[{"step": 9}]),
        ServerEvent(0, "progress", {"step": 9, "done": 1, "total": 0}),
        ServerEvent(0, "progress", {"done": 1}),
    ]
    assert told(events)[1] == "dog, first time\n"


def test_progress_without_a_known_end() -> None:
    events = [*STORY[:4], ServerEvent(0, "progress", {"step": 1, "done": 42, "total": 0})]
    assert "42 frames" in told(events, terminal=True)[1]


def test_a_thousand_steps_do_not_fill_the_screen() -> None:
    view, text = told([planned(*(step(f"step-{i}", f"c{i}") for i in range(1000)))], terminal=True)
    assert f"step-{SHOWN - 1}" in text
    assert f"step-{SHOWN} " not in text
    assert view.outcome == {}
