"""``artdag top``: what stands on the screen, and what keys do."""

from __future__ import annotations

import copy
import io
import os
import pty
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from rich.console import Console

from artdag_cli import top
from artdag_cli.client import Client, RequestFailedError
from artdag_cli.top import KEYS, View, Window, bar, elapsed, picture, size, span, spark
from services.gateway.api.ops import SHOWN

AT = "2026-01-07T12:00:09Z"


def report(**changes: Any) -> dict[str, Any]:
    """What the server documents that it answers."""
    return copy.deepcopy(SHOWN) | {"at": AT} | changes


def screen(found: dict[str, Any], view: View | None = None, height: int = 0, width: int = 160) -> str:
    """What is printed; with a height, what a window of that size shows."""
    file, view = io.StringIO(), view or View()
    shown = Window(found, view, height) if height else picture(found, view)
    Console(file=file, width=width, color_system=None).print(shown)
    return file.getvalue()


def crowd(processes: int) -> dict[str, Any]:
    """A cluster with so many processes of each service, of which the server lists fifty, and as many steps."""
    process = SHOWN["services"][0]["instances"][0]
    services = [
        {
            "service": name,
            "answers": True,
            "count": processes,
            "versions": ["0.1.0", "0.2.0"],
            "instances": [process | {"name": f"{name}-{n:03}"} for n in range(min(50, processes))],
        }
        for name in ("auth", "cache", "planner", "executor", "gateway")
    ]
    workers = SHOWN["executors"] | {"count": processes, "hands": 4 * processes, "busy": processes, "items": []}
    running = {"count": processes, "items": steps(min(100, processes))}
    return report(services=services, executors=workers, running=running)


def steps(count: int) -> list[dict[str, Any]]:
    step = SHOWN["running"]["items"][0]
    return [
        step | {"node": f"n{n}", "since": f"2026-01-07T12:00:0{n % 10}Z", "executor": f"e{9 - n % 10}", "done": n}
        for n in range(count)
    ]


def order(found: dict[str, Any], view: View) -> list[str]:
    lines = [line.split() for line in screen(found, view).splitlines()]
    return [line[0] for line in lines if line and line[0].startswith("n") and line[0][1:].isdigit()]


def test_everything_that_the_server_says_stands_on_the_screen() -> None:
    process = SHOWN["services"][0]["instances"][0] | {"name": "node-1-4711", "duties": []}
    service = {"service": "executor", "answers": True, "count": 1, "versions": ["0.1.0"], "instances": [process]}
    text = screen(report(services=[*SHOWN["services"], service]))
    for said in (
        "well",
        "2.4 steps/s",
        "hands 1/4",
        "runs 1, 3 steps left",
        "dead letters 1",
        "disk 50 %, 52.4 GB free",
    ):
        assert said in text.splitlines()[0], said
    for said in (
        "wrong: 2 dead letters of the planner",
        "artdag dlq list",
        "apply_dog",
        "9.0 s",
        "40 %",
        "relay",
        "cpu 1/4",
    ):
        assert said in text, said
    assert "trailer" in text
    assert "bad-input" in text


def test_who_does_not_answer_is_named() -> None:
    services = [{"service": "cache", "answers": False, "count": 0, "versions": [], "instances": []}]
    backing = {"postgres": False, "nats": True, "redis": True, "read_models": False}
    letters: dict[str, Any] = {"count": None, "by_service": {}, "items": []}
    text = screen(report(well=False, services=services, backing=backing, dead_letters=letters, disks=[]))
    assert "1 thing wrong" in text
    assert "postgres away" in text
    assert "read models away" in text
    assert "nats away" not in text
    assert "does not answer" in text
    assert "dead letters ?" in text
    assert "does not answer" in screen(report(services=services), height=24)


def test_what_nobody_can_tell_is_not_nothing() -> None:
    services = [{"service": "cache", "answers": None, "count": 0, "versions": [], "instances": []}]
    queue = SHOWN["queues"]["classes"][0] | {"depth": None, "waiting": None, "in_hand": None, "asked_for": None}
    found = report(
        well=False,
        services=services,
        backing={"postgres": False, "nats": False, "redis": True, "read_models": True},
        queues={"classes": [queue], "consumers": [], "streams": {}},
        runs=SHOWN["runs"] | {"count": None, "steps_left": None},
        failures={"count": None, "items": []},
        disks=[],
    )
    text = screen(found)
    assert "hands ?" in text.splitlines()[0]
    assert "runs ?" in text.splitlines()[0]
    assert "not known" in text
    assert "None" not in text
    assert next(line.split() for line in text.splitlines() if line.startswith("cpu"))[1:3] == ["?", "?"]


def test_keys_sort_and_turn_round_and_pause() -> None:
    found = report(running={"count": 3, "items": steps(3)})
    view = View()
    assert order(found, view) == ["n0", "n1", "n2"]
    view.press("r")
    assert order(found, view) == ["n2", "n1", "n0"]
    view.press("r")
    view.press("s")
    assert view.sort == "executor"
    assert order(found, view) == ["n2", "n1", "n0"]
    for _ in range(3):
        view.press("s")
    assert view.sort == "progress"
    assert order(found, view) == ["n2", "n1", "n0"]
    view.press("s")
    assert view.sort == "time"
    view.press("p")
    assert "paused" in screen(found, view).splitlines()[0]
    view.press("p")
    view.press("x")
    assert view == View()


def shown_steps(text: str) -> int:
    return sum(line.split()[0][1:].isdigit() for line in text.splitlines() if line.startswith("n") and line.split())


def test_a_small_window_shows_the_first_steps_and_counts_the_others() -> None:
    found = report(running={"count": 250, "items": steps(100)})
    assert "and 150 more" in screen(found)
    assert len(order(found, View())) == 100
    text = screen(found, height=24)
    assert 3 <= shown_steps(text) < 15
    assert f"and {250 - shown_steps(text)} more" in text


@pytest.mark.parametrize("width", [20, 40, 80, 160])
@pytest.mark.parametrize("height", [1, 2, 5, 12, 24, 50])
@pytest.mark.parametrize("processes", [1, 3, 200])
def test_no_window_is_overrun_and_the_keys_are_in_its_last_line(width: int, height: int, processes: int) -> None:
    """In a narrow one, most rows take several lines."""
    lines = screen(crowd(processes), height=height, width=width).splitlines()
    assert len(lines) <= height
    assert lines[-1].rstrip("…") in KEYS
    assert len(lines[-1]) > width / 2 or lines[-1] == KEYS


def test_where_there_are_too_many_processes_to_list_they_are_counted_and_steps_are_seen() -> None:
    small = screen(crowd(3), height=50)
    assert "executor-002" in small
    assert "Reason" in small
    text = screen(crowd(200), height=40)
    assert "executor-002" not in text
    (executors,) = [line.split() for line in text.splitlines() if line.startswith("executor")]
    assert executors[:4] == ["executor", "200", "50", "ready,"]
    assert executors[-1] == "200/800"
    assert "150 more" in " ".join(executors)
    assert "Reason" in text
    assert shown_steps(text) >= 3
    least = screen(crowd(200), height=20, width=80)
    assert "Reason" not in least
    assert shown_steps(least) >= 3
    assert "and 150 more" in screen(crowd(200)), "printed, all that the server lists are listed"


def test_nothing_that_a_name_holds_reaches_the_terminal() -> None:
    step = SHOWN["running"]["items"][0] | {"node": "\x1b[2Jx", "type": "[red]y[/red]"}
    text = screen(report(running={"count": 1, "items": [step]}))
    assert "\x1b" not in text
    assert "?[2Jx" in text
    assert "[red]y[/red]" in text


def test_a_system_at_rest_says_that_nothing_runs() -> None:
    text = screen(report(running={"count": 0, "items": []}, failures={"count": 0, "items": []}))
    assert "none" in text
    assert "Failed run" not in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 m 00 s"), (3725, "1 h 02 m"), (190_000, "2 d 04 h")],
)
def test_spans_are_short(seconds: float | None, said: str) -> None:
    assert span(seconds) == said


def test_small_things() -> None:
    assert spark([0, 1, 100, 50]) == "▁▂█▅"
    assert spark([0, 0]) == "▁▁"
    assert spark([]) == ""
    assert bar(None, None) == ""
    assert bar(7, None) == "7 done"
    assert bar(5, 4).endswith("100 %")
    assert size(999) == "999 B"
    assert size(1_500_000) == "1.5 MB"
    assert elapsed(AT, "2026-01-07T12:00:00Z") == 9


# --- the terminal ---------------------------------------------------------------------------------------------------


class Server:
    """Answers, and after ``well`` answers refuses."""

    def __init__(self, well: int = 1000) -> None:
        self.well = well
        self.asked = 0
        self.refused = threading.Event()

    def call(self, method: str, path: str) -> dict[str, Any]:
        assert (method, path) == ("GET", "/api/ops")
        self.asked += 1
        if self.asked > self.well:
            self.refused.set()
            raise RequestFailedError("GET /api/ops: connection refused")
        return report()

    def close(self) -> None: ...


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Give the end of a terminal at which somebody types; the other one is our standard input."""
    monkeypatch.setenv("TERM", "xterm")
    here, there = pty.openpty()
    with os.fdopen(there, "r", closefd=True) as typed:
        monkeypatch.setattr("sys.stdin", typed)
        yield here
    os.close(here)


def test_it_goes_on_until_q_is_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    server, shown = Server(), io.StringIO()
    monkeypatch.setattr(top, "Console", lambda: Console(file=shown, force_terminal=True, width=160, height=50))
    with terminal(monkeypatch) as keyboard:
        os.write(keyboard, b"s pq")
        view = View()
        top.watch(cast(Client, server), report(), view, 0.05)
    assert view.sort == "executor"
    assert view.paused
    assert "apply_dog" in shown.getvalue()
    assert top.KEYS in shown.getvalue()


def test_where_nothing_can_be_moved_on_the_screen_it_is_printed_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    monkeypatch.setattr(top.Client, "of", lambda *_: server)
    with terminal(monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        top.top()
    assert server.asked == 1
    assert "apply_dog" in capsys.readouterr().out


def test_a_server_that_goes_away_is_said_and_what_it_said_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(well=0)
    with top.Looking(cast(Client, server), 0.01, report()) as looking:
        assert server.refused.wait(10)
        os.read(looking.news, 1)
        assert looking.report == report()
        assert "connection refused" in looking.trouble
    assert "connection refused" in screen(looking.report, View(trouble=looking.trouble)).splitlines()[0]


def test_a_server_that_does_not_answer_is_said_long_before_the_client_gives_it_up() -> None:
    asked, answer = threading.Event(), threading.Event()

    class Hanging(Server):
        def call(self, method: str, path: str) -> dict[str, Any]:
            asked.set()
            assert answer.wait(60)
            return super().call(method, path)

    now = [1000.0]
    with top.Looking(cast(Client, Hanging()), 0.01, report(), clock=lambda: now[0]) as looking:
        assert asked.wait(10)
        assert looking.said() == ""
        now[0] += 5
        assert looking.said() == "no answer for 5.0 s"
        answer.set()
        os.read(looking.news, 1)
        assert looking.said() == ""
