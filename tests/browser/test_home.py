"""``/``: what the server is, what it does now, and where somebody who is new here begins."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Page, expect

from artdag_common.version import VERSION


async def test_it_says_what_this_server_is(page: Page, live: Any) -> None:
    await page.goto("/")
    server = page.get_by_role("region", name="This server")
    await expect(server).to_contain_text(f"Art DAG L1 {VERSION}")
    await expect(server).to_contain_text(live.environment["L1_PUBLIC_URL"])
    await expect(server.get_by_role("link", name=re.compile(r"\d+ effects"))).to_have_attribute("href", "/effects")


async def test_a_run_comes_and_goes_without_a_reload(
    page: Page, held: Callable[[], None], make_run: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    await page.goto("/")
    now, over = page.locator("#now"), page.locator("#over")
    run = await make_run(2, name="seen-from-home", wait=False)
    await expect(now.locator(f"#run-{run['run_id']}")).to_contain_text("seen-from-home")
    held()
    await expect(over.locator(f"#run-{run['run_id']}")).to_contain_text("completed")
    await expect(now.locator(f"#run-{run['run_id']}")).to_have_count(0)


async def test_the_newest_media_is_shown(page: Page, make_media: Callable[..., Awaitable[str]]) -> None:
    cid = await make_media("image")
    await page.goto("/")
    await page.locator(f"#media-{cid}").get_by_role("link").click()
    await expect(page).to_have_url(re.compile(f"/cache/{cid}$"))


async def test_who_is_not_signed_in_is_told_how_to(stranger_page: Page) -> None:
    await stranger_page.goto("/")
    await expect(stranger_page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    await expect(stranger_page.locator("#steps")).to_have_count(0)
    await stranger_page.get_by_role("main").get_by_role("link", name="Sign in").click()
    await expect(stranger_page.get_by_role("heading", name="Not signed in")).to_be_visible()
