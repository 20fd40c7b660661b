"""A run as it goes on, step by step, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from artdag_cli.client import ServerEvent
from artdag_cli.printing import plain

SHOWN = 30
SIGNS = {
    "pending": "[dim]waits[/dim]",
    "scheduled": "queued",
    "running": "[cyan]runs[/cyan]",
    "waiting": "[yellow]waits[/yellow]",
    "completed": "[green]done[/green]",
    "cached": "[blue]cached[/blue]",
    "failed": "[red]failed[/red]",
    "skipped": "[dim]skipped[/dim]",
    "cancelled": "[dim]cancelled[/dim]",
}
TOLD = ("completed", "cached", "waiting", "failed", "skipped")
"""What is told line by line where there is no terminal."""

ENDED = ("completed", "cached", "failed", "skipped", "cancelled")


@dataclass(slots=True)
class _Step:
    """What is known of a step, and its line on the screen."""

    label: str
    state: str
    line: TaskID | None
    readers: list[int] = field(default_factory=list)
    lost: bool = False  # the run does without it


@dataclass(slots=True)
class RunView:
    """Follows a run's events; shows a line per step while it is entered on a terminal.

    ``run_id``: for the line that says how to go on with a paused run.
    """

    title: str
    console: Console
    quiet: bool = False
    run_id: str = "RUN"
    outcome: dict[str, Any] = field(default_factory=dict)
    _steps: dict[int, _Step] = field(default_factory=dict)
    _by_cache_id: dict[str, list[int]] = field(default_factory=dict)
    _bars: Progress | None = None

    def __enter__(self) -> Self:
        if not self.quiet:
            self.console.print(plain(self.title), style="bold", markup=False, highlight=False, soft_wrap=True)
        if not self.quiet and self.console.is_terminal:
            self._bars = Progress(
                TextColumn("  {task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[sign]}"),
                TextColumn("{task.fields[frames]}"),
                TimeElapsedColumn(),
                console=self.console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def follow(self, events: Iterable[ServerEvent]) -> None:
        """Take events in until there are no more."""
        for event in events:
            self.take(event)

    def take(self, event: ServerEvent) -> None:
        """Take one event in."""
        data: dict[str, Any] = event.data.get("data", event.data)
        match event.type:
            case "RunStepsPlanned":
                for step in data["steps"]:
                    self._add(step)
            case "RunStepsScheduled":
                for step in data["steps"]:
                    if step["step"] in self._steps and self._steps[step["step"]].state != "running":
                        self._move(step["step"], "scheduled")  # it may have begun while this was being stored
            case "StepStarted":
                self._move_cached(event, "running")
            case "StepAttemptFailed":
                again = f"again in {data['retry_ms'] / 1000:.3g} s" if data["retry_ms"] else "again at once"
                self._move_cached(event, "waiting", f"{data['reason']}; {again}", again)
            case "StepFailed":
                self._move_cached(event, "failed", data.get("reason", ""))
            case "RunStepsFailed":
                for step in data["steps"]:
                    self._lose(step["step"], step["reason"])
            case "RunPaused":
                self._say(f"paused; artdag resume {self.run_id} goes on with it")
            case "RunResumed":
                self._say("resumed")
            case "progress":
                self._advance(data)
            case "RunStepsSatisfied":
                for step in data["steps"]:
                    self._move(step["step"], "completed")
            case "RunCompleted" | "RunFailed" | "RunCancelled":
                self.outcome = {"event": event.type, **data}
                if event.type != "RunCompleted":
                    self._end(data.get("step", -1), data.get("reason", ""))

    def _add(self, step: dict[str, Any]) -> None:
        index = len(self._steps)
        state = "cached" if step.get("output_cid") else "pending"
        line = None
        if self._bars and len(self._steps) < SHOWN and not step["type"].startswith("SOURCE"):
            line = self._bars.add_task(plain(step["label"]), total=1, sign=SIGNS[state], frames="", start=False)
        self._steps[index] = _Step(plain(step["label"]), "pending", line)
        for source in step.get("inputs", ()):
            if source in self._steps:
                self._steps[source].readers.append(index)
        self._by_cache_id.setdefault(step["cache_id"], []).append(index)
        if state == "cached":
            self._move(index, state)

    def _lose(self, index: int, reason: str) -> None:
        """Show a step that the run does without, and what needs it."""
        self._move(index, "failed", reason)
        if (step := self._steps.get(index)) is None:
            return
        step.lost = True
        left = list(step.readers)
        while left:
            reader = self._steps[left.pop()]
            if reader.state == "pending":
                self._move_step(reader, "skipped")
                left += reader.readers

    def _end(self, blamed: int, reason: str) -> None:
        """Show what becomes of the steps of a run that gave no output."""
        for index, step in self._steps.items():
            if index == blamed and not step.lost:
                self._move(index, "failed", reason)
            elif step.state == "pending":
                self._move_step(step, "skipped")
            elif step.state not in ENDED:
                self._move_step(step, "cancelled")

    def _say(self, text: str) -> None:
        if not self.quiet:
            console = self._bars.console if self._bars else self.console
            console.print(f"  {plain(text)}", highlight=False, markup=False)

    def _move_cached(self, event: ServerEvent, state: str, why: str = "", sign: str = "") -> None:
        cache_id = str(event.data.get("subject", "")).partition("-")[2]
        for index in self._by_cache_id.get(cache_id, ()):
            self._move(index, state, why, sign)

    def _move(self, index: int, state: str, why: str = "", sign: str = "") -> None:
        step = self._steps.get(index)
        if step is not None:
            self._move_step(step, state, why, sign)

    def _move_step(self, step: _Step, state: str, why: str = "", sign: str = "") -> None:
        """Show how a step stands. ``why``: the reason of a failure; ``sign``: instead of the usual one."""
        if step.lost or (step.state in ("completed", "cached") and state not in ("completed", "cached")):
            return
        known, step.state = step.state, state
        if self._bars and step.line is not None:
            if state == "running":
                self._bars.start_task(step.line)
            if state in ("completed", "cached"):
                self._bars.start_task(step.line)
                self._bars.update(step.line, total=1, completed=1)
                self._bars.stop_task(step.line)
            elif state in ENDED:
                self._bars.stop_task(step.line)
            self._bars.update(step.line, sign=f"[yellow]{sign}[/yellow]" if sign else SIGNS[state])
        elif not self.quiet and not self.console.is_terminal and state in TOLD and state != known:
            told = f"  {step.label}: {state}{f' ({plain(why)})' if why else ''}"
            self.console.print(told, highlight=False, markup=False)

    def _advance(self, data: dict[str, Any]) -> None:
        step = self._steps.get(data.get("step", -1))
        if step is None or step.line is None or not self._bars:
            return
        total = data.get("total") or None
        frames = f"{data['done']}/{total} frames" if total else f"{data['done']} frames"
        self._bars.update(step.line, completed=data["done"], total=total, frames=frames)
