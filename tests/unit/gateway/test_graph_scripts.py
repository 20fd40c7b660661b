"""The pages' scripts that need no page: where a graph's nodes are put, how steps stand after a run's events, units."""

from __future__ import annotations

import json
import random
import re
import subprocess
from itertools import pairwise
from typing import Any

import pytest

from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from services.gateway.web import words
from services.gateway.web.build import node_and_npm
from services.gateway.web.static_files import FOLDER

WIDTH, HEIGHT = 190, 46
SCRIPT = """
import { readFileSync } from "node:fs";
const text = (name) => encodeURIComponent(readFileSync(`${process.argv[1]}/${name}.js`));
const load = (name) => import(`data:text/javascript,${text(name)}`);
const { layout, grouped } = await load("layout");
const { Standing } = await load("standing");
const { what, given } = JSON.parse(readFileSync(0, "utf8"));
if (what === "layout") {
  const { xs, ys } = layout(given.levels, given.inputs);
  console.log(JSON.stringify({ xs: [...xs], ys: [...ys] }));
} else if (what === "grouped") {
  const found = grouped(given.levels, given.types, given.inputs, new Set(given.apart));
  console.log(JSON.stringify({ ...found, of: [...found.of] }));
} else if (what === "units") {
  const { plural, size } = await load("units");
  const plurals = given.counts.map((each) => plural(each, "step"));
  console.log(JSON.stringify({ sizes: given.counts.map(size), plurals }));
} else {
  const standing = new Standing(given.states, given.keys, given.inputs);
  const told = given.events.map(([type, data]) => standing.hear(type, data) ?? "look");
  console.log(JSON.stringify({ states: standing.states, told }));
}
"""


def run(what: str, **given: Any) -> dict[str, Any]:
    """Return what a script makes of this."""
    node, _ = node_and_npm()
    command = [node, "--input-type=module", "--eval", SCRIPT, str(FOLDER)]
    question = json.dumps({"what": what, "given": given})
    result = subprocess.run(command, input=question, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr[-2000:]
    return dict(json.loads(result.stdout))


def dag(count: int, seed: int) -> tuple[list[int], list[list[int]]]:
    """Return levels and inputs of a DAG that reads up to three of what stands before."""
    source = random.Random(seed)
    inputs = [sorted(source.sample(range(node), min(node, source.randint(0, 3)))) for node in range(count)]
    levels: list[int] = []
    for read in inputs:
        levels.append(1 + max((levels[each] for each in read), default=-1))
    return levels, inputs


@pytest.mark.parametrize(("count", "seed"), [(1, 0), (40, 1), (600, 2)])
def test_no_node_lies_on_another_and_each_is_right_of_what_it_reads(count: int, seed: int) -> None:
    levels, inputs = dag(count, seed)
    found = run("layout", levels=levels, inputs=inputs)
    places = sorted(zip(found["xs"], found["ys"], strict=True))
    for (x1, y1), (x2, y2) in pairwise(places):
        assert x2 - x1 >= WIDTH or (x1 == x2 and y2 - y1 >= HEIGHT)
    for node, read in enumerate(inputs):
        assert all(found["xs"][each] + WIDTH < found["xs"][node] for each in read)


def test_a_thousand_steps_alike_are_a_block_and_not_a_line() -> None:
    found = run("layout", levels=[0] + [1] * 1000, inputs=[[]] + [[0]] * 1000)
    width, height = (max(found[axis]) - min(found[axis]) for axis in ("xs", "ys"))
    assert 1 / 4 < width / height < 4


def test_rows_are_in_the_order_of_what_they_read() -> None:
    found = run("layout", levels=[0, 0, 0, 1, 1, 1], inputs=[[], [], [], [2], [1], [0]])
    assert found["ys"][5] < found["ys"][4] < found["ys"][3]


def test_groups_are_of_one_level_and_type_and_can_be_apart() -> None:
    given = {"levels": [0, 1, 1, 1, 2], "types": ["S", "A", "A", "B", "C"], "inputs": [[], [0], [0], [0], [1, 2, 3]]}
    found = run("grouped", **given, apart=[])
    assert [group["members"] for group in found["groups"]] == [[0], [1, 2], [3], [4]]
    assert found["of"] == [0, 1, 1, 2, 3]
    assert found["inputs"] == [[], [0], [0], [1, 2]]
    assert found["levels"] == [0, 1, 1, 2]
    apart = run("grouped", **given, apart=["1 A"])
    assert [group["members"] for group in apart["groups"]] == [[0], [1], [2], [3], [4]]


def test_the_stream_listens_to_all_that_happens_to_runs_and_steps() -> None:
    listed = re.search(r"const TYPES = \[(.*?)\];", (FOLDER / "stream.js").read_text(), re.DOTALL)
    assert listed
    happens = {each.type_name for kind in (Run.Event, Step.Event) for each in kind.__subclasses__()}
    assert set(re.findall(r'"(\w+)"', listed[1])) == happens | {"progress"}


# --- how steps stand ------------------------------------------------------------------------------------------------


def heard(*events: tuple[str, dict[str, Any]], states: str = "cached pending pending pending") -> dict[str, Any]:
    """Tell events to a run of a source and three steps, one after the other."""
    given = {"states": states.split(), "keys": ["k0", "k1", "k2", "k3"], "inputs": [[], [0], [1], [2]]}
    return run("standing", **given, events=events)


def of_run(name: str, *steps: int, **data: Any) -> tuple[str, dict[str, Any]]:
    """Return an event of the run."""
    return f"Run{name}", {"subject": "run-1", "steps": [{"step": step} for step in steps], **data}


def of_step(name: str, step: int) -> tuple[str, dict[str, Any]]:
    """Return an event of a step."""
    return f"Step{name}", {"subject": f"step-k{step}"}


def test_a_step_is_handed_out_begun_tried_again_and_done() -> None:
    begun = [of_run("StepsScheduled", 1), of_step("Started", 1)]
    assert heard(begun[0])["states"][1] == "scheduled"
    assert heard(*begun)["states"][1] == "running"
    assert heard(*begun, of_step("AttemptFailed", 1))["states"][1] == "waiting"
    assert heard(*begun, of_step("Cancelled", 1))["states"][1] == "scheduled"
    done = heard(*begun, of_step("Completed", 1), of_run("StepsSatisfied", 1))
    assert done["states"] == ["cached", "completed", "pending", "pending"]
    assert done["told"] == [[1], [1], [1], []]


def test_a_step_that_somebody_else_began_runs_once_it_is_asked_for() -> None:
    assert heard(of_step("Started", 1))["states"][1] == "pending"
    assert heard(of_step("Started", 1), of_run("StepsScheduled", 1))["states"][1] == "running"


def test_what_needs_a_lost_step_is_skipped_and_late_news_of_it_changes_nothing() -> None:
    events = [of_run("StepsScheduled", 1), of_run("StepsFailed", 1), of_step("Completed", 1)]
    assert heard(*events)["states"] == ["cached", "failed", "skipped", "skipped"]


def test_events_that_are_heard_twice_lead_to_the_same() -> None:
    events = [of_run("StepsScheduled", 1), of_step("Started", 1), of_step("Completed", 1), of_run("StepsSatisfied", 1)]
    late = heard(*events, states="cached completed scheduled pending")
    assert late["states"] == ["cached", "completed", "scheduled", "pending"]


def test_the_end_of_a_run_closes_its_steps() -> None:
    states = "cached completed running pending"
    assert heard(of_run("Cancelled"), states=states)["states"] == ["cached", "completed", "cancelled", "skipped"]
    failed = heard(of_run("Failed", step=2), states=states)
    assert failed["states"] == ["cached", "completed", "failed", "skipped"]


def test_a_plan_that_grows_has_to_be_looked_at_again() -> None:
    found = heard(of_run("StepsPlanned", 4), of_run("StepsScheduled", 4))
    assert found["told"] == ["look", []]
    assert len(found["states"]) == 4


def test_numbers_read_as_those_that_the_server_writes() -> None:
    counts = [0, 1, 999, 1000, 1500, 99_940, 99_960, 999_499, 999_500, 12_345_678, 5 * 10**15]
    told = run("units", counts=counts)
    assert told["sizes"] == [words.size(count) for count in counts]
    assert told["plurals"] == [words.plural(count, "step") for count in counts]
