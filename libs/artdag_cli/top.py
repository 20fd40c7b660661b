"""``artdag top``: what the system does now, in the terminal, as the page ``/ops`` shows it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from artdag_cli.audit import plain
from artdag_cli.client import Client, RequestFailedError
from artdag_cli.options import Json, Server, State, state_folder

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 30
"""Spans of time that are drawn, the newest."""

BAR_WIDTH = 16
FINDINGS = 3
LEAST_ROWS = 3
AROUND_ROWS = 3
"""Lines of the table of steps that are none: above it, its heading, and how many more there are."""

STOP_SECONDS = 0.5
LATE_SECONDS = 3.0
"""How late an answer may be before it is said: by itself the client asks again for ten seconds."""
KEYS = "q quit · s sort · r reverse · p pause · space now"
TONES = {"ready": "green", "stopping": "yellow", "silent": "red"}
BYTES = ("B", "kB", "MB", "GB", "TB")

Report = Mapping[str, Any]
Step = Mapping[str, Any]

SORTS: dict[str, Callable[[Step], Any]] = {
    "time": lambda step: step["since"] or "~",  # those that run for longest are first
    "executor": lambda step: step["executor"],
    "type": lambda step: step["type"] or "~",
    "run": lambda step: step["run_id"] or "~",
    "progress": lambda step: -(step["done"] or 0) / (step["total"] or 1),
}
"""Orders of the running steps, by the name that is shown."""

Every = Annotated[float, typer.Option("--every", help="Seconds between two looks.", min=0.5, max=3600)]
Sort = Annotated[str, typer.Option("--sort", help="Order of the running steps.", metavar="|".join(SORTS))]


def top(
    every: Every = 2.0,
    sort: Sort = "time",
    server: Server = "",
    state: State = None,
    json_output: Json = False,
) -> None:
    """Show what the system does now, until q is pressed. For the operator.

    Keys: q ends it, s sorts the running steps by something else, r turns the order round, p pauses, space looks at
    once. Without a terminal, or on one that can only print (TERM=dumb), it is printed once.
    """
    if sort not in SORTS:
        raise typer.BadParameter(f"one of {', '.join(SORTS)}", param_hint="--sort")
    client = Client.of(state_folder(state), server)
    try:
        report = ask(client)
        if json_output:
            print(json.dumps(report, indent=2))
        elif not (sys.stdin.isatty() and sys.stdout.isatty()) or Console().is_dumb_terminal:
            Console(soft_wrap=True).print(picture(report, View(sort=sort)))
        else:
            watch(client, report, View(sort=sort), every)
    finally:
        client.close()


def ask(client: Client) -> dict[str, Any]:
    """Return what the server says that the system does now."""
    found: dict[str, Any] = client.call("GET", "/api/ops")
    return found


# --- what is shown: values in, values out ---------------------------------------------------------------------------


@dataclass(slots=True)
class View:
    """How somebody looks at it. ``trouble``: why what is shown is old; empty: it is not."""

    sort: str = "time"
    reverse: bool = False
    paused: bool = False
    trouble: str = ""

    def press(self, key: str) -> None:
        """Do what a key is for."""
        match key:
            case "s":
                names = list(SORTS)
                self.sort = names[(names.index(self.sort) + 1) % len(names)]
            case "r":
                self.reverse = not self.reverse
            case "p":
                self.paused = not self.paused


def picture(report: Report, view: View) -> RenderableType:
    """Return everything, from top to bottom, in as many lines as it takes."""
    above: list[Text | Table] = [heading(report, view), *findings(report), queues(report), processes(report)]
    return Group(*above, running(report, view), *problems(report))


@dataclass(frozen=True, slots=True)
class Window:
    """As much of it as there is room for, and the keys in the last line.

    Where it is too much, processes are counted instead of listed, then the failures are left out, and what is still too
    much is cut off below.
    """

    report: Report
    view: View
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        free = options.update(height=None)

        def lines(*those: RenderableType) -> list[list[Segment]]:
            return [line for each in those for line in console.render_lines(each, free, pad=False)]

        room = max(0, self.height - 1)
        above = lines(heading(self.report, self.view), *findings(self.report, FINDINGS), queues(self.report))
        brief = lines(services(self.report))
        below = lines(*problems(self.report))
        for middle, failures in ((lines(processes(self.report)), below), (brief, below), (brief, [])):
            left = room - len(above) - len(middle) - len(failures)
            if left >= LEAST_ROWS + AROUND_ROWS:
                break
        steps = lines(running(self.report, self.view, max(LEAST_ROWS, left - AROUND_ROWS)))
        for line in [*above, *middle, *steps, *failures][:room]:
            yield from line
            yield Segment.line()
        yield Text(KEYS, "dim", no_wrap=True, overflow="ellipsis")


def heading(report: Report, view: View) -> Text:
    """Return the figures that an operator looks at first, and the keys."""
    text = Text()
    if report["well"]:
        text.append("well", "bold green")
    else:
        text.append(
            counted(sum(each["wrong"] for each in report["doctor"]["findings"]), "thing") + " wrong", "bold red"
        )
    text.append(f"  {report['at'][11:19]} UTC", "dim")
    for sign, there in report["backing"].items():
        if not there:
            text.append(f"  {sign.replace('_', ' ')} away", "bold red")
    rates = report["throughput"]
    text.append(f"  {rates['per_second']:.1f} steps/s ")
    text.append(spark(rates["completed"][-SPARKS:]), "magenta")
    workers, runs, letters = report["executors"], report["runs"], report["dead_letters"]["count"]
    if report["backing"]["nats"]:
        text.append(
            f"  hands {workers['busy']}/{workers['hands']}", "" if workers["count"] > workers["silent"] else "bold red"
        )
        if workers["silent"]:
            text.append(f"  {counted(workers['silent'], 'executor')} silent", "bold red")
    else:
        text.append("  hands ?", "bold red")
    if runs["count"] is None:
        text.append("  runs ?", "bold red")
    else:
        text.append(f"  runs {runs['count']}, {counted(runs['steps_left'], 'step')} left")
    text.append(f"  dead letters {'?' if letters is None else letters}", "" if letters == 0 else "bold red")
    for disk in report["disks"][:1]:
        text.append(f"  disk {disk['used'] * 100:.0f} %, {size(disk['free_bytes'])} free")
    if view.paused:
        text.append("  paused", "bold yellow")
    if view.trouble:
        text.append(f"  {plain(view.trouble)}", "bold yellow")
    return text


def findings(report: Report, most: int = 0) -> list[Text]:
    """Return what is wrong, and what to do, each on a line. ``most``: of them; 0: all."""
    wrong = [each for each in report["doctor"]["findings"] if each["wrong"]]
    lines = [
        Text.assemble(
            (f"wrong: {plain(each['what'])}", "red"), (f"  → {plain(each['how'])}", "dim"), no_wrap=bool(most)
        )
        for each in wrong[: most or None]
    ]
    if more := len(wrong) - len(lines):
        lines.append(Text(f"and {more} more: artdag doctor", "red"))
    return lines


def queues(report: Report) -> Table:
    """Return the classes of work."""
    table = _table("Class", ">Waits", ">In hand", ">Hands", ">Executors")
    for each in report["queues"]["classes"]:
        hands = "-" if each["hands"] is None else f"{each['busy']}/{each['hands']}"
        unserved = "bold red" if each["depth"] and not each["executors"] else ""
        _add(
            table,
            plain(each["class"]),
            "?" if each["waiting"] is None else str(each["waiting"]),
            "?" if each["in_hand"] is None else str(each["in_hand"]),
            hands,
            str(each["executors"]),
            style=unserved,
        )
    return table


def services(report: Report) -> Table:
    """Return the services, each with how many processes it has."""
    table = _table("Service", ">Processes", "State", "Version", "Hands")
    for service in report["services"]:
        listed = service["instances"]
        states = Counter(each["state"] for each in listed)
        more = service["count"] - len(listed)
        said = [f"{states[state]} {state}" for state in TONES if states[state]] + ([f"{more} more"] if more else [])
        workers = report["executors"]
        _add(
            table,
            service["service"],
            str(service["count"]),
            Text(", ".join(said), "bold red" if states["silent"] else "") if listed else _answers(service),
            plain(", ".join(service["versions"]) or "?"),
            f"{workers['busy']}/{workers['hands']}" if service["service"] == "executor" else "",
        )
    return table


def _answers(service: Mapping[str, Any]) -> Text:
    """Return whether a service answers of which no process tells of itself."""
    if service["answers"] is None:
        return Text("not known", "yellow")
    return Text("answers") if service["answers"] else Text("does not answer", "bold red")


def processes(report: Report) -> Table:
    """Return the executors and the other processes."""
    table = _table("Service", "Process", "State", "Version", ">Up", "Hands")
    now = report["at"]
    working = {each["name"]: each for each in report["executors"]["items"]}
    for service in report["services"]:
        if not service["instances"]:
            _add(table, service["service"], "-", _answers(service), "-", "-", "")
        for each in service["instances"]:
            classes = working[each["name"]]["classes"] if each["name"] in working else ()
            hands = ", ".join(f"{one['class']} {one['busy']}/{one['hands'] or '?'}" for one in classes)
            _add(
                table,
                service["service"],
                plain(each["name"]),
                Text(each["state"], TONES.get(each["state"], "")),
                plain(each["version"] or "?"),
                span(elapsed(now, each["since"])),
                plain(", ".join(filter(None, (hands, *each["duties"])))),
            )
        if more := service["count"] - len(service["instances"]):
            _add(table, "", f"and {more} more", "", "", "", "", style="dim")
    return table


def running(report: Report, view: View, rows: int = 0) -> Table:
    """Return the steps that executors work on. ``rows``: at most so many; 0: all."""
    table = _table("Step", "Type", "Run", "Executor", ">For", f"Progress, by {view.sort}")
    steps: Sequence[Step] = sorted(report["running"]["items"], key=SORTS[view.sort], reverse=view.reverse)
    shown = steps[: rows or None]
    for each in shown:
        more = f" +{each['runs'] - 1}" if each["runs"] > 1 else ""
        _add(
            table,
            plain(each["node"] or each["cache_id"][:12]),
            plain(each["type"] or "?"),
            f"{plain(each['run_id'][:8])}{more}" if each["run_id"] else "-",
            plain(each["executor"]),
            span(elapsed(report["at"], each["since"])),
            bar(each["done"], each["total"]),
        )
    left = report["running"]["count"] - len(shown)
    if left or not shown:
        _add(table, f"and {left} more" if left else "none", "", "", "", "", "", style="dim")
    return table


def problems(report: Report) -> list[Table]:
    """Return the last failures."""
    failed = report["failures"]["items"]
    if not failed:
        return []
    table = _table(">Ago", "Failed run", "Kind", "Step", "Reason")
    for each in failed[:5]:
        _add(
            table,
            span(elapsed(report["at"], each["at"])),
            plain(each["name"] or each["run_id"]),
            plain(each["kind"]),
            plain(each["node"] or each["type"] or "-"),
            plain(each["reason"] or each["code"]),
        )
    return [table]


def _table(*columns: str) -> Table:
    """Return an empty table; a column whose name begins with ``>`` holds numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold dim", title=" ", title_style="")
    for each in columns:
        right = each.startswith(">")
        table.add_column(each.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def _add(table: Table, *cells: str | Text, style: str = "") -> None:
    """Add a row. Text is shown as it is: what looks like markup is none."""
    table.add_row(*(Text(each) if isinstance(each, str) else each for each in cells), style=style)


def spark(counts: Sequence[int]) -> str:
    """Return counts as a line of bars; where all are nothing, nothing is drawn high."""
    most = max(counts, default=0)
    return "".join(BARS[0] if not count else BARS[max(1, round(count / most * (len(BARS) - 1)))] for count in counts)


def bar(done: int | None, total: int | None) -> str:
    """Return how far a step is."""
    if done is None:
        return ""
    if not total:
        return f"{done} done"
    part = min(1.0, done / total)
    full = round(part * BAR_WIDTH)
    return f"{'█' * full}{'░' * (BAR_WIDTH - full)} {part * 100:3.0f} %"


def elapsed(now: str, since: str | None) -> float | None:
    """Return the seconds between two times; None: it is not known since when."""
    if since is None:
        return None
    return max(0.0, (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds())


def span(seconds: float | None) -> str:
    """Return a time span in its two largest units: ``1.2 s``, ``3 m 05 s``, ``4 h 07 m``, ``2 d 03 h``."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for limit, large, small, names in ((3600, 60, 1, "ms"), (86_400, 3600, 60, "hm"), (None, 86_400, 3600, "dh")):
        if limit is None or seconds < limit:
            many, rest = divmod(int(seconds), large)
            return f"{many} {names[0]} {rest // small:02} {names[1]}"
    raise AssertionError


def size(count: int) -> str:
    """Return a number of bytes with its unit, as disks are sold."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {BYTES[unit]}" if unit == 0 or value >= 99.95 else f"{value:.1f} {BYTES[unit]}"


def counted(count: int, one: str) -> str:
    """Return a number of things."""
    return f"{count} {one}{'' if count == 1 else 's'}"


# --- the terminal ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Looking:
    """Asks the server again and again, beside whoever presses keys.

    Attributes:
        news: readable end of a pipe, where a byte comes with each answer.
        report: the last one. ``trouble``: why there was none since; empty: there was.
        clock: gives seconds, and never goes back. ``answered_at``: when the last answer came.
    """

    client: Client
    every: float
    report: dict[str, Any]
    trouble: str = ""
    clock: Callable[[], float] = time.monotonic
    answered_at: float = 0.0
    news: int = -1
    _told: int = -1
    _now: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Looking:
        self.answered_at = self.clock()
        self.news, self._told = os.pipe()
        self._thread = threading.Thread(target=self._look, name="look", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._now.set()
        assert self._thread
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():  # else it waits for a server that does not answer, and ends with the process
            os.close(self.news)
            os.close(self._told)

    def at_once(self) -> None:
        """Ask now."""
        self._now.set()

    def said(self) -> str:
        """Return why what is shown is old; empty: it is not."""
        silent = self.clock() - self.answered_at
        return self.trouble or (f"no answer for {span(silent)}" if silent > self.every + LATE_SECONDS else "")

    def _look(self) -> None:
        while True:
            self._now.wait(self.every)
            self._now.clear()
            if self._stopping.is_set():
                return
            try:
                self.report, self.trouble = ask(self.client), ""
                self.answered_at = self.clock()
            except RequestFailedError as error:
                self.trouble = error.message.partition("\n")[0]
            except RuntimeError:  # the connection was closed: this is over
                return
            os.write(self._told, b".")


def watch(client: Client, report: dict[str, Any], view: View, every: float) -> None:
    """Show it until q is pressed."""
    console = Console()
    with (
        contextlib.suppress(KeyboardInterrupt),  # as good a way to end it as q
        Looking(client, every, report) as looking,
        keys() as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        wanted = False  # though it is paused
        while True:
            view.trouble = looking.said()
            if not view.paused:
                report = looking.report
            live.update(Window(report, view, console.height), refresh=True)
            ready, _, _ = select.select([pressed, looking.news], [], [], 1.0)  # a window may change its size
            if looking.news in ready:
                os.read(looking.news, 4096)
                if wanted:
                    report, wanted = looking.report, False
            if pressed in ready:
                key = os.read(pressed, 1).decode("ascii", "ignore")
                if key in ("q", "\x04", ""):
                    return
                view.press(key)
                if key == " ":
                    wanted = True
                    looking.at_once()


@contextmanager
def keys() -> Iterator[int]:
    """Give a descriptor from which keys are read as they are pressed; what is pressed is not shown."""
    import termios  # only where there is a terminal
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSANOW)  # what was pressed before counts
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
