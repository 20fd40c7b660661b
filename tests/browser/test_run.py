"""The pages of one run: steered from them, brought up to date while they are looked at, and two runs side by side."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Page, Route, expect

from artdag_cli.demo_media import CAT_RATE
from artdag_common.messaging.bus import Bus
from tests.browser.conftest import NewPage
from tests.integration.gateway.people import signing_in

MakeRun = Callable[..., Awaitable[dict[str, Any]]]
MakeMedia = Callable[..., Awaitable[str]]
Release = Callable[[], None]

KNOWN = """() => Promise.all([...document.querySelectorAll("video")].map((each) =>
  each.readyState || new Promise((done) => each.addEventListener("loadedmetadata", done, { once: true }))))"""
SLOWLY = """() => document.querySelectorAll("video").forEach((each) =>
  Object.assign(each, { playbackRate: 0.0625, loop: true }))"""
BOTH = """() => [...document.querySelectorAll("video")].map((each) => each.currentTime)"""


def standing(page: Page, status: str) -> Any:
    """Return the badge that says how a run stands."""
    return page.locator(f"#run-head [data-status={status}]")


async def test_a_run_is_paused_resumed_and_cancelled_from_its_page(
    page: Page, make_run: MakeRun, held: Release
) -> None:
    run = await make_run(3, wait=False)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(standing(page, "running")).to_be_visible()
    await page.get_by_role("button", name="Pause").click()
    await expect(standing(page, "paused")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(standing(page, "running")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(standing(page, "cancelled")).to_be_visible()
    await expect(page.locator("[data-key] [data-state=skipped]")).to_have_text("2 skipped")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    held()
    await page.get_by_role("button", name="Try again").click()
    await expect(standing(page, "completed")).to_be_visible()
    await expect(page).not_to_have_url(re.compile(run["run_id"]))


async def test_a_plan_that_waits_is_let_go_from_its_page(
    page: Page, make_recipe: MakeRun, asset: str, api: httpx.AsyncClient, held: Release
) -> None:
    recipe = (await make_recipe(2))["recipe_id"]
    run = (await api.post("/api/plan", json={"recipe": recipe, "inputs": {"media": asset}})).json()
    await page.goto(f"/run/{run['run_id']}")
    await expect(standing(page, "planned")).to_be_visible()
    await expect(page.locator("#working")).to_contain_text("it is planned, 3 steps, 1 of them in the cache")
    await page.evaluate("window.kept = true")
    await page.get_by_role("button", name="Run this plan").click()
    await expect(standing(page, "running")).to_be_visible()
    await expect(page.locator("#working")).not_to_contain_text("it is planned")
    assert await page.evaluate("window.kept"), "the page was loaded anew"
    held()
    await expect(standing(page, "completed")).to_be_visible()


async def test_only_the_owner_is_offered_what_only_the_owner_may_do(
    page: Page, new_page: NewPage, make_run: MakeRun, api: httpx.AsyncClient, url: str, bus: Bus
) -> None:
    run = await make_run(1)
    assert (await api.post(f"/runs/{run['run_id']}/publish", json={"name": "for all"})).status_code in (200, 201)
    async with signing_in(url, bus) as sign_in:
        other = await new_page(token=(await sign_in()).token)
        for at, offered in ((page, 1), (other, 0)):
            await at.goto(f"/run/{run['run_id']}")
            await expect(at.get_by_role("link", name="Run with changes")).to_be_visible()
            await expect(at.get_by_role("button", name="Delete")).to_have_count(offered)


async def test_a_run_that_another_resumes_goes_on_here_and_shows_its_result(
    page: Page, make_run: MakeRun, api: httpx.AsyncClient, held: Release
) -> None:
    run = await make_run(2, wait=False)
    address = f"/runs/{run['run_id']}"
    assert (await api.post(f"{address}/pause")).json()["status"] == "paused"
    await page.goto(f"/run/{run['run_id']}")
    await expect(page.get_by_text("Paused: nothing further starts")).to_be_visible()
    await page.evaluate("window.kept = true")
    await api.post(f"{address}/resume")
    await expect(standing(page, "running")).to_be_visible()
    held()
    await expect(page.get_by_role("link", name="About this content")).to_be_visible()
    await expect(standing(page, "completed")).to_be_visible()
    assert await page.evaluate("window.kept"), "the page was loaded anew"


@pytest.mark.parametrize("tab", ["", "/plan"])
async def test_the_end_is_shown_to_who_holds_something_with_the_mouse(
    page: Page, make_run: MakeRun, held: Release, tab: str
) -> None:
    run = await make_run(2, wait=False)
    await page.goto(f"/run/{run['run_id']}{tab}")
    await expect(standing(page, "running")).to_be_visible()
    await page.locator("h1").hover()
    await page.mouse.down()
    held()
    await expect(page.get_by_text("The run is completed")).to_be_visible()
    await page.evaluate("() => fetch(location.href).then((answer) => answer.text())")  # what was asked before is there
    await page.mouse.up()
    await expect(standing(page, "completed")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete")).to_be_visible()


@pytest.mark.parametrize("tab", ["", "/plan"])
async def test_the_end_is_shown_although_the_server_does_not_answer_at_first(
    page: Page, make_run: MakeRun, held: Release, expected: list[str], tab: str
) -> None:
    expected.append("status of 503")
    run = await make_run(2, wait=False)
    await page.goto(f"/run/{run['run_id']}{tab}")
    await expect(standing(page, "running")).to_be_visible()
    away = True

    async def answered(route: Route) -> None:
        if away and route.request.resource_type == "fetch":
            await route.fulfill(status=503, body="")
        else:
            await route.continue_()

    await page.route(re.compile(rf"/run/{run['run_id']}({tab}|/standing)$"), answered)
    held()
    await expect(page.get_by_text("The run is completed")).to_be_visible()
    await page.evaluate("() => fetch(location.href).then((answer) => answer.text())")  # what was asked is refused
    await expect(standing(page, "running")).to_be_visible()
    away = False
    await expect(standing(page, "completed")).to_be_visible()


async def test_the_keyboard_stays_where_it_is_while_the_page_changes(
    page: Page, make_run: MakeRun, api: httpx.AsyncClient, held: Release
) -> None:
    run = await make_run(2, wait=False)
    await page.goto(f"/run/{run['run_id']}")
    cancel = page.get_by_role("button", name="Cancel")
    await cancel.focus()
    await api.post(f"/runs/{run['run_id']}/pause")
    await expect(standing(page, "paused")).to_be_visible()
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()
    await expect(cancel).to_be_focused()


async def test_a_run_that_is_deleted_while_it_is_watched_is_said_to_be_gone(
    page: Page, make_run: MakeRun, api: httpx.AsyncClient, held: Release, expected: list[str]
) -> None:
    expected.append("status of 404")
    run = await make_run(2, wait=False)
    deleted = asyncio.Event()

    async def later(route: Route) -> None:
        await deleted.wait()
        await route.continue_()

    await page.route("**/standing", later)
    await page.goto(f"/run/{run['run_id']}/plan")
    await expect(page.locator("[data-key] [data-state=pending]")).to_be_visible()
    assert (await api.post(f"/runs/{run['run_id']}/cancel")).status_code == 200
    assert (await api.delete(f"/runs/{run['run_id']}")).status_code == 200
    deleted.set()
    await expect(page.get_by_text("This run was deleted.")).to_be_visible()


async def test_events_are_told_in_words(page: Page, make_run: MakeRun) -> None:
    run = await make_run(2)
    await page.goto(f"/run/{run['run_id']}/events")
    rows = page.locator("[data-rows] tr")
    await expect(rows.last).to_contain_text("Completed: 2 computed, 0 from the cache")
    all_of_them = await rows.count()
    await expect(page.locator("[data-count]")).to_have_text(f"{all_of_them} events")
    await expect(rows.filter(has_text="s0 done in")).to_have_count(1)
    await page.get_by_label("Those of single steps, too").uncheck()
    await expect(rows.filter(has_text="s0 done in")).to_have_count(0)
    await expect(rows.last).to_contain_text("RunCompleted")


async def test_the_record_of_a_run_names_what_went_in(page: Page, make_run: MakeRun, asset: str) -> None:
    run = await make_run(1)
    await page.goto(f"/run/{run['run_id']}/provenance")
    facts = page.locator("main dl")
    await expect(facts.get_by_role("link", name=run["output_cid"][:12]).first).to_be_visible()
    await expect(facts).to_contain_text("Inputs")
    await expect(facts.locator(f"a[href='/cache/{asset}']").first).to_be_visible()


async def test_a_step_that_is_not_there_is_refused_in_words(page: Page, make_run: MakeRun, expected: list[str]) -> None:
    expected.append("status of 404")
    run = await make_run(1)
    await page.goto(f"/run/{run['run_id']}/steps/9")
    await expect(page.get_by_text("has no step 9; it has 2")).to_be_visible()


# --- two runs -------------------------------------------------------------------------------------------------------


async def test_two_runs_are_chosen_and_compared(page: Page, make_run: MakeRun) -> None:
    names = [f"compared-{uuid4().hex[:6]}" for _ in range(2)]
    first, second = [await make_run(2, name=name) for name in names]
    await page.goto("/runs/compare")
    for label, run, name in (("One run", first, names[0]), ("The other", second, names[1])):
        field = page.get_by_label(label)
        await expect(field.locator(f"option[value='{run['run_id']}']")).to_contain_text(name)
        await field.select_option(run["run_id"])
    await page.get_by_role("button", name="Compare").click()
    await expect(page).to_have_url(re.compile(f"a={first['run_id']}&b={second['run_id']}"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Two runs")
    differing = page.get_by_role("region", name="Steps that differ")
    await expect(differing.locator("tbody tr").filter(has_text="salt")).to_have_count(2)
    await page.get_by_role("link", name="The other way round").click()
    await expect(page.locator("h2").first).to_contain_text(names[1])


async def test_a_run_and_the_one_it_repeats_play_together(
    page: Page, make_run: MakeRun, make_media: MakeMedia, api: httpx.AsyncClient, finish: Any
) -> None:
    recipe = (Path(__file__).parents[2] / "examples" / "recipes" / "identity.yaml").read_bytes()
    made = await api.post("/recipes/upload", content=recipe, headers={"Content-Type": "application/yaml"})
    inputs = (await api.get(f"/recipes/{made.json()['recipe_id']}")).json()["inputs"]
    given = {inputs[0]["name"]: await make_media("video")}
    run = await make_run(recipe=made.json()["recipe_id"], inputs=given)
    again = (await api.post(f"/runs/{run['run_id']}/rerun", json={"output_name": "again"})).json()
    await finish(again["run_id"])
    await page.goto(f"/run/{again['run_id']}")
    await page.get_by_role("link", name="Compare with the first").click()
    await expect(page.get_by_text("Both gave the same content, byte by byte.")).to_be_visible()
    await expect(page.locator("video")).to_have_count(2)
    play = page.get_by_role("button", name="Play both")
    await expect(play).to_be_visible()
    place = page.get_by_label("Position in both")
    await page.evaluate(KNOWN)
    await place.fill("0.5")
    times = await page.evaluate(BOTH)
    assert times[0] > 0.1
    assert abs(times[0] - times[1]) < 0.05
    await page.evaluate(SLOWLY)  # half a second may be over before it is paused
    await play.click()
    await expect(page.get_by_role("button", name="Pause both")).to_be_visible()
    await page.get_by_role("button", name="Pause both").click()
    await expect(play).to_be_visible()
    await expect(page.locator("[data-rate]")).to_have_count(2)
    before = await page.evaluate(BOTH)
    await page.get_by_role("button", name="One frame back").click()
    assert await page.evaluate(BOTH) == [pytest.approx(max(before) - 1 / float(CAT_RATE), abs=1e-3)] * 2
