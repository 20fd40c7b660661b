"""``/recipe/{id}``: one recipe: what it is, how it is run, its DAG."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from artdag_common.domain.recipe_forms import SOURCES
from artdag_common.steps.bind import BIND
from services.gateway.drawing import drawn
from services.gateway.estimating import estimate, typical
from services.gateway.parts import Gateway
from services.gateway.problems import Json
from services.gateway.web import pages
from services.gateway.web.asking import Name, RefusedError, ask, content, told, who
from services.gateway.web.controls import Control, Knobs, inner, knobs
from services.gateway.web.pages import aliases, here, page
from services.gateway.web.recipes import Chosen

router = pages.router()
data = aliases({"/recipe/{recipe}": "/recipes/{recipe}", "/recipe/{recipe}/dag": "/recipes/{recipe}"})

KNOBS = 60
"""Nodes whose parameters one form shows; who has more changes the recipe itself."""

ROWS = 200
"""Of one page of the DAG's table."""

DONE = ("cached", "completed")
TABS = (("", "Run"), ("/dag", "Steps"))


@router.get("/recipe/{recipe}")
async def recipe(
    request: Request, recipe: str, media: Chosen, begun: Annotated[Name, Query(alias="from")] = ""
) -> Response:
    """What it takes, and the form that runs it; ``from`` names a run whose inputs it begins with, ``media`` content."""
    found = await ask(request, f"/recipes/{recipe}")
    form = await run_form(request, found["recipe_id"], found["inputs"], found["nodes"], begun, media)
    publication = await told(request, f"/cache/{found['recipe_id']}/publish")
    published = publication["published"] if publication else None
    return await _tab(request, "recipe_run.html", found, form=form, published=published)


@router.get("/recipe/{recipe}/dag")
async def dag(request: Request, recipe: str, view: str = "graph", after: Annotated[int, Query(ge=0)] = 0) -> Response:
    """Its DAG as a graph, or as a table; ``after``: the node with which a page of the table begins."""
    found = await ask(request, f"/recipes/{recipe}")
    nodes = list(enumerate(found["nodes"]))[after : after + ROWS] if view == "table" else []
    following = after + ROWS if nodes and after + ROWS < len(found["nodes"]) else 0
    shown = {"view": view, "nodes": nodes, "following": following}
    return await _tab(request, "recipe_dag.html", found, "/dag", **shown)


@router.get("/recipe/{recipe}/steps/{place}")
async def node(request: Request, recipe: str, place: int) -> Response:
    """One node: for the panel beside the graph, and as a page."""
    found = await ask(request, f"/recipes/{recipe}")
    nodes = found["nodes"]
    if not 0 <= place < len(nodes):
        detail = f"recipe {found['name']} has no node {place}; it has {len(nodes)}"
        raise RefusedError({"status": 404, "title": "Node not found", "detail": detail}, {})
    this = nodes[place]
    places = {each["id"]: number for number, each in enumerate(nodes)}
    variable = next((each for each in found["inputs"] if each["node"] == this["id"]), None)
    readers = [(places[each["id"]], each["id"]) for each in nodes if this["id"] in each["inputs"]]
    reads = [(places[each], each) for each in this["inputs"]]
    controls = next((each.controls for each in await _knobs(request, [this])), ())
    shown = {"node": this, "place": place, "variable": variable, "reads": reads, "readers": readers}
    return await _tab(request, "recipe_node.html", found, "/dag", controls=controls, rest=rest(this, controls), **shown)


@router.get("/recipe/{recipe}/outlook/{run_id}")
async def outlook(request: Request, recipe: str, run_id: str) -> Response:
    """What a plan that waits will cost: how much of it is there already, and about how long the rest takes."""
    run, plan = await asyncio.gather(ask(request, f"/runs/{run_id}"), ask(request, f"/api/run/{run_id}/plan"))
    parts: Gateway = request.app.state.gateway
    steps = plan["steps"]
    counted = [step for step in steps if step["type"] != "SOURCE"]
    left = [step for step in counted if step["status"] not in DONE]
    kinds = Counter(step["type"] for step in left).most_common()
    shown = {
        "run": run,
        "total": len(counted),
        "cached": len(counted) - len(left),
        "kinds": kinds,
        "left_ms": estimate(steps, await typical(parts.pool, run["owner"])),
    }
    return await page(request, "outlook.html", **shown)


@data.get("/recipe/{recipe}/graph")
async def graph(request: Request, recipe: str) -> Response:
    """Its DAG as ``static/dag.js`` draws it."""
    found = await ask(request, f"/recipes/{recipe}")
    return Json(drawn(found["nodes"], found["output"]))


async def run_form(
    request: Request,
    recipe: str,
    inputs: list[dict[str, Any]],
    nodes: list[dict[str, Any]],
    begun: str = "",
    media: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what the form takes that runs a recipe, or an effect by itself.

    Args:
        recipe: its id, as runs name it.
        begun: a run that it begins with; empty: none.
        media: CIDs of what goes into the first inputs that take it, after what the run had there.
    """
    steps = [node for node in nodes if node["type"] not in SOURCES]
    run = await ask(request, f"/runs/{begun}") if begun else None
    names = {each["node"]: each["name"] for each in inputs} | {each["name"]: each["name"] for each in inputs}
    given = {names.get(each["name"], each["name"]): each["cids"] for each in run["inputs"]} if run else {}
    chosen: dict[str, list[dict[str, Any]]] = {}
    for name, cids in given.items():
        chosen[name] = list(await asyncio.gather(*(content(request, cid) for cid in cids)))
    unfit = put_in(await asyncio.gather(*(content(request, cid) for cid in media)), inputs, chosen)
    same = run is not None and run["recipe_cid"] == recipe and run["owner"] == await who(request)
    return {
        "recipe": recipe,
        "here": here(request),
        "inputs": inputs,
        "chosen": chosen,
        "unfit": unfit,
        "was": given if same else {},
        "knobs": await _knobs(request, steps[:KNOBS]),
        "shown": KNOBS,
        "left_out": max(0, len(steps) - KNOBS),
        "run": run,
        "rerun": begun if same else "",
    }


def put_in(
    media: Sequence[dict[str, Any]], inputs: Sequence[dict[str, Any]], chosen: dict[str, Any]
) -> list[dict[str, Any]]:
    """Put each piece of content into the first input of its kind that has room: a list, or one that has nothing.

    Returns:
        What no input has room for, and none has.
    """
    unfit = []
    for it in media:
        kind = (it["media_type"] or "").partition("/")[0]
        for each in inputs:
            there = chosen.setdefault(each["name"], [])
            if each["type"] in (kind, "any") and (each["list"] or not there):
                there.append(it)
                break
        else:
            if not any(it["cid"] == each["cid"] for there in chosen.values() for each in there):
                unfit.append(it)
    return unfit


def rest(node: Mapping[str, Any], controls: Sequence[Control]) -> dict[str, Any]:
    """Return what a node's parameters hold beside that which controls set; of a MAP beside those of each item, too."""
    _, config = inner(node)
    set_by = {each.name.partition(".")[0] for each in controls} | {BIND}
    left = {name: value for name, value in config.items() if name not in set_by}
    return left if config is node["config"] else {"operation": node["config"]["operation"]} | left


async def _knobs(request: Request, nodes: Sequence[Mapping[str, Any]]) -> list[Knobs]:
    """Return the controls of nodes, with those of the effects that they apply, as far as whoever asks sees these."""
    effects = sorted({str(config["effect"]) for _, config in map(inner, nodes) if config.get("effect")})
    schemas = await asyncio.gather(*(told(request, f"/effects/{each}") for each in effects))
    return knobs(nodes, {name: said for name, said in zip(effects, schemas, strict=True) if said})


async def _tab(request: Request, template: str, recipe: dict[str, Any], tab: str = "", **shown: Any) -> Response:
    base = f"/recipe/{recipe['recipe_id']}"
    tabs = [(f"{base}{suffix}", name, suffix == tab) for suffix, name in TABS]
    own = recipe["owner"] == await who(request)
    return await page(request, template, recipe=recipe, base=base, tabs=tabs, own=own, **shown)
