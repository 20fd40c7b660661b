"""Long films in parts: made by all hands, joined to the same bytes, made once whatever dies meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from artdag_common.application import Application
from artdag_common.commands import ExecuteStep
from artdag_common.domain.step import Step
from artdag_common.errors import ServiceUnavailableError
from artdag_common.messaging import subjects
from services.executor import division as dividing
from services.executor.division import HANDS, Division, divided
from services.executor.failing import Broken
from services.executor.worker import Long, Progress
from tests.integration.events.appends import eventually
from tests.integration.executor.conftest import CACHE_ID, Bench
from tests.unit.media.counted import RATE_HZ, write_counted
from tests.unit.steps.running import run_step

STARTED, COMPLETED, FAILED, CANCELLED = "StepStarted", "StepCompleted", "StepFailed", "StepCancelled"
RATE, CELL = 8, 80
FRAMES = 4 * CELL + 3
FILM = Long(FRAMES, CELL)
CPU = "cpu"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cells and three frames, with noise for sound."""
    sound = np.random.default_rng(1).integers(-9000, 9000, (1, FRAMES * RATE_HZ // RATE), np.int16)
    return write_counted(tmp_path_factory.mktemp("long") / "film.mov", FRAMES, RATE, sound=sound)


def config_of(effect: str, **params: Any) -> str:
    from artdag_common.steps.registry import find_step_type

    return find_step_type("EFFECT").canonical_config({"effect": effect, "params": params})


async def grainy(bench: Bench, film: Path) -> ExecuteStep:
    source = await bench.blobs.put(film.read_bytes())
    return ExecuteStep(CACHE_ID, "EFFECT", config_of("grain", seed=2), "t.fx.effect", (source.cid,), deliver=True)


def division_of(bench: Bench) -> Division:
    return Division(bench.bus, Application(bench.store), bench.blobs)


async def unheard(progress: Progress) -> None:
    """Nobody listens."""


async def pulling(bench: Bench, hands: int) -> None:
    """Wait until so many hands ask for work."""

    async def there() -> bool:
        return await division_of(bench).free_hands(CPU) == hands

    await eventually(there, f"{hands} free hands")


async def ends(bench: Bench, parts: list[ExecuteStep]) -> list[list[str]]:
    return [await bench.types(part.cache_id) for part in parts]


async def test_all_hands_make_parts_of_a_long_film(bench: Bench, film: Path, tmp_path: Path) -> None:
    step = await grainy(bench, film)
    parts = divided(step, FILM)
    assert [part.label for part in parts] == [f"t.fx.effect[{n}/5]" for n in range(1, 6)]
    async with bench.executor(), bench.executor():
        await pulling(bench, 4)
        await bench.send(step)
        done = await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
    assert await ends(bench, parts) == [[STARTED, COMPLETED]] * 5
    config = orjson.loads(step.config)
    whole = run_step(tmp_path / "whole", "EFFECT", config, film)
    assert (await bench.blobs.path(done.output_cid)).read_bytes() == whole.read_bytes()


async def test_few_hands_make_it_in_one_go(bench: Bench, film: Path) -> None:
    step = await grainy(bench, film)
    async with bench.executor():
        await pulling(bench, 2)
        await bench.send(step)
        await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
    assert await ends(bench, divided(step, FILM)) == [[]] * 5


async def test_what_remembers_frames_is_made_in_one_go(bench: Bench, film: Path) -> None:
    step = replace(await grainy(bench, film), config=config_of("echo"))
    async with bench.executor(ARTDAG_SLOTS=HANDS + 1):
        await pulling(bench, HANDS + 1)
        await bench.send(step)
        await bench.reaches(STARTED, COMPLETED)
        await bench.empty()
    assert await ends(bench, divided(step, FILM)) == [[]] * 5


async def test_parts_that_were_made_are_found_again(bench: Bench, film: Path) -> None:
    parts = divided(await grainy(bench, film), FILM)
    heard: list[Progress] = []

    async def hear(progress: Progress) -> None:
        heard.append(progress)

    async with bench.executor():
        made = await division_of(bench).make(parts, hear, CPU)
        await bench.empty()
    assert {progress.total for progress in heard} == {FRAMES}
    assert await division_of(bench).make(parts, unheard, CPU) == made  # there is no executor any more


async def test_a_part_that_breaks_breaks_the_film(bench: Bench, film: Path) -> None:
    good, *_, bad = divided(await grainy(bench, film), Long(FRAMES + CELL, CELL))
    async with bench.executor():
        result = await division_of(bench).make([good, bad], unheard, CPU)
        await bench.empty()
    assert isinstance(result, Broken)
    assert result.reason.startswith("effect[6/6]: ")  # without the name of anybody's recipe: others may wait for it too


async def test_an_old_failure_of_a_part_is_no_answer(bench: Bench, film: Path) -> None:
    part, *_ = divided(await grainy(bench, film), FILM)
    app = Application(bench.store)
    step = Step.begin(part.cache_id, "old", part.step_type, part.label, app.clock())
    step.fail("step-failed", "the disk was full", app.clock())
    assert await app.append(step, "old") == "appended"
    async with bench.executor():
        made = await division_of(bench).make([part], unheard, CPU)
        await bench.empty()
    assert isinstance(made, list)
    assert await ends(bench, [part]) == [[STARTED, FAILED, STARTED, COMPLETED]]


async def on_the_queue(bench: Bench, count: int) -> None:
    async def there() -> bool:
        return await bench.left() == count

    await eventually(there, f"{count} parts on the queue")


async def test_what_is_broken_off_leaves_the_queue(bench: Bench, film: Path) -> None:
    parts = divided(await grainy(bench, film), FILM)
    making = asyncio.create_task(division_of(bench).make(parts, unheard, CPU))
    await on_the_queue(bench, 5)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    await on_the_queue(bench, 0)


async def test_a_step_that_is_broken_off_takes_its_parts_along(bench: Bench, film: Path) -> None:
    step = await grainy(bench, film)
    async with bench.executor(ARTDAG_SLOTS=HANDS + 1):
        await pulling(bench, HANDS + 1)
        await bench.send(step)
        first, *_ = divided(step, FILM)

        async def begun() -> bool:
            return bool(await bench.types(first.cache_id))

        await eventually(begun, "the first part")
        await bench.bus.withdraw(CPU, CACHE_ID)
        await bench.reaches(STARTED, CANCELLED)
        await bench.empty()


async def test_an_executor_that_stops_leaves_parts_to_others(bench: Bench, film: Path) -> None:
    parts = divided(await grainy(bench, film), FILM)
    division = division_of(bench)
    making = asyncio.create_task(division.make(parts, unheard, CPU))
    await on_the_queue(bench, 5)
    await division.close()
    with pytest.raises(ServiceUnavailableError):
        await making
    await on_the_queue(bench, 5)
    await bench.bus.js.purge_stream(subjects.WORK)


async def test_a_queue_that_is_lost_is_filled_again(bench: Bench, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dividing, "LOOK_EVERY", 0.05)
    parts = divided(await grainy(bench, film), FILM)
    making = asyncio.create_task(division_of(bench).make(parts, unheard, CPU))
    await on_the_queue(bench, 5)
    await bench.bus.js.purge_stream(subjects.WORK)
    await on_the_queue(bench, 5)
    async with bench.executor():
        assert isinstance(await making, list)
        await bench.empty()
