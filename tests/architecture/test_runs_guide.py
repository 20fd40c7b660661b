"""The guide to runs says what the code does: statuses, kinds of failures, and how often each is tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from artdag_cli.__main__ import app
from artdag_common.domain.failure import BAD_INPUT, KINDS, POLICIES
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.domain.run import FINISHED
from services.gateway.api.steering import router
from services.gateway.api.wishes import FARTHEST_DAYS, LONGEST_SECONDS, Changing, Priority
from services.gateway.projections.runs import GIVEN, UNFINISHED
from services.planner.scheduling import AGEING_SECONDS, PRIORITIES

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "runs.md").read_text()


def rows(first: str) -> dict[str, list[str]]:
    """Return the rows of the table whose head begins with a word, by what stands first in them."""
    table = GUIDE.split(f"| {first} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {cell[0].strip("`"): cell[1:] for cell in cells}


def test_every_kind_has_its_row_and_its_codes() -> None:
    table = rows("Kind")
    assert table.keys() == POLICIES.keys()
    named = {kind: set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", row[0])) for kind, row in table.items()}
    assert named == {kind: {code for code, of in KINDS.items() if of == kind} for kind in POLICIES}
    assert not named[BAD_INPUT]


@pytest.mark.parametrize("kind", sorted(POLICIES))
def test_how_often_and_how_long_is_true(kind: str) -> None:
    policy, (_, attempts, between) = POLICIES[kind], rows("Kind")[kind]
    assert int(attempts) == policy.attempts
    bounds = [float(number) for number in re.findall(r"([\d.]+) s", between)]
    if policy.attempts == 1:
        assert between == ""
    elif not policy.most_s:
        assert between == "at once"
    else:
        waits = [min(policy.first_s * 2**i, policy.most_s) for i in range(policy.attempts - 1)]
        assert bounds == ([*waits[:3], waits[-1]] if len(waits) > 3 else waits)


def test_every_status_has_its_row() -> None:
    assert rows("Step").keys() == {*UNFINISHED, *GIVEN, "failed", "cancelled", "skipped"}
    assert {*FINISHED, "requested", "analyzing", "planned", "running", "paused"} == rows("Run").keys()


def test_every_wish_has_its_row_and_its_bounds() -> None:
    assert rows("Field").keys() == Changing.model_fields.keys()
    assert Priority.__args__ == PRIORITIES
    assert f"{LONGEST_SECONDS:,} (30 days)" in GUIDE
    assert f"at most {FARTHEST_DAYS} days" in GUIDE
    assert f"for {AGEING_SECONDS:g} s moves up" in GUIDE


def test_every_way_to_steer_has_its_row() -> None:
    told = set(re.findall(r"`POST (/runs/[\w/]+)`", GUIDE.split("## Steering")[1]))
    routes = {route.path.replace("{run_id}", "RUN").replace("{step}", "STEP") for route in router.routes}  # type: ignore[attr-defined]
    assert told == routes
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`artdag (\w+) RUN", GUIDE)) <= commands


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", GUIDE, re.S))
def test_the_examples_are_recipes(text: str) -> None:
    assert parse_recipe(text).on_failure == "continue"
