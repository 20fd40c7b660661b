"""The page of one thing of content: how it is shown, played, described, published and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import av
import httpx
import pytest
from playwright.async_api import Locator, Page, Route, expect

from artdag_common.cid import cid_of
from tests.unit.media.counted import BITS, timed, write_counted

MakeMedia = Callable[..., Awaitable[str]]
FRAMES, RATE = 40, 25

NUMBER_SHOWN = f"""(film) => {{
  const still = document.createElement("canvas");
  Object.assign(still, {{ width: film.videoWidth, height: film.videoHeight }});
  const pen = still.getContext("2d");
  pen.drawImage(film, 0, 0);
  const row = pen.getImageData(0, still.height / 2, still.width, 1).data;
  let number = 0;
  for (let bit = 0; bit < {BITS}; bit += 1) {{
    if (row[4 * Math.floor(((2 * bit + 1) * still.width) / {2 * BITS})] > 125) number += 2 ** bit;
  }}
  return number;
}}"""
"""Reads the number that a frame of a counted film carries."""


LATE_FRAMES = """
  window.late = [];
  HTMLVideoElement.prototype.requestVideoFrameCallback = (told) => late.push(told);
"""
"""Leaves it to the test when a page hears of the frames that are shown."""


async def brought(api: httpx.AsyncClient, file: Path, name: str = "") -> str:
    """Upload a file, and return its CID."""
    answer = await api.post("/cache/upload", data={"name": name}, files={"file": (file.name, file.read_bytes())})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["cid"])


@pytest.fixture(scope="module")
async def counted(api: httpx.AsyncClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A film that browsers play, whose frames carry their numbers."""
    file = write_counted(tmp_path_factory.mktemp("counted") / "counted.mp4", FRAMES, RATE)
    cid = await brought(api, file, "Counted")
    while (await api.get(f"/cache/{cid}")).json()["facts"]["status"] == "pending":
        await asyncio.sleep(0.05)
    return cid


async def opened(page: Page, cid: str) -> None:
    """Open the page of content, and wait until it can be edited: its script comes after the page."""
    await page.goto(f"/cache/{cid}")
    await page.locator("[data-module=item][data-alive]").wait_for()


async def ready(page: Page, cid: str) -> Locator:
    """Open the page of a film, and wait until it can be played and gone through; return it."""
    await opened(page, cid)
    film = page.locator("video")
    await expect(film).to_have_js_property("readyState", 4)
    await expect(page.get_by_role("button", name="Frame on")).to_be_visible()
    return film


async def at_frame(page: Page, number: int) -> None:
    """Wait until a film says that it shows a frame, and look whether it does."""
    await expect(page.locator("[data-frame]")).to_have_text(f"· frame {number} of 0–{FRAMES - 1}")
    film = page.locator("video")
    await expect(film).to_have_js_property("seeking", False)
    await page.wait_for_function(
        f"(number) => ({NUMBER_SHOWN})(document.querySelector('video')) === number", arg=number
    )


async def test_a_film_goes_frame_by_frame(page: Page, counted: str) -> None:
    film = await ready(page, counted)
    await film.focus()
    for _ in range(3):
        await page.keyboard.press(".")
    await at_frame(page, 3)
    await page.keyboard.press(",")
    await at_frame(page, 2)
    await page.get_by_role("button", name="Frame on").click()
    await at_frame(page, 3)
    await expect(page.locator("[data-time]")).to_have_text("0:00.140")
    await film.evaluate("(film) => { film.currentTime = 99 }")
    await at_frame(page, FRAMES - 1)
    await page.get_by_role("button", name="Frame on").click()
    await page.get_by_role("button", name="Frame back").click()
    await at_frame(page, FRAMES - 2)


async def test_no_step_is_lost_where_frames_are_shown_late(page: Page, counted: str) -> None:
    await page.add_init_script(LATE_FRAMES)
    film = await ready(page, counted)
    await film.focus()
    for shown in range(3):
        await page.keyboard.press(".")
        await expect(film).to_have_js_property("seeking", False)
        await page.evaluate("(mediaTime) => late.pop()(0, { mediaTime })", shown / RATE)  # the one before
    await at_frame(page, 3)
    await film.evaluate("(film) => { film.currentTime = 1 }")
    await page.keyboard.press(".")  # from there, not from what is shown
    await at_frame(page, 26)


async def test_j_k_and_l_play_stop_and_play_backwards(page: Page, counted: str) -> None:
    film = await ready(page, counted)
    await page.get_by_role("button", name="Loop").click()
    await expect(film).to_have_js_property("loop", True)  # so that it does not end on a slow machine
    await film.evaluate("(film) => { film.currentTime = 1.5 }")
    await at_frame(page, 37)
    await film.focus()
    await page.keyboard.press("j")
    await page.wait_for_function("() => document.querySelector('video').currentTime < 1.3")
    await expect(film).to_have_js_property("paused", True)
    await page.keyboard.press("l")
    await expect(film).to_have_js_property("paused", False)
    await page.keyboard.press("l")
    await expect(film).to_have_js_property("playbackRate", 2)
    await page.keyboard.press("k")
    await expect(film).to_have_js_property("paused", True)
    await expect(film).to_have_js_property("playbackRate", 1)
    await page.get_by_role("combobox", name="Speed").select_option("0.5")
    await expect(film).to_have_js_property("playbackRate", 0.5)


async def test_the_keys_mean_nothing_outside_the_player(page: Page, counted: str) -> None:
    await ready(page, counted)
    await page.get_by_role("link", name="Use in a recipe").focus()
    await page.keyboard.press("l")
    await page.keyboard.press(".")
    await expect(page.locator("video")).to_have_js_property("paused", True)
    await expect(page.locator("[data-frame]")).to_have_text(f"· frame 0 of 0–{FRAMES - 1}")


async def test_a_film_that_no_browser_plays_is_played_all_the_same(
    page: Page, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = write_counted(tmp_path / "sound.mov", 12, RATE, sound=timed(24_000))
    cid = await brought(api, file)
    await page.goto(f"/cache/{cid}")
    await expect(page.locator("#facts")).to_contain_text("pcm_s16le, 48 000 Hz, mono")
    await expect(page.locator("#facts")).to_contain_text("128 × 72 pixels")
    await page.wait_for_function("() => document.querySelector('video')?.readyState === 4")
    await expect(page.locator("[data-state]")).to_be_hidden()


async def test_sound_that_no_browser_plays_is_played_all_the_same(
    page: Page, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    with av.open(str(tmp_path / "lossless.m4a"), "w", format="ipod") as container:
        track = container.add_stream("alac", rate=24_000, layout="mono")
        sound = av.AudioFrame.from_ndarray(timed(24_000), format="s16p", layout="mono")
        sound.sample_rate, sound.pts = 24_000, 0
        container.mux(track.encode(sound))
        container.mux(track.encode(None))
    cid = await brought(api, tmp_path / "lossless.m4a")
    await page.goto(f"/cache/{cid}")
    await page.wait_for_function("() => document.querySelector('audio')?.readyState === 4")
    await expect(page.locator("audio")).to_have_attribute("src", f"/cache/{cid}/mp4")
    await expect(page.locator("[data-state]")).to_be_hidden()


async def test_what_is_found_out_comes_in_and_leaves_alone_what_plays(page: Page, counted: str) -> None:
    known = False

    async def look_into(route: Route) -> None:
        answer = await route.fetch()
        page_now = await answer.text()
        if not known:
            pending = '<div id="seen" data-pending><p data-looking>It is looked into</p>'
            page_now = page_now.replace('<div id="seen">', pending).replace("128 × 72", "? × ?")
        await route.fulfill(response=answer, body=page_now)

    await page.route(f"**/cache/{counted}", look_into)
    for playing in (False, True):
        known = False
        film = await ready(page, counted)
        await expect(page.locator("#facts")).to_contain_text("? × ?")
        await film.evaluate("(film) => { window.film = film }")
        if playing:
            await film.evaluate("(film) => { film.loop = true; return film.play() }")
        known = True
        await expect(page.locator("#facts")).to_contain_text("128 × 72")
        await expect(page.locator("[data-looking]")).to_have_count(0)
        assert await film.evaluate("(film) => film === window.film") == playing
        await expect(film).to_have_js_property("paused", not playing)


async def test_sound_and_pictures_are_what_they_are(page: Page, make_media: MakeMedia) -> None:
    await page.goto(f"/cache/{await make_media('audio', 'Drums')}")
    sound = page.locator("audio")
    await expect(sound).to_have_js_property("readyState", 4)
    await expect(page.get_by_role("combobox", name="Speed")).to_be_visible()
    wave = page.locator("[data-wave]")
    await expect(wave.locator("img")).to_have_js_property("naturalWidth", 1280)
    box = await wave.bounding_box()
    assert box
    await wave.click(position={"x": box["width"] / 2, "y": 10})
    await page.wait_for_function("() => Math.abs(document.querySelector('audio').currentTime - 4) < 0.1")
    assert await page.locator("video").count() == 0
    await page.goto(f"/cache/{await make_media('image', 'Colours')}")
    await expect(page.get_by_role("img", name="Colours")).to_have_js_property("naturalWidth", 320)


async def test_data_is_shown_as_what_it_is(page: Page, api: httpx.AsyncClient, tmp_path: Path) -> None:
    async def shown(name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        await page.goto(f"/cache/{await brought(api, tmp_path / name)}")

    mark = uuid4().hex
    await shown("facts.json", f'{{"mark": "{mark}"}}'.encode())
    await expect(page.get_by_role("region", name="JSON")).to_have_text(f'{{\n  "mark": "{mark}"\n}}')
    await shown("beats.csv", f"name,tempo\n{mark},120\n".encode())
    table = page.get_by_role("region", name="Data").get_by_role("table")
    await expect(table.get_by_role("columnheader")).to_have_text(["name", "tempo"])
    await expect(table.get_by_role("cell")).to_have_text([mark, "120"])
    await shown("notes.txt", f"<b>{mark}</b>\nand more".encode())
    await expect(page.get_by_role("region", name="Text")).to_have_text(f"<b>{mark}</b>\nand more")
    await shown("bytes.bin", b"\x00\x01" + mark.encode())
    await expect(page.get_by_role("region", name="Bytes")).to_contain_text(f"00 01 {mark.encode()[:3].hex(' ')}")


async def test_words_are_edited_in_place(page: Page, api: httpx.AsyncClient, make_media: MakeMedia) -> None:
    cid = await make_media("image", "Before")
    await opened(page, cid)
    alive = page.locator("[data-module=item][data-alive]")
    await page.get_by_role("button", name="Edit").click()
    await expect(page.get_by_label("Name", exact=True).first).to_be_focused()
    form = page.get_by_role("form", name="Name, description and tags")
    await form.get_by_label("Name").fill("After")
    await form.get_by_label("Description").fill("Two\nlines")
    await form.get_by_label("Tags").fill("red, blue ,red")
    await form.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("After")
    await expect(page.get_by_label("Tags").get_by_role("link")).to_have_text(["blue", "red"])
    meta = (await api.get(f"/cache/{cid}/meta")).json()
    assert (meta["name"], meta["description"], meta["tags"]) == ("After", "Two\nlines", ["blue", "red"])
    await alive.wait_for()
    await page.get_by_role("button", name="Edit").click()
    await form.get_by_label("Description").fill("")
    await form.get_by_label("Name").press("Enter")
    await expect(page.locator("[data-called]")).not_to_contain_text("Two")
    await alive.wait_for()
    await page.get_by_role("button", name="Edit").click()
    await form.get_by_label("Name").fill("Never")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Edit")).to_be_focused()
    assert (await api.get(f"/cache/{cid}/meta")).json()["name"] == "After"


async def test_what_was_changed_meanwhile_is_told_and_not_lost(
    page: Page, api: httpx.AsyncClient, make_media: MakeMedia, expected: list[str]
) -> None:
    expected.append("412")
    cid = await make_media("image", "Mine")
    await opened(page, cid)
    await page.get_by_role("button", name="Edit").click()
    assert (await api.patch(f"/cache/{cid}/meta", json={"name": "Theirs"})).status_code == 200
    form = page.get_by_role("form", name="Name, description and tags")
    await form.get_by_label("Name").fill("Mine again")
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("is now: Theirs")
    await form.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Mine again")


async def test_it_is_published_cannot_be_deleted_is_unpublished_and_deleted(
    page: Page, make_media: MakeMedia, expected: list[str]
) -> None:
    cid = await make_media("image", "Brief")
    expected += ["409", f"status of 404.*{cid}"]  # the page may look once more while it is deleted
    await opened(page, cid)
    await page.locator("summary", has_text="Publish").click()
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_text("As Brief by owner")).to_be_visible()

    async def delete() -> None:
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    await delete()
    await expect(page.locator("[data-refused]")).to_contain_text("cannot be deleted: it is published")
    await page.get_by_role("button", name="Unpublish").click()
    await page.get_by_role("dialog").get_by_role("button", name="Unpublish").click()
    await expect(page.get_by_text("No: only you see it.")).to_be_visible()
    await delete()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Media")


async def test_what_is_not_here_is_a_page_that_says_so(page: Page, expected: list[str]) -> None:
    expected.append("40[04]")
    answer = await page.goto(f"/cache/{cid_of(uuid4().bytes)}")
    assert answer
    assert answer.status == 404
    await expect(page.get_by_role("heading", level=1)).to_have_text("Content not found")
    answer = await page.goto("/cache/nonsense")
    assert answer
    assert answer.status == 400


async def test_programs_get_what_they_ask_for(api: httpx.AsyncClient, counted: str) -> None:
    for accept in ("application/json", "*/*", "image/avif,image/webp,*/*;q=0.8"):
        answer = await api.get(f"/cache/{counted}", headers={"Accept": accept})
        assert answer.json()["cid"] == counted
    answer = await api.get(f"/cache/{counted}", headers={"Accept": "application/octet-stream"})
    assert cid_of(answer.content) == counted
    accept = "application/activity+json, application/ld+json, text/html;q=0.1"
    answer = await api.get(f"/cache/{counted}", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/problem+json"), "it is not published"
