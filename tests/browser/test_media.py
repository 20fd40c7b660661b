"""The gallery: what is uploaded, found, chosen, described and deleted there."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from playwright.async_api import FilePayload, Page, Route, expect

from artdag_common.cid import cid_of
from tests.browser.conftest import NewPage, picture

MakeMedia = Callable[..., Awaitable[str]]
PIECE_BYTES = 4 << 20
"""As ``static/upload.js`` has it."""


def card(cid: str) -> str:
    """Return the selector of an item."""
    return f'[data-card="{cid}"]'


def file(name: str, data: bytes) -> FilePayload:
    """Return a file as somebody chooses it."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


async def opened(page: Page, query: str = "") -> None:
    """Open the gallery, and wait until it takes files and choices: its script comes after the page."""
    await page.goto(f"/media{query}")
    await page.locator("[data-module=gallery][data-alive]").wait_for()


async def chosen(page: Page, *names: str) -> None:
    """Choose all that the gallery shows, which are these, by keyboard."""
    await page.get_by_role("checkbox", name=f"Choose {names[0]}", exact=True).focus()
    await page.keyboard.press("Control+a")
    await expect(page.get_by_text(f"{len(names)} chosen")).to_be_visible()


async def test_several_files_are_uploaded_at_once_and_appear(page: Page) -> None:
    names = [f"snap-{uuid4().hex[:8]}" for _ in range(4)]
    pictures = [picture() for _ in names]
    await opened(page)
    files = [file(f"{name}.png", data) for name, data in zip(names, pictures, strict=True)]
    await page.locator("[data-files]").set_input_files(files)
    uploads = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    await expect(uploads).to_have_count(4)
    for name, data in zip(names, pictures, strict=True):
        await expect(uploads.filter(has_text=name)).to_contain_text("Uploaded")
        await expect(page.locator(card(cid_of(data)))).to_contain_text(name)
    await page.get_by_role("link", name=f"{names[0]}.png").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(names[0])
    await page.go_back()
    await page.get_by_role("button", name="Upload files").wait_for()


async def test_files_are_dropped_on_the_page(page: Page) -> None:
    name = f"drop-{uuid4().hex[:8]}"
    await opened(page)
    data = await page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], `${name}.png`, { type: "image/png" }));
            return transfer;
        }""",
        [name, list(picture())],
    )
    await page.dispatch_event("h1", "dragover", {"dataTransfer": data})
    await expect(page.get_by_text("Drop to upload")).to_be_visible()
    await page.dispatch_event("h1", "drop", {"dataTransfer": data})
    await expect(page.get_by_text("Drop to upload")).to_be_hidden()
    await expect(page.locator("#items").get_by_text(name)).to_be_visible()


async def test_an_upload_goes_on_where_it_was_after_a_lost_connection(page: Page, expected: list[str]) -> None:
    expected.append("ERR_CONNECTION_RESET")
    data = os.urandom(PIECE_BYTES + 100)
    offsets: list[int] = []
    begun: list[str] = []

    async def lose_the_second(route: Route) -> None:
        if route.request.method == "PATCH":
            offsets.append(int(route.request.headers["upload-offset"]))
            if len(offsets) == 2:
                await route.abort("connectionreset")
                return
        await route.continue_()

    page.on("request", lambda request: begun.append(request.url) if request.method == "POST" else None)
    await page.route("**/cache/uploads/*", lose_the_second)
    await opened(page)
    files = [file("large.bin", data)]
    await page.locator("[data-files]").set_input_files(files)
    await expect(page.get_by_role("link", name="large.bin")).to_have_attribute("href", f"/cache/{cid_of(data)}")
    assert offsets == [0, PIECE_BYTES, PIECE_BYTES]
    assert len(begun) == 1


async def test_a_refused_upload_says_what_to_do_and_can_be_tried_again(page: Page, expected: list[str]) -> None:
    expected.append("507")
    problem = {"title": "Quota exceeded", "detail": "9 bytes do not fit", "hint": "Delete what you no longer need."}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=507, content_type="application/problem+json", body=json.dumps(problem))

    await page.route("**/cache/uploads", refuse)
    await opened(page)
    data = picture()
    await page.locator("[data-files]").set_input_files([file("much.png", data)])
    row = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    await expect(row).to_contain_text("9 bytes do not fit. Delete what you no longer need.")
    await page.unroute("**/cache/uploads", refuse)
    await row.get_by_role("button", name="Try again").click()
    await expect(page.locator(card(cid_of(data)))).to_be_visible()


async def test_a_cancelled_upload_leaves_nothing(page: Page, api: httpx.AsyncClient, expected: list[str]) -> None:
    expected.append("ERR_FAILED")

    async def hold(route: Route) -> None:
        if route.request.method != "PATCH":
            await route.continue_()

    await page.route("**/cache/uploads/*", hold)
    await opened(page)
    files = [file("never.bin", os.urandom(100))]
    async with page.expect_request(lambda request: request.method == "PATCH") as sent:
        await page.locator("[data-files]").set_input_files(files)
    async with page.expect_response(lambda answer: answer.request.method == "DELETE") as given_up:
        await page.get_by_role("button", name="Cancel never.bin").click()
    assert (await given_up.value).status == 204
    await expect(page.get_by_role("region", name="Uploads")).to_contain_text("Cancelled")
    place = (await sent.value).url.rpartition("/")[2]
    assert (await api.get(f"/cache/uploads/{place}")).status_code == 404


async def test_a_file_that_changes_while_it_is_uploaded_is_not_called_a_lost_connection(
    page: Page, tmp_path: Path, expected: list[str]
) -> None:
    expected.append("net::ERR_")
    changing = tmp_path / "changing.bin"
    changing.write_bytes(os.urandom(100))
    os.utime(changing, (10**9, 10**9))  # browsers look at the seconds of when it was changed

    async def change(route: Route) -> None:
        if route.request.method == "POST":
            changing.write_bytes(os.urandom(100))
        await route.continue_()

    await page.route("**/cache/uploads", change)
    await opened(page)
    await page.locator("[data-files]").set_input_files(changing)
    row = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    await expect(row).to_contain_text("it was changed, moved or deleted. Choose it again.")


async def test_what_comes_to_the_list_late_is_shown_all_the_same(page: Page) -> None:
    late = True

    async def answer_old(route: Route) -> None:
        nonlocal late
        if "hx-request" not in route.request.headers:
            await route.continue_()
        elif late:
            late = False
            await route.fulfill(content_type="text/html", body=old)
        else:
            await route.continue_()

    await opened(page)
    old = await page.content()
    await page.route("**/media", answer_old)
    data = picture()
    await page.locator("[data-files]").set_input_files([file("late.png", data)])
    await expect(page.locator(card(cid_of(data)))).to_be_visible()
    assert not late


async def test_what_nobody_named_is_called_as_its_run_was_to_call_it(
    page: Page,
    api: httpx.AsyncClient,
    make_recipe: Callable[..., Awaitable[dict[str, Any]]],
    make_run: Callable[..., Awaitable[dict[str, Any]]],
) -> None:
    name = f"given-{uuid4().hex[:8]}"
    answer = await api.post("/cache/upload", files={"file": ("snap.png", picture(), "image/png")})
    recipe = (await make_recipe(2))["recipe_id"]
    run = await make_run(recipe=recipe, inputs={"media": answer.json()["cid"]}, name=name)
    while not (await api.get("/media", params={"name": name})).json()["total"]:  # the lists follow
        await asyncio.sleep(0.05)
    await page.goto(f"/media?name={name}")
    await expect(page.locator("[data-card]")).to_have_count(1)
    await page.locator(card(run["output_cid"])).get_by_role("link", name=name).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    await page.locator("[data-module=item][data-alive]").wait_for()
    await page.get_by_role("button", name="Edit").click()
    await expect(page.get_by_label("Name", exact=True).first).to_have_value("")


async def test_what_is_looked_for_is_found_and_has_an_address(page: Page, make_media: MakeMedia) -> None:
    name = f"needle-{uuid4().hex[:8]}"
    cid = await make_media("image", name)
    await page.goto("/media")
    await page.get_by_role("searchbox", name="Part of a name").fill(name[2:])
    await expect(page.locator("[data-card]")).to_have_count(1)
    await expect(page).to_have_url(re.compile(f"name={name[2:]}"))
    await page.reload()
    await expect(page.locator("[data-card]")).to_have_count(1)
    await page.get_by_role("link", name="Video", exact=True).click()
    await expect(page.get_by_text("Nothing here is like that")).to_be_visible()
    await page.go_back()
    await expect(page.locator(card(cid))).to_be_visible()


async def test_data_has_its_place(page: Page, make_media: MakeMedia) -> None:
    name = f"data-{uuid4().hex[:8]}"
    cid = await make_media("data", name)
    await page.goto(f"/media?kind=data&name={name}")
    await expect(page.locator(card(cid))).to_contain_text("application/json")


async def test_more_comes_when_the_end_is_in_view(page: Page, api: httpx.AsyncClient) -> None:
    files = [
        ("file", (f"{number}.json", f'{{"id": "{uuid4()}"}}'.encode(), "application/json")) for number in range(40)
    ]
    answer = await api.post("/cache/upload", files=files)
    assert answer.status_code == 201
    await page.goto("/media?kind=data")
    cards = page.locator("[data-card]")
    await expect(cards).to_have_count(36)
    await page.keyboard.press("End")
    await expect(cards.nth(39)).to_be_attached()
    cids = await cards.evaluate_all("cards => cards.map((each) => each.dataset.card)")
    assert len(cids) == len(set(cids))
    assert {each["cid"] for each in answer.json()["files"]} <= set(cids)


async def test_several_are_chosen_by_keyboard_and_tagged(
    page: Page, api: httpx.AsyncClient, make_media: MakeMedia
) -> None:
    name = f"pair-{uuid4().hex[:8]}"
    tag = f"tag-{uuid4().hex[:8]}"
    cids = [await make_media("image", f"{name} {number}") for number in range(3)]
    await opened(page, f"?name={name}")
    await page.get_by_role("checkbox", name=f"Choose {name} 2").focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("Shift+ArrowRight")
    await expect(page.get_by_text("2 chosen")).to_be_visible()
    use = page.get_by_role("link", name="Use in a recipe")
    await expect(use).to_have_attribute("href", f"/recipes?media={cids[2]}&media={cids[1]}")
    await page.get_by_role("textbox", name="Tag to add").fill(f"{tag}, both")
    await page.keyboard.press("Enter")
    for cid in cids[1:]:
        for each in (tag, "both"):
            await expect(page.locator(card(cid)).get_by_role("link", name=each, exact=True)).to_be_visible()
    while (await api.get("/media", params={"tag": tag})).json()["total"] < 2:  # the lists follow
        await asyncio.sleep(0.05)
    await page.locator(card(cids[1])).get_by_role("link", name=tag).click()
    await expect(page.locator("[data-card]")).to_have_count(2)
    await expect(page.locator(card(cids[0]))).to_be_hidden()


async def test_a_click_with_shift_chooses_a_range_and_escape_none(page: Page, make_media: MakeMedia) -> None:
    name = f"range-{uuid4().hex[:8]}"
    for number in range(3):
        await make_media("image", f"{name} {number}")
    await opened(page, f"?name={name}")
    await page.get_by_role("checkbox", name=f"{name} 2").click()
    await page.get_by_role("checkbox", name=f"{name} 0").click(modifiers=["Shift"])
    await expect(page.get_by_text("3 chosen")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("chosen")).to_be_hidden()


async def test_what_is_in_use_stays_and_says_by_what(
    page: Page, api: httpx.AsyncClient, make_media: MakeMedia, expected: list[str]
) -> None:
    expected.append("409")
    name = f"both-{uuid4().hex[:8]}"
    kept, gone = await make_media("image", f"{name} kept"), await make_media("image", f"{name} gone")
    assert (await api.post(f"/cache/{kept}/publish", json={})).status_code == 200
    await opened(page, f"?name={name}")
    await chosen(page, f"{name} gone", f"{name} kept")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    refusal = page.get_by_role("group", name="What was refused")
    await expect(refusal).to_contain_text(f"{name} kept")
    await expect(refusal).to_contain_text("cannot be deleted")
    await expect(refusal).to_be_focused()
    await expect(page.locator(card(gone))).to_be_hidden()
    await expect(page.locator(card(kept))).to_be_visible()
    await expect(page.locator("#gallery").get_by_role("status")).to_contain_text("1 item called")
    assert (await api.get(f"/cache/{gone}")).status_code == 404


async def test_a_film_plays_under_the_pointer_unless_that_is_unwanted(
    page: Page, new_page: NewPage, api: httpx.AsyncClient, make_media: MakeMedia
) -> None:
    cid = await make_media("video", "running cat")
    calm = await new_page(reduced_motion="reduce")
    for each in (page, calm):
        await opened(each, "?kind=video")
        await expect(each.locator(f"{card(cid)} a[data-preview]")).to_be_visible()
    await page.locator(card(cid)).hover()
    film = page.locator(f"{card(cid)} video")
    await expect(film).to_have_js_property("muted", True)
    await expect(film).to_have_js_property("paused", False)
    await page.get_by_role("heading", level=1).hover()
    await expect(film).to_have_count(0)
    await page.locator(f"{card(cid)} a[data-preview]").focus()
    await expect(film).to_have_count(1)
    await calm.locator(card(cid)).hover()
    await calm.locator(f"{card(cid)} [data-pick]").check()  # later than a film would have come
    await expect(calm.get_by_text("1 chosen")).to_be_visible()
    assert await calm.locator(f"{card(cid)} video").count() == 0


async def test_programs_get_data(api: httpx.AsyncClient) -> None:
    answer = await api.get("/media", headers={"Accept": "application/json"})
    assert set(answer.json()) == {"media", "total", "next"}
    assert (await api.get("/media", params={"kind": "data"})).status_code == 422
