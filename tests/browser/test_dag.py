"""The plan as a graph: drawn and live, gone through by keyboard, searched, grouped, and the same as a table."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import NewPage

MakeRun = Callable[..., Awaitable[dict[str, Any]]]
MakeWide = Callable[..., Awaitable[str]]
Release = Callable[[], None]

WIDTH = 40
PAGE = 200
"""Steps of one page of the table."""

SHOWN = """wanted => new Promise((done) => {
  function look() {
    const canvas = document.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] === 255 && `rgb(${data[at]}, ${data[at + 1]}, ${data[at + 2]})` === wanted) return done();
    }
    requestAnimationFrame(look);
  }
  look();
})"""
COLOUR = """name => {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.style.color = `var(--color-${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}"""
PALE = """least => new Promise((done) => {
  function look() {
    const canvas = document.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let at = 3; at < data.length; at += 4) found += data[at] > 0 && data[at] < 255;
    if (found >= least) return done();
    requestAnimationFrame(look);
  }
  look();
})"""
"""Resolves when so many pixels are neither empty nor of one colour alone: those of lines."""

FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
GIVEN = {
    "names": ["film", "first", "second"],
    "types": ["SOURCE", "EFFECT", "EFFECT"],
    "levels": [0, 1, 2],
    "inputs": [[], [0], [1]],
    "configs": [{}, {"effect": "invert"}, {"effect": "dog"}],
}


def key(page: Page, state: str) -> Any:
    """Return what says how many steps are in a state."""
    return page.locator(f"[data-key] [data-state={state}]")


async def shows(page: Page, colour: str) -> None:
    """Wait until something on the canvas has a colour of the theme."""
    async with asyncio.timeout(60):
        await page.evaluate(SHOWN, await page.evaluate(COLOUR, colour))


@pytest.fixture
def make_wide(api: httpx.AsyncClient, asset: str) -> MakeWide:
    """Start a run of a step that so many read, all of which one reads."""

    async def make(width: int) -> str:
        salt = uuid4().hex
        sides = [f"side{i}" for i in range(width)]
        nodes: list[dict[str, Any]] = [{"id": "source", "type": "SOURCE", "config": {"input": True, "name": "source"}}]
        nodes += [{"id": n, "type": "NOOP", "config": {"salt": f"{salt}{n}"}, "inputs": ["source"]} for n in sides]
        nodes.append({"id": "last", "type": "NOOP", "config": {"salt": salt}, "inputs": sides})
        recipe = {"name": f"wide-{salt[:6]}", "version": "1", "dag": {"nodes": nodes, "output": "last"}}
        answer = await api.post("/runs", json={"recipe": json.dumps(recipe), "inputs": {"source": asset}})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run_id"])

    return make


@pytest.fixture
async def wide(make_wide: MakeWide, finish: Callable[[str], Awaitable[Any]]) -> str:
    """A completed one."""
    run_id = await make_wide(WIDTH)
    assert (await finish(run_id))["status"] == "completed"
    return run_id


async def test_the_graph_follows_the_run(new_page: NewPage, make_run: MakeRun, held: Release) -> None:
    run = await make_run(3, wait=False)
    pages = [await new_page(), await new_page(width=390, theme="dark")]
    for page in pages:
        await page.goto(f"/run/{run['run_id']}/plan")
        await expect(key(page, "pending")).to_have_text("2 pending")
        await expect(key(page, "cached")).to_have_text("1 from the cache")
        await shows(page, "wait-soft")
    held()
    for page in pages:
        await expect(key(page, "completed")).to_have_text("3 completed")
        await expect(key(page, "pending")).to_be_hidden()
        await shows(page, "good-soft")


async def test_steps_are_gone_through_and_opened_by_keyboard(page: Page, make_run: MakeRun) -> None:
    run = await make_run(2)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(key(page, "completed")).to_have_text("2 completed")
    told, panel = page.locator("[data-told]"), page.locator("[data-panel]")
    await page.locator("canvas").focus()
    await page.keyboard.press("ArrowRight")
    await expect(told).to_have_text("media, SOURCE · from the cache, reads nothing")
    await page.keyboard.press("ArrowRight")
    await expect(told).to_have_text("s0, NOOP · completed, reads media")
    await page.keyboard.press("Enter")
    await expect(panel).to_be_focused()
    await expect(panel.get_by_role("heading", level=2)).to_contain_text("s0")
    await expect(panel.get_by_text("salt")).to_be_visible()
    await expect(panel.get_by_role("region", name="Log")).to_contain_text("takes no time")
    await expect(page).to_have_url(re.compile("/plan#step-1$"))
    await panel.get_by_role("link", name="s1").press("Enter")
    await expect(panel.get_by_role("heading", level=2)).to_contain_text("s1")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(page.locator("canvas")).to_be_focused()
    await page.goto(f"/run/{run['run_id']}/plan#step-2")
    await page.reload()
    await expect(panel.get_by_role("heading", level=2)).to_contain_text("s1")


async def test_a_step_that_is_closed_before_it_came_stays_closed(page: Page, make_run: MakeRun) -> None:
    run = await make_run(1)
    asked, let = asyncio.Event(), asyncio.Event()

    async def later(route: Route) -> None:
        asked.set()
        await let.wait()
        await route.continue_()

    await page.route("**/steps/0", later)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(key(page, "completed")).to_be_visible()
    await page.locator("canvas").focus()
    await page.keyboard.press("Home")
    async with page.expect_response("**/steps/0") as answered:
        await page.keyboard.press("Enter")
        await asked.wait()
        await page.keyboard.press("Escape")
        let.set()
    await (await answered.value).finished()
    await page.evaluate(FRAME)
    await expect(page.locator("[data-panel]")).to_be_hidden()
    assert "#" not in page.url


async def test_the_graph_stays_under_its_reader_s_hands_when_the_run_is_paused(
    page: Page, make_run: MakeRun, held: Release
) -> None:
    run = await make_run(2, wait=False)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(key(page, "pending")).to_be_visible()
    await page.locator("canvas").focus()
    await page.keyboard.press("End")
    await page.evaluate("window.canvas = document.querySelector('canvas')")
    await page.get_by_role("button", name="Pause").press("Enter")
    await expect(page.get_by_text("The run is paused")).to_be_visible()  # for four seconds
    await expect(page.locator("#run-head [data-status=paused]")).to_be_visible()
    await expect(page.get_by_role("button", name="Resume")).to_be_focused()
    assert await page.evaluate("document.querySelector('canvas') === window.canvas"), "the graph was made anew"
    await expect(page.locator("[data-told]")).to_contain_text("s1, NOOP")


async def test_a_step_is_opened_by_hand(page: Page, make_run: MakeRun) -> None:
    run = await make_run(2)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(key(page, "completed")).to_be_visible()
    canvas, panel = page.locator("canvas"), page.locator("[data-panel]")
    box = await canvas.bounding_box()
    assert box
    await canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})  # three steps in a line
    await expect(panel.get_by_role("heading", level=2)).to_contain_text("s0")
    await panel.get_by_role("button", name="Close").click()
    await expect(panel).to_be_hidden()


async def test_steps_are_found(page: Page, wide: str) -> None:
    await page.goto(f"/run/{wide}/plan")
    await expect(key(page, "completed")).to_have_text(f"{WIDTH + 1} completed")
    find, found, told = page.get_by_label("Find a step"), page.locator("[data-found]"), page.locator("[data-told]")
    await find.fill("side3")
    await expect(found).to_contain_text("11 found")
    await find.press("Enter")
    await expect(told).to_contain_text("side3, ")
    await find.press("Enter")
    await expect(told).to_contain_text("side30, ")
    await find.fill("no such step")
    await expect(found).to_have_text("0 found")
    await key(page, "cached").click()
    await expect(found).to_contain_text("1 found")


async def test_steps_alike_are_grouped_and_a_group_is_opened_and_closed(page: Page, wide: str) -> None:
    await page.goto(f"/run/{wide}/plan")
    await expect(key(page, "completed")).to_be_visible()
    await page.get_by_role("button", name="Group alike").click()
    told, close = page.locator("[data-told]"), page.get_by_role("button", name="Close this group")
    await page.locator("canvas").focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowRight")
    await expect(told).to_have_text(f"{WIDTH} × NOOP, 100 % done, Enter opens the group")
    await page.keyboard.press("Enter")
    await expect(told).to_contain_text("side0, NOOP")
    await close.click()
    await expect(told).to_contain_text(f"{WIDTH} × NOOP")
    await expect(close).to_be_hidden()


async def test_many_lines_are_drawn_for_steps_and_for_groups(page: Page, make_run: MakeRun) -> None:
    run = await make_run(1)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(key(page, "completed")).to_be_visible()
    given = {
        "names": [f"n{node}" for node in range(120)],
        "types": ["NOOP"] * 120,
        "levels": [node // 40 for node in range(120)],
        "inputs": [list(range(node // 40 * 40 - 40, node // 40 * 40)) if node >= 40 else [] for node in range(120)],
    }
    give = """given => document.querySelector("[data-module=dag]").dispatchEvent(
      new CustomEvent("artdag:graph", { detail: given }))"""
    await page.evaluate(give, given)
    await page.evaluate(PALE, 10_000)
    group = page.get_by_role("button", name="Group alike")
    await group.click()
    await group.click()
    await page.evaluate(PALE, 10_000)
    await page.evaluate(give, given | {"inputs": [[]] * 120})
    await page.evaluate(give, given)
    await page.evaluate(PALE, 10_000)


async def test_the_table_says_the_same(page: Page, wide: str, api: httpx.AsyncClient) -> None:
    plan = (await api.get(f"/api/run/{wide}/plan")).json()["steps"]
    graph = (await api.get(f"/run/{wide}/graph")).json()
    assert graph["names"] == [step["node"] for step in plan]
    assert graph["states"] == [step["status"] for step in plan]
    assert graph["inputs"] == [step["inputs"] for step in plan]
    await page.goto(f"/run/{wide}/plan")
    await page.get_by_role("link", name="The same as a table").click()
    rows = page.locator("#steps tr")
    await expect(rows).to_have_count(len(plan))
    assert await rows.locator("td:nth-child(2)").all_inner_texts() == graph["names"]
    await page.get_by_label("Only steps that are").select_option("cached")
    await page.get_by_role("button", name="Show").click()
    await expect(rows).to_have_count(1)


async def test_the_table_follows_the_run(page: Page, make_run: MakeRun, held: Release) -> None:
    run = await make_run(2, wait=False)
    await page.goto(f"/run/{run['run_id']}/plan?view=table")
    last = page.locator("#step-2")
    await expect(last.locator("[data-status=pending]")).to_be_visible()
    await last.get_by_role("link", name="s1").focus()
    held()
    await expect(last.locator("[data-status=completed]")).to_be_visible()
    await expect(last.get_by_role("link", name="s1")).to_be_focused()


async def test_pages_of_the_table_that_were_loaded_below_follow_the_run(
    page: Page, make_wide: MakeWide, held: Release
) -> None:
    run_id = await make_wide(PAGE + 5)
    await page.goto(f"/run/{run_id}/plan?view=table")
    rows = page.locator("#steps tr")
    await expect(rows).to_have_count(PAGE)
    await page.get_by_role("link", name="Show more").scroll_into_view_if_needed()
    await expect(rows).to_have_count(PAGE + 7)
    await expect(page.locator(f"#step-{PAGE + 6} [data-status=pending]")).to_have_count(1)
    held()
    await expect(page.locator("#steps [data-status=completed]")).to_have_count(PAGE + 6)
    await expect(rows).to_have_count(PAGE + 7)
    await expect(page.get_by_role("link", name="Show more")).to_have_count(0)


async def test_a_table_of_steps_in_one_state_loses_those_that_leave_it(
    page: Page, make_run: MakeRun, held: Release
) -> None:
    run = await make_run(3, wait=False)
    await page.goto(f"/run/{run['run_id']}/plan?view=table&status=pending")
    rows = page.locator("#steps tr")
    await expect(rows).to_have_count(2)
    held()
    await expect(page.get_by_text("No step of this run is in this state now.")).to_be_visible()
    await expect(rows).to_have_count(0)
    await expect(page.get_by_role("columnheader", name="State")).to_be_hidden()


async def test_artifacts_come_in_below_and_all_of_them_are_reached(
    page: Page, make_wide: MakeWide, held: Release
) -> None:
    run_id = await make_wide(WIDTH)
    await page.goto(f"/run/{run_id}/artifacts")
    tiles = page.locator("#made > div")
    await expect(tiles).to_have_count(1)
    held()
    await expect(page.locator("#run-head [data-status=completed]")).to_be_visible()
    await page.get_by_role("link", name="Show more").scroll_into_view_if_needed()
    await expect(tiles).to_have_count(WIDTH + 2)
    ids = await tiles.evaluate_all("tiles => tiles.map(tile => tile.id)")
    assert len(set(ids)) == WIDTH + 2
    await expect(tiles.last).to_contain_text("last")


async def test_the_graph_takes_another_theme(page: Page, make_run: MakeRun) -> None:
    run = await make_run(1)
    await page.goto(f"/run/{run['run_id']}/plan")
    await shows(page, "good-soft")
    light = await page.evaluate(COLOUR, "good-soft")
    await page.get_by_role("button", name="Light or dark").click()
    assert await page.evaluate(COLOUR, "good-soft") != light
    await shows(page, "good-soft")


async def test_a_graph_is_drawn_from_data_that_is_given(page: Page, make_run: MakeRun) -> None:
    run = await make_run(1)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(key(page, "completed")).to_be_visible()
    await page.evaluate(
        """given => {
          const graph = document.querySelector("[data-module=dag]");
          delete graph.dataset.steps;
          graph.dispatchEvent(new CustomEvent("artdag:graph", { detail: given }));
        }""",
        GIVEN,
    )
    await expect(key(page, "completed")).to_be_hidden()
    await page.locator("canvas").focus()
    await page.keyboard.press("End")
    await expect(page.locator("[data-told]")).to_have_text("second, EFFECT, reads first")
    await page.keyboard.press("Enter")
    panel = page.locator("[data-panel]")
    await expect(panel).to_contain_text("dog")
    await panel.get_by_role("button", name="first").click()
    await expect(panel).to_contain_text("invert")
