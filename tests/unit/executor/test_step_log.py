"""What is kept of what an attempt says, and what nobody has to know of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.executor.step_log import KEPT_BYTES, LINE_CHARACTERS, PARTIAL_BYTES, StepLog, input_names, shown_trace

NOW = datetime(2026, 1, 7, tzinfo=UTC)


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def log(clock: list[float]) -> StepLog:
    return StepLog("c0ffee", 2, "node-1", NOW, lambda: clock[0])


def test_each_line_has_the_seconds_since_the_attempt_began(log: StepLog, clock: list[float]) -> None:
    log.say("one\ntwo")
    clock[0] += 12.3456
    log.say("three")
    assert log.text == "    0.000  one\n    0.000  two\n   12.346  three\n"
    assert log.said == len(log.text)
    assert [value for value, _ in log.kept().args] == ["c0ffee", 2, "node-1", NOW, log.text, False]


def test_what_a_process_prints_becomes_lines_as_they_are_complete(log: StepLog) -> None:
    log.hear(b"half a li")
    assert log.text == ""
    log.hear(b"ne\nprogress 1\rprogress 2\r\n\nlast")
    assert [line[11:] for line in log.text.splitlines()] == ["half a line", "progress 1", "progress 2"]
    log.hear(b"")
    assert log.text.endswith("last\n")


def test_what_has_no_end_of_a_line_is_cut(log: StepLog) -> None:
    log.hear(b"x" * (PARTIAL_BYTES + 1))
    assert log.text == f"    0.000  {'x' * LINE_CHARACTERS}…\n"


def test_the_beginning_and_the_end_are_kept_and_the_cut_is_marked(log: StepLog) -> None:
    for number in range(20_000):
        log.say(f"line {number} é")
    lines = log.text.splitlines()
    assert KEPT_BYTES - 200 < len(log.text.encode()) <= KEPT_BYTES
    assert log.truncated
    assert (lines[0][11:], lines[-1][11:]) == ("line 0 é", "line 19999 é")
    (mark,) = [place for place, line in enumerate(lines) if line.startswith("… ")]
    assert lines[mark] == f"… {20_000 - len(lines) + 1} lines are left out here …"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("opened /var/lib/artdag/cache/ab/bafy12", "opened in-cid"),
        ("wrote /var/lib/artdag/cache/incoming/x1/output.mov", "wrote output.mov"),
        ("cannot read '/home/ada/films/private.mp4'", "cannot read '…/private.mp4'"),
        ("at https://s3.example.org/bucket/key and 30000/1001 or 1/90000", None),
        ("[h264 @ 0x55f51b78aa40] Invalid NAL unit size", "[h264] Invalid NAL unit size"),
        ("\x1b]0;title\x07 and \x9b2J", "�]0;title� and �2J"),
        ("tab\tstays", None),
    ],
)
def test_nobody_learns_where_files_are_or_has_their_terminal_steered(log: StepLog, said: str, shown: str) -> None:
    folder = Path("/var/lib/artdag/cache/incoming/x1")
    log.name(input_names([Path("/var/lib/artdag/cache/ab/bafy12")], ("in-cid",), folder))
    log.say(said)
    assert log.text == f"    0.000  {shown or said}\n"


def test_progress_is_told_now_and_then(log: StepLog, clock: list[float]) -> None:
    for done in range(1, 100):
        clock[0] += 0.125
        log.progress(done, 100)
    assert [line[11:] for line in log.text.splitlines()] == ["40 of 100 frames", "80 of 100 frames"]


def test_a_trace_names_files_as_they_are_imported() -> None:
    try:
        int("x")
    except ValueError as error:
        lines = shown_trace(error).splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'x'"


def test_those_who_watch_are_told_each_line_with_its_place(clock: list[float]) -> None:
    told: list[tuple[int, str]] = []
    log = StepLog("c0ffee", 1, "node-1", NOW, lambda: clock[0], lambda offset, line: told.append((offset, line)))
    log.say("a\nbc")
    assert told == [(0, "    0.000  a\n"), (13, "    0.000  bc\n")]
