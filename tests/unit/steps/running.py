"""Runs a step as an executor does, without the executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artdag_common.media.check import check_output
from artdag_common.steps.registry import find_step_type


class Context:
    """What a step may use; remembers what it was told."""

    seed = 1

    def __init__(self, folder: Path, deliver: bool = True) -> None:
        self.folder = folder
        self.deliver = deliver
        self.ticks: list[tuple[int, int]] = []

    def output(self, extension: str) -> Path:
        return self.folder / f"output.{extension}"

    def media(self) -> Path:
        return self.output("mp4" if self.deliver else "mov")

    def progress(self, done: int, total: int) -> None:
        self.ticks.append((done, total))


def run_step(folder: Path, name: str, config: dict[str, Any], *inputs: Path, deliver: bool = True) -> Path:
    """Run a step by its canonical parameters; give its output, checked and with nothing beside it."""
    kind = find_step_type(name)
    assert kind.run is not None
    folder.mkdir(exist_ok=True)
    ctx = Context(folder, deliver)
    output = kind.run(ctx, kind.params.model_validate_json(kind.canonical_config(config)), *inputs)
    if output not in inputs:
        check_output(output)
        assert [each.name for each in folder.iterdir()] == [output.name]
        total = ctx.ticks[-1][1]
        assert ctx.ticks[-1][0] == total
        assert not total or ctx.ticks == [(done, total) for done in range(1, total + 1)]
    return output
