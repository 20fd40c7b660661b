"""``/runs``: a list that is narrowed, goes on, and stays up to date under the reader's hands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, Route, expect

MakeRun = Callable[..., Awaitable[dict[str, Any]]]
Many = Callable[..., Awaitable[list[dict[str, Any]]]]


def row(page: Page, run: dict[str, Any]) -> Locator:
    """Return a run's row."""
    return page.locator(f"#run-{run['run_id']}")


@pytest.fixture
def many(make_run: MakeRun, make_recipe: MakeRun, asset: str) -> Many:
    """Run one recipe so many times."""

    async def make(count: int, wait: bool = True) -> list[dict[str, Any]]:
        recipe = (await make_recipe(1))["recipe_id"]
        return [await make_run(recipe=recipe, inputs={"media": asset}, wait=wait) for _ in range(count)]

    return make


async def test_a_list_stays_up_to_date_and_takes_nothing_from_its_reader(
    page: Page, many: Many, make_run: MakeRun, held: Callable[[], None]
) -> None:
    """What was loaded below stays, and so do focus, what is chosen, and the place that is looked at."""
    before = await many(32, wait=False)
    await page.goto("/runs")
    rows = page.locator("#list > li")
    await expect(rows).to_have_count(30)
    await page.get_by_role("link", name="Show more").scroll_into_view_if_needed()
    await expect(row(page, before[0])).to_be_visible()
    loaded = await rows.count()
    assert loaded > 30
    link = row(page, before[20]).get_by_role("link").first
    await link.focus()
    box = row(page, before[20]).get_by_role("checkbox")
    await box.check()
    await link.focus()
    later = await make_run(1, name="came-later", wait=False)
    await expect(row(page, later)).to_contain_text("came-later")
    await expect(rows).to_have_count(loaded + 1)
    held()
    for run in (later, before[20], before[0]):
        await expect(row(page, run)).to_contain_text("completed")
    await expect(link).to_be_focused()
    await expect(box).to_be_checked()
    ids = await rows.evaluate_all("rows => rows.map(row => row.id)")
    assert len(ids) == len(set(ids)) == loaded + 1


async def test_the_end_of_the_list_is_its_end(page: Page, many: Many, api: httpx.AsyncClient) -> None:
    await many(31 - (await api.get("/runs", params={"limit": 1})).json()["total"])
    total = (await api.get("/runs", params={"limit": 1})).json()["total"]
    await page.goto("/runs")
    more = page.get_by_role("link", name="Show more")
    rows = page.locator("#list > li")
    shown = 30
    while shown < total:
        await expect(rows).to_have_count(shown)
        await more.scroll_into_view_if_needed()
        shown = min(shown + 30, total)
    await expect(rows).to_have_count(total)
    await expect(more).to_have_count(0)


async def test_what_was_asked_for_a_page_that_was_left_comes_to_nothing(
    page: Page, many: Many, api: httpx.AsyncClient
) -> None:
    await many(31 - (await api.get("/runs", params={"limit": 1})).json()["total"])
    asked, left = asyncio.Event(), asyncio.Event()

    async def held(route: Route) -> None:
        asked.set()
        await left.wait()
        await route.continue_()

    await page.route(re.compile(r"/runs\?.*cursor="), held)
    await page.goto("/runs")
    async with page.expect_event("requestfinished", lambda request: "cursor=" in request.url):
        await page.get_by_role("link", name="Show more").scroll_into_view_if_needed()
        await asked.wait()
        await page.locator("#list > li a").first.click()
        await expect(page).to_have_url(re.compile("/run/"))
        left.set()
    await expect(page.get_by_role("link", name="Artifacts")).to_be_visible()


async def test_runs_are_narrowed_by_state(page: Page, make_run: MakeRun) -> None:
    done = await make_run(1)
    await page.goto("/runs")
    states = page.get_by_role("navigation", name="Only runs that are")
    await states.get_by_role("link", name="Completed").click()
    await expect(page).to_have_url(re.compile("/runs.status=completed$"))
    await expect(row(page, done)).to_be_visible()
    await states.get_by_role("link", name="Paused").click()
    await expect(page).to_have_url(re.compile("status=paused"))
    await expect(row(page, done)).to_have_count(0)
    await page.go_back()
    await expect(row(page, done)).to_be_visible()
    await expect(states.get_by_role("link", name="Completed")).to_have_attribute("aria-current", "true")


async def test_runs_are_narrowed_to_what_is_published(page: Page, make_run: MakeRun, api: httpx.AsyncClient) -> None:
    private, public = await make_run(1), await make_run(1)
    assert (await api.post(f"/runs/{public['run_id']}/publish", json={"name": "for all"})).status_code in (200, 201)
    await page.goto("/runs")
    await page.get_by_role("navigation", name="Whose runs").get_by_role("link", name="Published").click()
    await expect(page).to_have_url(re.compile("published=true"))
    await expect(row(page, public)).to_be_visible()
    await expect(row(page, private)).to_have_count(0)


async def test_a_run_is_cancelled_and_tried_again_where_it_stands(
    page: Page, make_run: MakeRun, held: Callable[[], None]
) -> None:
    run = await make_run(1, name="not-this-one", wait=False)
    await page.goto("/runs")
    it = row(page, run)
    await it.get_by_role("button", name="Cancel").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(it).to_contain_text("cancelled")
    await it.get_by_role("button", name="Try again").click()
    again = page.locator("#list > li", has_text="not-this-one").first
    await expect(again).not_to_have_id(f"run-{run['run_id']}")
    held()
    await expect(again).to_contain_text("completed")


async def test_two_runs_are_chosen_to_be_compared(page: Page, make_run: MakeRun) -> None:
    one, two, three = [await make_run(1) for _ in range(3)]
    await page.goto("/runs")
    for run in (one, two, three):
        await row(page, run).get_by_role("checkbox").check()
    await expect(row(page, one).get_by_role("checkbox")).not_to_be_checked()
    link = page.get_by_role("link", name="Compare them")
    await expect(link).to_have_attribute("href", f"/runs/compare?a={two['run_id']}&b={three['run_id']}")
    await page.get_by_role("button", name="Choose none").click()
    await expect(link).to_have_count(0)
    await expect(row(page, two).get_by_role("checkbox")).not_to_be_checked()


async def test_a_stranger_can_look_and_do_nothing(stranger_page: Page, make_run: MakeRun) -> None:
    run = await make_run(1)
    await stranger_page.goto("/runs")
    await expect(row(stranger_page, run)).to_be_visible()
    await expect(stranger_page.get_by_role("button", name="Cancel")).to_have_count(0)
    await expect(stranger_page.get_by_role("button", name="Try again")).to_have_count(0)
