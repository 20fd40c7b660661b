"""A run as it goes on, step by step, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from artdag_cli.client import ServerEvent

SHOWN = 30
SIGNS = {
    "pending": "[dim]waits[/dim]",
    "scheduled": "queued",
    "running": "[cyan]runs[/cyan]",
    "completed": "[green]done[/green]",
    "cached": "[blue]cached[/blue]",
    "failed": "[red]failed[/red]",
}


@dataclass(slots=True)
class _Step:
    """What is known of a step, and its line on the screen."""

    label: str
    state: str
    line: TaskID | None


@dataclass(slots=True)
class RunView:
    """Follows a run's events; shows a line per step while it is entered on a terminal."""

    title: str
    console: Console
    quiet: bool = False
    outcome: dict[str, Any] = field(default_factory=dict)
    _steps: dict[int, _Step] = field(default_factory=dict)
    _by_cache_id: dict[str, list[int]] = field(default_factory=dict)
    _bars: Progress | None = None

    def __enter__(self) -> Self:
        if not self.quiet:
            self.console.print(f"[bold]{self.title}[/bold]")
        if not self.quiet and self.console.is_terminal:
            self._bars = Progress(
                TextColumn("  {task.description}"),
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
                    self._move(step["step"], "scheduled")
            case "StepStarted":
                self._move_cached(event, "running")
            case "StepFailed":
                self._move_cached(event, "failed")
            case "progress":
                self._advance(data)
            case "RunStepsSatisfied":
                for step in data["steps"]:
                    self._move(step["step"], "completed")
            case "RunCompleted" | "RunFailed" | "RunCancelled":
                self.outcome = {"event": event.type, **data}

    def _add(self, step: dict[str, Any]) -> None:
        index = len(self._steps)
        state = "cached" if step.get("output_cid") else "pending"
        line = None
        if self._bars and len(self._steps) < SHOWN and not step["type"].startswith("SOURCE"):
            line = self._bars.add_task(step["label"], total=1, sign=SIGNS[state], frames="", start=False)
        self._steps[index] = _Step(step["label"], state, line)
        self._by_cache_id.setdefault(step["cache_id"], []).append(index)
        if state == "cached":
            self._move(index, state)

    def _move_cached(self, event: ServerEvent, state: str) -> None:
        cache_id = str(event.data.get("subject", "")).partition("-")[2]
        for index in self._by_cache_id.get(cache_id, ()):
            self._move(index, state)

    def _move(self, index: int, state: str) -> None:
        step = self._steps.get(index)
        if step is None or (step.state in ("completed", "cached") and state not in ("completed", "cached")):
            return
        step.state = state
        if self._bars and step.line is not None:
            if state == "running":
                self._bars.start_task(step.line)
            ended = {"completed": 1, "cached": 1}.get(state)
            if ended:
                self._bars.start_task(step.line)
                self._bars.update(step.line, total=1, completed=1)
                self._bars.stop_task(step.line)
            self._bars.update(step.line, sign=SIGNS[state])
        elif not self.quiet and not self.console.is_terminal and state in ("completed", "failed", "cached"):
            self.console.print(f"  {step.label}: {state}", highlight=False)

    def _advance(self, data: dict[str, Any]) -> None:
        step = self._steps.get(data.get("step", -1))
        if step is None or step.line is None or not self._bars:
            return
        total = data.get("total") or None
        frames = f"{data['done']}/{total} frames" if total else f"{data['done']} frames"
        self._bars.update(step.line, completed=data["done"], total=total, frames=frames)
