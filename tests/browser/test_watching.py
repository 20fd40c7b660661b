"""Runs are watched live: by several at once, over a connection that breaks, and by nobody who may not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Page, expect

from artdag_cli.system import System
from artdag_common.messaging.bus import Bus
from tests.browser.conftest import NewPage
from tests.browser.wire import Wire
from tests.integration.gateway.conftest import chain
from tests.integration.gateway.people import SignIn, signing_in

MakeRun = Callable[..., Awaitable[dict[str, Any]]]
Release = Callable[[], None]

NO_CONNECTION = "ERR_|Failed to load resource"


@pytest.fixture
async def wire(live: System) -> AsyncIterator[Wire]:
    """A way to the running system that can be cut."""
    it = Wire(live.port)
    await it.mend()
    yield it
    await it.cut()


@pytest.fixture
async def sign_in(url: str, bus: Bus) -> AsyncIterator[SignIn]:
    """Sign somebody in."""
    async with signing_in(url, bus) as it:
        yield it


def standing(page: Page, status: str) -> Any:
    """Return the badge of a run's page that says how it stands."""
    return page.locator(f"#standing [data-status={status}]")


async def test_two_browsers_watch_one_run(new_page: NewPage, make_run: MakeRun, held: Release) -> None:
    run = await make_run(3, wait=False)
    pages = [await new_page(), await new_page(width=390, theme="dark")]
    for page in pages:
        await page.goto(f"/run/{run['run_id']}")
        await expect(standing(page, "running")).to_be_visible()
        await page.evaluate("window.kept = true")
    held()
    for page in pages:
        await expect(standing(page, "completed")).to_be_visible()
        await expect(page.get_by_text("4 / 4 steps")).to_be_visible()
        assert await page.evaluate("window.kept"), "the page was loaded anew"


async def test_what_one_does_the_other_sees(new_page: NewPage, make_run: MakeRun, held: Release) -> None:
    run = await make_run(2, wait=False)
    one, other = await new_page(), await new_page()
    for page in (one, other):
        await page.goto(f"/run/{run['run_id']}")
        await expect(standing(page, "running")).to_be_visible()
    await one.get_by_role("button", name="Cancel").click()
    question = one.get_by_role("dialog")
    await question.get_by_role("button", name="No, go back").click()
    await expect(standing(one, "running")).to_be_visible()
    await one.get_by_role("button", name="Cancel").click()
    await question.get_by_role("button", name="Cancel").click()
    await expect(standing(one, "cancelled")).to_be_visible()
    await expect(standing(other, "cancelled")).to_be_visible()


async def test_a_lost_connection_is_told_and_what_was_missed_is_shown(
    new_page: NewPage, make_run: MakeRun, held: Release, wire: Wire, finish: Any, expected: list[str]
) -> None:
    expected.append(NO_CONNECTION)
    run = await make_run(3, wait=False)
    page = await new_page(base_url=wire.url)
    await page.goto(f"/run/{run['run_id']}")
    await expect(standing(page, "running")).to_be_visible()
    lost = page.get_by_text("The connection is lost")
    await expect(lost).to_be_hidden()
    await wire.cut()
    await expect(lost).to_be_visible()
    held()
    assert (await finish(run["run_id"]))["status"] == "completed"
    await expect(standing(page, "running")).to_be_visible()
    await wire.mend()
    await expect(standing(page, "completed")).to_be_visible()
    await expect(lost).to_be_hidden()


async def test_the_events_go_on_where_they_were(
    new_page: NewPage, make_run: MakeRun, held: Release, wire: Wire, finish: Any, expected: list[str]
) -> None:
    expected.append(NO_CONNECTION)
    run = await make_run(3, wait=False)
    page = await new_page(base_url=wire.url)
    await page.goto(f"/run/{run['run_id']}/events")
    rows = page.locator("[data-rows] tr")
    await expect(rows.filter(has_text="RunStepsScheduled")).to_have_count(1)
    await wire.cut()
    held()
    await finish(run["run_id"])
    await wire.mend()
    await expect(rows.filter(has_text="RunCompleted")).to_have_count(1)
    positions = [int(each) for each in await page.locator("[data-rows] tr td:first-child").all_inner_texts()]
    assert positions == sorted(set(positions)), "events came twice, or in another order"


async def test_who_is_signed_out_while_watching_is_told(
    new_page: NewPage, sign_in: SignIn, held: Release, expected: list[str]
) -> None:
    expected.append("status of 40[14]")
    somebody = await sign_in()
    answer = await somebody.client.post("/cache/upload", files={"file": ("a.bin", uuid4().bytes)})
    text = chain(f"chain-{uuid4().hex[:8]}", 2)
    body = {"recipe": text, "inputs": {"media": answer.json()["cid"]}}
    run = (await somebody.client.post("/runs", json=body)).json()
    page = await new_page(token=somebody.token)
    await page.goto(f"/run/{run['run_id']}")
    await expect(standing(page, "running")).to_be_visible()
    revoked = await somebody.client.post("/auth/revoke")
    assert revoked.json() == {"revoked": True}
    await expect(page.get_by_text("You are signed out")).to_be_visible()
    held()
    await page.reload()
    await expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
    await expect(page.locator("main")).not_to_contain_text(run["run_id"])


async def test_the_list_of_runs_keeps_itself_up_to_date(page: Page, make_run: MakeRun, held: Release) -> None:
    run = await make_run(2, wait=False, name=f"watched-{uuid4().hex[:6]}")
    await page.goto("/runs")
    row = page.locator(f"#run-{run['run_id']}")
    await expect(row.locator("[data-status]")).to_have_attribute("data-status", re.compile("running|requested"))
    held()
    await expect(row.locator("[data-status=completed]")).to_be_visible()
