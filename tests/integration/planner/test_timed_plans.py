"""Plans that depend on what an analysis says: made in two goes, by one planner or by two."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from artdag_common.commands import RegisterRecipe, StartRun
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.run import InputBinding
from tests.integration.events.test_planner import Planner, World
from tests.integration.planner.test_engine import end, history, run_of, sent

SLICES = {"items": ["clips"], "timing": "beats", "seed_from": None}
GRAPH = Graph(
    "cut",
    "1",
    "",
    "o",
    (
        Node("music", "SOURCE", {}),
        Node("clips", "SOURCE_LIST", {}),
        Node("beats", "ANALYZE", {"features": ["beats"]}, ("music",)),
        Node("cuts", "RANDOM_SLICE", SLICES, ("clips", "beats")),
        Node("film", "SEQUENCE", {}, ("cuts",)),
    ),
    (Variable("music", "music"), Variable("clips", "clips", many=True)),
    "film",
)


async def start(world: World, planner: Planner, run_id: str = "run1") -> None:
    recipe = await world.blobs.put(GRAPH.canonical())
    cids = [(await world.blobs.put(name)).cid for name in (b"music", b"one", b"two")]
    await planner.commands.register_recipe(
        RegisterRecipe(recipe.cid, recipe.cid, "cut", "1", "", "o"), f"register/{run_id}"
    )
    inputs = (InputBinding("music", tuple(cids[:1])), InputBinding("clips", tuple(cids[1:])))
    await planner.commands.start_run(StartRun(run_id, recipe.cid, "o", inputs), f"start/{run_id}")


async def analysed(world: World, planner: Planner, document: Any) -> Any:
    blob = await world.blobs.put(orjson.dumps(document))
    return await end(world, sent(planner, "cut.beats.analyze"), output=blob.cid)


BEATS = {"audio": {"duration": 2.0, "beats": {"beat_times": [0.5, 1.0, 1.5]}}}


@pytest.mark.parametrize("replicas", [1, 2])
async def test_the_rest_is_planned_once_the_analysis_is_there(world: World, replicas: int) -> None:
    first = world.planner()
    await start(world, first)
    run = await run_of(world)
    assert ([step.node for step in run.steps], run.planned) == (["music", "clips[0]", "clips[1]", "beats"], False)
    assert [step.label for step in first.sent] == ["cut.beats.analyze"]
    event = await analysed(world, first, BEATS)
    second = first if replicas == 1 else world.planner()
    await second.take([event], "analysed")
    run = await run_of(world)
    assert [step.node for step in run.steps[4:]] == ["cuts[0]", "cuts[1]", "cuts[2]", "cuts[3]", "film"]
    assert [orjson.loads(step.config)["frames"] for step in run.steps[4:8]] == [15, 15, 15, 15]
    assert (run.output, run.steps[8].deliver) == (8, True)
    assert [(a.node, a.input_cid, a.cid) for a in run.analyses] == [("beats", run.outputs[0], event.output_cid)]
    plan = orjson.loads(await world.blobs.read(run.plan_cid))
    assert [step["cache_id"] for step in plan["steps"]] == [step.cache_id for step in run.steps]
    assert [step.label for step in second.sent if "slice" in step.label] == [f"cut.cuts.slice[{i}]" for i in range(4)]


async def test_an_analysis_that_exists_already_is_read_at_once(world: World) -> None:
    planner = world.planner()
    await start(world, planner)
    await planner.take([await analysed(world, planner, BEATS)], "analysed")
    await start(world, planner, "run2")
    run = await run_of(world, "run2")
    assert run.planned
    assert [step.cache_id for step in run.steps] == [step.cache_id for step in (await run_of(world)).steps]


async def test_an_analysis_without_beats_ends_the_run_and_says_why(world: World) -> None:
    planner = world.planner()
    await start(world, planner)
    silence = {"audio": {"duration": 2.0}, "errors": {"beats": "the sound is silent"}}
    await planner.take([await analysed(world, planner, silence)], "analysed")
    run = await run_of(world)
    assert run.status == "failed"
    assert "cuts (RANDOM_SLICE), timing beats" in run.error
    assert "the sound is silent" in run.error
    assert (await history(world))[-1] == "RunFailed"
