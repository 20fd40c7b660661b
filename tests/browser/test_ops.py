"""``/ops``: it moves by itself, takes nothing from its reader, and mends what can be mended there."""

from __future__ import annotations

import re
from uuid import uuid4

import httpx
from playwright.async_api import Page, expect

from artdag_common.codec import encode_command
from artdag_common.commands import CancelRun
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.dead_letters import COMMAND_ID, FROM
from artdag_common.pb.commands_pb2 import ClassHands, InstancePresence
from tests.browser.tour import settled


async def announce(bus: Bus, name: str, leaving: bool = False) -> None:
    """Tell gateways of an executor that is not there."""
    alive = InstancePresence(host="elsewhere", pid=7, version="0.0.9", since_us=1, told_us=2, leaving=leaving)
    alive.hands.append(ClassHands(work_class="gpu", hands=3))
    await bus.nc.publish(subjects.alive("executor", name), alive.SerializeToString())


async def give_up(bus: Bus) -> str:
    """Give up a command that nobody needs, and return its key."""
    key = uuid4().hex
    told = {FROM: f"cmd.planner.CancelRun.{key}", COMMAND_ID: uuid4().hex}
    await bus.dead_letter("planner", "CancelRun", encode_command(CancelRun(key)), f"disk on fire {key}", told)
    return key


async def test_it_moves_by_itself_and_takes_nothing_from_its_reader(page: Page, bus: Bus) -> None:
    name = f"elsewhere-{uuid4().hex[:6]}"
    await page.goto("/ops")
    await settled(page)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Operations")
    consumers = page.locator("#consumers")
    await consumers.locator("summary").click()
    await expect(consumers.get_by_role("table")).to_be_visible()
    await page.evaluate("window.kept = true; scrollTo(0, 300)")
    tile = page.get_by_role("list", name="At a glance").get_by_role("link", name="Runs going on")
    await tile.focus()
    place = await page.evaluate("scrollY")
    await announce(bus, name)
    executor = page.locator(f"#executor-{name}")
    await expect(executor).to_contain_text("0.0.9")
    await expect(tile).to_be_focused()
    await expect(consumers.get_by_role("table")).to_be_visible()
    assert await page.evaluate("scrollY") == place
    assert await page.evaluate("window.kept"), "the page was loaded anew"
    await announce(bus, name, leaving=True)
    await expect(executor).to_have_count(0)


async def test_it_stands_still_while_it_is_paused(page: Page, bus: Bus) -> None:
    name = f"elsewhere-{uuid4().hex[:6]}"
    await page.clock.install()
    await page.goto("/ops")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Go on")).to_be_visible()
    await announce(bus, name)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.clock.run_for(10_000)
    assert asked == []
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator(f"#executor-{name}")).to_be_visible()
    await announce(bus, name, leaving=True)
    await page.clock.run_for(2_000)
    await expect(page.locator(f"#executor-{name}")).to_have_count(0)


async def test_who_is_signed_out_is_told_and_what_was_seen_stays(page: Page, expected: list[str]) -> None:
    expected.append("status of 401")
    await page.clock.install()
    await page.goto("/ops")
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await page.context.clear_cookies()
    await page.clock.run_for(2_000)
    await expect(page.locator("[data-lost]")).to_contain_text("You are signed out")
    await expect(page.get_by_role("heading", name="Running steps")).to_be_visible()


async def test_a_dead_letter_is_sent_again_or_dropped_with_a_reason(
    page: Page, bus: Bus, api: httpx.AsyncClient
) -> None:
    for before in (await api.get("/api/dlq", params={"limit": 100})).json()[
        "letters"
    ]:  # of other tests: all have a row
        await api.delete(before["links"]["self"], params={"reason": "a test's"})
    dropped, again = await give_up(bus), await give_up(bus)
    await page.goto("/ops")
    letter = page.locator("#letters li", has_text=dropped)
    await letter.get_by_text("Drop…").click()
    await letter.get_by_label("Why?").fill("nobody needs it")
    await expect(letter.get_by_label("Why?")).to_have_value("nobody needs it")
    await letter.get_by_role("button", name="Drop it for good").click()
    await expect(letter).to_have_count(0)
    other = page.locator("#letters li", has_text=again)
    await other.get_by_role("button", name=re.compile("Retry")).click()
    await expect(other).to_have_count(0)


async def test_the_operator_finds_it_and_nobody_else(page: Page, stranger_page: Page) -> None:
    await page.goto("/")
    await page.get_by_role("navigation", name="Places").get_by_role("link", name="Ops").click()
    await expect(page).to_have_url("/ops")
    current = page.get_by_role("navigation", name="Places").get_by_role("link", name="Ops")
    await expect(current).to_have_attribute("aria-current", "true")
    await stranger_page.goto("/")
    await expect(stranger_page.get_by_role("link", name="Ops")).to_have_count(0)
