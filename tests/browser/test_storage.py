"""``/storage``: a place is added, tested, changed, turned off and removed by hand; its copies are seen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Page, expect

from artdag_common.messaging.bus import Bus
from tests.browser.conftest import NewPage, picture
from tests.integration.gateway.people import signing_in

BAD = "status of 422"
ARRIVALS = """() => {
  window.arrivals = [];
  document.addEventListener("htmx:load", () => window.arrivals.push(location.pathname));
}"""
"""Notes where each page that comes in begins to work: it has to know its address by then."""


@pytest.fixture
async def place(api: httpx.AsyncClient, folder: Path) -> AsyncIterator[dict[str, Any]]:
    """A place, which is gone afterwards."""
    body = {"type": "local", "name": f"disk {uuid4().hex[:6]}", "settings": {"path": str(folder)}}
    answer = await api.post("/storage/add", json=body)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    yield found
    await api.delete(f"/storage/{found['storage_id']}")


async def test_a_place_is_added_by_a_form_that_says_what_is_wrong(
    page: Page, api: httpx.AsyncClient, folder: Path, asset: str, expected: list[str]
) -> None:
    expected.append(BAD)
    await page.goto("/storage")
    await page.evaluate(ARRIVALS)
    await page.get_by_role("link", name="Add Local folder").click()
    await expect(page.get_by_role("heading", name="Local folder")).to_be_visible()
    name = f"attic {uuid4().hex[:6]}"
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Folder").fill("not absolute")
    await page.get_by_role("button", name="Add this place").click()
    wrong = page.get_by_label("Folder")
    await expect(wrong).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_text("an absolute path without ..")).to_be_visible()
    await expect(wrong).to_be_focused()
    await expect(wrong).to_have_accessible_description(re.compile(r"an absolute path without \.\..*Absolute path"))
    await wrong.fill(str(folder))
    await page.get_by_label("Room, in GB").fill("2.5")
    await page.get_by_role("button", name="Add this place").click()
    await expect(page.get_by_role("heading", name=name)).to_be_visible()
    await expect(page.locator("#main")).to_be_focused()
    await expect(page.locator("#standing")).to_contain_text("of 2.5 GB")
    found = next(each for each in (await api.get("/storage")).json()["storage"] if each["name"] == name)
    assert found["capacity_bytes"] == 2_500_000_000
    try:
        assert await page.evaluate("window.arrivals.at(-1)") == f"/storage/{found['storage_id']}"
        await page.goto(f"/storage/{found['storage_id']}?state=made")
        await expect(page.locator("#standing")).to_contain_text("It works")
    finally:
        await api.delete(f"/storage/{found['storage_id']}")


async def test_a_test_says_what_it_found(page: Page, place: dict[str, Any], folder: Path) -> None:
    await page.goto(f"/storage/{place['storage_id']}")
    result = page.locator("[data-result]")
    await page.get_by_role("button", name="Test it").click()
    await expect(result).to_contain_text("It works")
    folder.rename(folder.with_suffix(".gone"))  # at once: copies are being made there
    await page.get_by_role("button", name="Test it").click()
    await expect(result).to_contain_text("It does not work")
    await expect(page.locator("#standing")).to_contain_text("refused")


async def test_a_place_is_changed_and_what_is_emptied_is_gone(
    page: Page, place: dict[str, Any], api: httpx.AsyncClient
) -> None:
    address = f"/storage/{place['storage_id']}"
    await api.patch(address, json={"capacity_bytes": 5_000_000})
    await page.goto(address)
    await page.get_by_role("link", name="Change").click()
    await expect(page.get_by_label("Room, in GB")).to_have_value("0.005")
    await page.get_by_label("Room, in GB").fill("")
    await page.get_by_label("Name").fill("renamed")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="renamed")).to_be_visible()
    changed = (await api.get(address)).json()
    assert (changed["name"], changed["capacity_bytes"]) == ("renamed", None)
    assert changed["settings"] == place["settings"]


async def test_a_place_is_turned_off_and_on(page: Page, place: dict[str, Any]) -> None:
    await page.goto(f"/storage/{place['storage_id']}")
    await page.get_by_role("button", name="Turn off").click()
    await expect(page.locator("#standing")).to_contain_text("disabled")
    await expect(page.get_by_role("button", name="Turn on")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Turn off")).to_be_focused()


async def test_a_place_is_removed_after_a_question(
    page: Page, place: dict[str, Any], api: httpx.AsyncClient, expected: list[str]
) -> None:
    expected.append(f"status of 404.*{place['storage_id']}")  # the page may look once more while it is being removed
    await page.goto(f"/storage/{place['storage_id']}")
    forget = page.get_by_role("button", name="Forget it")
    await forget.click()
    await page.get_by_role("dialog").get_by_role("button", name="No, go back").click()
    await expect(forget).to_be_focused()
    await forget.click()
    await page.get_by_role("dialog").get_by_role("button", name="Forget it").click()
    await expect(page.get_by_role("heading", name="Add a place")).to_be_visible()
    assert (await api.get(f"/storage/{place['storage_id']}")).status_code == 404


async def test_copies_are_shown_as_they_are_made_and_what_failed_is_tried_again(
    new_page: NewPage, bus: Bus, url: str, folder: Path
) -> None:
    async with signing_in(url, bus) as sign_in:  # somebody who has nothing yet, so that it is the only copy
        person = await sign_in()
        body = {"type": "local", "name": "small", "settings": {"path": str(folder)}, "capacity_bytes": 1}
        address = f"/storage/{(await person.client.post('/storage/add', json=body)).json()['storage_id']}"
        page = await new_page(token=person.token)
        await page.goto(address)
        file = {"file": ("a.png", picture(), "image/png")}
        cid = (await person.client.post("/cache/upload", files=file)).json()["cid"]
        copy = page.locator(f"#copy-{cid}")
        await expect(copy.locator("[data-status=failed]")).to_be_visible()
        await person.client.patch(address, json={"capacity_bytes": None})
        await copy.get_by_role("button", name="Try again").click()
        await expect(copy.locator("[data-status=made]")).to_be_visible()
        await person.client.delete(address)


async def test_how_far_a_copy_is_is_seen_on_every_page_that_tells_of_it(
    new_page: NewPage, bus: Bus, url: str, folder: Path
) -> None:
    async with signing_in(url, bus) as sign_in:
        person = await sign_in()

        async def upload() -> str:
            answer = await person.client.post("/cache/upload", files={"file": ("a.png", picture(), "image/png")})
            return str(answer.json()["cid"])

        # The first copy meets a place that refuses. The second waits for somebody to act, so that all that is told of
        # it is what is told here.
        body = {"type": "local", "name": "attic", "settings": {"path": str(folder / "missing")}}
        address = f"/storage/{(await person.client.post('/storage/add', json=body)).json()['storage_id']}"
        page = await new_page(token=person.token)
        await page.goto(address)
        await expect(page.locator(f"#copy-{await upload()} [data-status=failed]")).to_be_visible()
        cid = await upload()
        await expect(page.locator(f"#copy-{cid} [data-status=waiting]")).to_be_visible()
        done, status = 1_000_000, ""

        async def tell() -> None:
            while True:
                await bus.copy_tick(address.rpartition("/")[2], cid, done, 4_000_000, status)
                await asyncio.sleep(0.5)

        telling = asyncio.create_task(tell())
        try:
            for here, named in (
                (address, "Copy of bafybei"),
                ("/storage", "On the way to attic"),
                (f"/cache/{cid}", "Copy at attic"),
            ):
                done, status = 1_000_000, ""
                await page.goto(here)
                bar = page.get_by_role("progressbar", name=named)
                await expect(bar).to_have_js_property("value", 1_000_000)
                done = 3_000_000
                await expect(bar).to_have_js_property("value", 3_000_000)
                await expect(page.get_by_text("3.0 MB of 4.0 MB")).to_be_visible()
                status = "pinning"
                await expect(bar).to_have_count(0)
            await expect(page.get_by_text("being fetched by the service")).to_be_visible()
        finally:
            telling.cancel()
        await person.client.delete(address)


async def test_secrets_are_asked_for_and_never_shown(page: Page) -> None:
    await page.goto("/storage/type/s3")
    secret = page.get_by_label("Secret access key")
    await expect(secret).to_have_attribute("type", "password")
    await expect(secret).to_have_attribute("autocomplete", "new-password")
    await expect(page.get_by_label("Addressing")).to_have_value("path")
    await expect(page.get_by_label("Endpoint")).to_have_value("https://s3.amazonaws.com")


async def test_the_operator_sees_what_nobody_needs(page: Page) -> None:
    await page.goto("/storage")
    await page.get_by_role("link", name="What nobody needs any more").click()
    await expect(page.get_by_role("heading", name="What nobody needs any more")).to_be_visible()
    await page.get_by_label("Not used for so many days").fill("36000")
    await page.get_by_role("button", name="Look again").click()
    await expect(page.get_by_label("Not used for so many days")).to_have_value("36000")


async def test_storage_is_for_people_who_are_signed_in(stranger_page: Page, expected: list[str]) -> None:
    expected.append("status of 401")
    answer = await stranger_page.goto("/storage")
    assert answer
    assert answer.status == 401
    await expect(stranger_page.get_by_role("heading", name="Sign in first")).to_be_visible()
