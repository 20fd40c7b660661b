"""``/runs/compare``: two runs side by side: what went in, which steps differ, how long they took, what came out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.web import pages
from services.gateway.web.asking import Name, ask, content
from services.gateway.web.pages import page

router = pages.router()

CHOICE = 50
"""Newest runs that can be chosen."""

SHOWN = 200
"""Steps that differ, of which it is told how."""

INPUTS = 6
"""Contents of one input that are shown."""

COMPUTED = "completed"

Step = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """A step of one run beside its like in another; None: the other has none.

    Attributes:
        changes: parameter → its values in both; None: it is not given there.
        inputs_differ: it reads something else.
    """

    first: Step | None
    second: Step | None
    changes: dict[str, tuple[Any, Any]]
    inputs_differ: bool = False


@dataclass(frozen=True, slots=True)
class TypeTime:
    """How long the steps of a type took that were computed, in milliseconds, and how many there were, in both runs."""

    type: str
    counts: tuple[int, int]
    spent_ms: tuple[int, int]


@router.get("/runs/compare")
async def compare(request: Request, a: Name = "", b: Name = "") -> Response:
    """Two runs side by side; without them, a form to choose them."""
    if not a or not b:
        found = await ask(request, "/runs", {"limit": CHOICE})
        return await page(request, "compare_choose.html", runs=found["runs"], a=a, b=b)
    first, second = await asyncio.gather(ask(request, f"/runs/{a}"), ask(request, f"/runs/{b}"))
    plans = await asyncio.gather(*(ask(request, f"/api/run/{run['run_id']}/plan") for run in (first, second)))
    steps = [plan["steps"] for plan in plans]
    outputs = await asyncio.gather(*(_output(request, run) for run in (first, second)))
    differing = pairs(*steps)
    return await page(
        request,
        "compare.html",
        runs=(first, second),
        outputs=outputs,
        inputs=await _inputs(request, first, second),
        pairs=differing[:SHOWN],
        more=max(0, len(differing) - SHOWN),
        same=len(steps[0]) - sum(pair.first is not None for pair in differing),
        times=type_times(*steps),
    )


def pairs(first: Sequence[Step], second: Sequence[Step]) -> list[Pair]:
    """Return the steps that two plans do not share, each beside its like, in the order of the plans.

    Equal steps have equal cache ids. Of the others those are alike that have the same name and type, in order.
    """
    shared = {step["cache_id"] for step in first} & {step["cache_id"] for step in second}
    waiting: defaultdict[tuple[str, str], list[Step]] = defaultdict(list)
    for step in second:
        if step["cache_id"] not in shared:
            waiting[step["node"], step["type"]].append(step)
    found = []
    for step in first:
        if step["cache_id"] in shared:
            continue
        like = waiting[step["node"], step["type"]]
        other = like.pop(0) if like else None
        if other is None:
            found.append(Pair(step, None, {}))
        else:
            differs = _reads(step, first) != _reads(other, second)
            found.append(Pair(step, other, changes(step["config"], other["config"]), differs))
    left = {step["index"] for like in waiting.values() for step in like}
    return found + [Pair(None, step, {}) for step in second if step["index"] in left]


def changes(before: Mapping[str, Any], after: Mapping[str, Any], inside: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the parameters that differ, with both values; dots name a parameter inside another."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= changes(one, other, f"{inside}{name}.")
        elif one != other:
            found[f"{inside}{name}"] = (one, other)
    return found


def type_times(first: Sequence[Step], second: Sequence[Step]) -> list[TypeTime]:
    """Return how long the computed steps of each type took in both runs, what took longest first."""
    spent: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for place, steps in enumerate((first, second)):
        for step in steps:
            if step["status"] == COMPUTED and step["duration_ms"] is not None:
                spent[step["type"]][place] += step["duration_ms"]
                counts[step["type"]][place] += 1
    order = sorted(spent, key=lambda kind: (-max(spent[kind]), kind))
    return [TypeTime(kind, (counts[kind][0], counts[kind][1]), (spent[kind][0], spent[kind][1])) for kind in order]


def _reads(step: Step, steps: Sequence[Step]) -> list[str]:
    return [steps[index]["cache_id"] for index in step["inputs"]]


async def _output(request: Request, run: dict[str, Any]) -> dict[str, Any] | None:
    return await content(request, run["output_cid"]) if run["output_cid"] else None


async def _inputs(request: Request, first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the inputs of both runs by their names: what each was given, and whether it is the same."""
    given = [{each["name"]: each["cids"] for each in run["inputs"]} for run in (first, second)]
    names = list(dict.fromkeys([*given[0], *given[1]]))
    cids = {cid for each in given for name in names for cid in each.get(name, [])[:INPUTS]}
    known = dict(zip(cids, await asyncio.gather(*(content(request, cid) for cid in cids)), strict=True))
    return [
        {
            "name": name,
            "same": given[0].get(name) == given[1].get(name),
            "sides": [[known[cid] for cid in each.get(name, [])[:INPUTS]] for each in given],
            "more": [max(0, len(each.get(name, [])) - INPUTS) for each in given],
        }
        for name in names
    ]
