"""The pages of a run that was completed elsewhere."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from playwright.async_api import Page, expect

from tests.integration.gateway.carrying import file_of, good, over, upload

MakeMedia = Callable[..., Awaitable[str]]


async def test_an_imported_run_says_so_and_shows_what_is_recorded_of_it(
    page: Page, api: httpx.AsyncClient, make_media: MakeMedia, tmp_path: Path
) -> None:
    film = await make_media("video")
    begun = await good(api.post("/runs", json={"recipe": "identity", "inputs": [film], "output_name": "brought"}))
    there = await over(api, begun["run_id"])
    file = await file_of(api, there, tmp_path)
    await upload(api, file.files)
    run = await good(api.post("/runs/import", json=file.body))

    await page.goto(f"/run/{run['run_id']}")
    await expect(page.locator("#run-head")).to_contain_text("imported")
    await expect(page.locator("#run-head")).to_contain_text("completed elsewhere")
    await expect(page.locator("#main video")).to_be_visible()
    await expect(page.get_by_role("complementary", name="Facts")).to_contain_text(f"from run {there['run_id'][:4]}")
    await expect(page.get_by_role("complementary", name="Facts")).not_to_contain_text("If a step fails")
    for name in ("Pause", "Cancel", "Try again"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await expect(page.get_by_role("link", name="Run with changes")).to_have_count(0)

    parts = page.get_by_role("navigation", name="Parts of this run")
    await parts.get_by_role("link", name="Plan").click()
    await expect(page.locator("canvas")).to_be_visible()
    await parts.get_by_role("link", name="Provenance").click()
    await page.get_by_text("The whole record").click()
    await expect(page.locator("#main pre")).to_contain_text(there["run_id"])
    await parts.get_by_role("link", name="Events").click()
    await expect(page.locator("#main")).to_contain_text("imported")
    await expect(page.locator("#main")).to_contain_text(re.compile("recorded", re.IGNORECASE))

    await page.goto("/runs")
    row = page.get_by_role("listitem").filter(has=page.locator(f"a[href='/run/{run['run_id']}']"))
    await expect(row).to_contain_text("imported")
