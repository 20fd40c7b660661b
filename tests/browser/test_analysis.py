"""The analysis of a run's inputs: drawn, heard, gone through by keyboard, and as a table."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

FEATURES = "beats, energy, spectrum, onsets"
RECIPE = f"""
name: listened
inputs:
  video: {{type: video}}
  audio: {{type: audio}}
steps:
  - {{id: heard, type: ANALYZE, inputs: [audio], config: {{features: [{FEATURES}]}}}}
  - {{id: seen, type: ANALYZE, inputs: [video], config: {{features: [scene_changes, beats]}}}}
  - {{id: synced, type: BEAT_SYNC, inputs: [video, heard], config: {{mode: stretch}}}}
output: synced
"""
INK = """(canvas) => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let place = 0; place < pixels.length; place += 4) {
    if (pixels[place + 3]) seen.add(`${pixels[place]},${pixels[place + 1]},${pixels[place + 2]}`);
  }
  return seen.size;
}"""
"""Counts the colours on a canvas."""


@pytest.fixture(scope="module")
async def run(api: httpx.AsyncClient, films: Path) -> dict[str, Any]:
    """A run whose inputs were analysed, with what was found."""
    cids = {}
    for name, file in (("video", "cat.mp4"), ("audio", "drums.wav")):
        answer = await api.post(
            "/cache/upload", data={"name": file}, files={"file": (file, (films / file).read_bytes())}
        )
        cids[name] = answer.json()["cid"]
    answer = await api.post("/api/plan", json={"recipe": RECIPE, "inputs": cids})
    assert answer.status_code in (201, 202), answer.text
    found: dict[str, Any] = answer.json()
    while (await api.get(f"/runs/{found['run_id']}")).json()["status"] not in ("planned", "failed"):
        await asyncio.sleep(0.05)
    analyses = (await api.get(f"/api/run/{found['run_id']}/analysis")).json()["analyses"]
    return {"run_id": found["run_id"]} | {each["node"]: each["result"] for each in analyses}


@pytest.fixture
async def drums(page: Page, run: dict[str, Any]) -> Locator:
    """The drums' part of the page, drawn."""
    await page.goto(f"/run/{run['run_id']}/analysis")
    part = page.get_by_role("region", name="heard", exact=True)
    await expect(part.locator("[data-waiting]")).to_be_hidden()
    await expect(part.locator("audio")).to_have_js_property("readyState", 4)
    return part


async def test_it_is_drawn_and_told(page: Page, drums: Locator, run: dict[str, Any]) -> None:
    await page.wait_for_function(f"() => ({INK})(document.querySelector('canvas')) > 10")
    facts = drums.locator(".facts")
    beats = run["heard"]["audio"]["beats"]
    await expect(facts).to_contain_text(f"{beats['tempo']:.1f} beats a minute")
    await expect(facts).to_contain_text(f"{len(beats['beat_times'])} beats")
    await expect(drums.get_by_role("slider")).to_have_attribute("aria-valuemax", "8.00")
    seen = page.get_by_role("region", name="seen", exact=True)
    await expect(seen).to_contain_text("No beats: media: the file has no audio.")
    await expect(seen.get_by_role("slider")).to_be_visible()
    await expect(seen.locator("video")).to_be_visible()


async def test_the_table_says_the_same(drums: Locator, run: dict[str, Any]) -> None:
    await drums.get_by_text("As a table").click()
    table = drums.get_by_role("table")
    await expect(table.get_by_role("columnheader")).to_have_text(["Time", "What", "Energy", "Bass", "Mid", "High"])
    times = run["heard"]["audio"]["beats"]["beat_times"]
    await expect(table.locator("tbody tr td:first-child")).to_have_text([f"{time:.3f} s" for time in times])
    await expect(table.get_by_role("cell", name="bar 1, beat 1")).to_be_visible()


async def test_keys_go_from_beat_to_beat(page: Page, drums: Locator, run: dict[str, Any]) -> None:
    times = run["heard"]["audio"]["beats"]["beat_times"]
    slider = drums.get_by_role("slider")
    await slider.focus()
    for key, time in (("ArrowRight", times[0]), ("ArrowRight", times[1]), ("ArrowRight", times[2])):
        await page.keyboard.press(key)
        await expect(slider).to_have_attribute("aria-valuenow", f"{time:.2f}")
        await expect(drums.locator("audio")).to_have_js_property("seeking", False)
    await page.keyboard.press("ArrowLeft")
    await expect(slider).to_have_attribute("aria-valuenow", f"{times[1]:.2f}")
    await page.wait_for_function(f"() => Math.abs(document.querySelector('audio').currentTime - {times[1]}) < 0.001")
    await page.keyboard.press("End")
    await expect(slider).to_have_attribute("aria-valuenow", "8.00")


async def test_a_beat_that_is_clicked_is_heard_until_the_next(page: Page, drums: Locator, run: dict[str, Any]) -> None:
    times = run["heard"]["audio"]["beats"]["beat_times"]
    await page.evaluate(
        """() => {
            window.heard = [];
            const audio = document.querySelector("audio");
            const hear = (event) => heard.push([event.type, audio.currentTime]);
            for (const type of ["playing", "pause"]) audio.addEventListener(type, hear);
            const place = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "currentTime");
            Object.defineProperty(audio, "currentTime", {
                get: () => place.get.call(audio),
                set: (time) => { heard.push(["sent to", time]); place.set.call(audio, time); },
            });
        }"""
    )
    await at(drums, times[2] / 8.0)
    await page.wait_for_function("() => heard.at(-1)?.[0] === 'pause'")
    (sent, start), (began, begin), *_, (ended, end) = await page.evaluate("heard")  # it may falter, and be heard late
    assert (sent, began, ended) == ("sent to", "playing", "pause")
    assert times[2] - 0.01 <= start < times[3]
    assert start - 0.01 <= begin <= end
    assert end >= times[3] - 0.01
    await at(drums, (times[4] + times[5]) / 16.0)  # between two: only the position goes there
    await page.wait_for_function(
        f"() => Math.abs(document.querySelector('audio').currentTime - {(times[4] + times[5]) / 2}) < 0.05"
    )
    await expect(drums.locator("audio")).to_have_js_property("paused", True)


async def test_a_part_is_enlarged_and_moved(page: Page, drums: Locator) -> None:
    slider = drums.get_by_role("slider")

    async def stands_at(place: int) -> None:
        await at(drums, 0.75)
        near = re.compile(rf"^({place - 1}\.99|{place}\.0[01])$")  # a pixel is a hundredth of a second
        await expect(slider).to_have_attribute("aria-valuenow", near)

    await stands_at(6)
    await slider.focus()
    await page.keyboard.press("Home")
    await drums.get_by_role("button", name="Show less time, larger").click()
    await stands_at(3)
    await slider.focus()
    await page.keyboard.press("Shift+ArrowRight")
    await stands_at(4)
    await page.keyboard.press("0")
    await stands_at(6)


async def test_programs_get_data(api: httpx.AsyncClient, run: dict[str, Any]) -> None:
    answer = await api.get(f"/run/{run['run_id']}/analysis", headers={"Accept": "application/json"})
    assert [each["node"] for each in answer.json()["analyses"]] == ["heard", "seen"]


async def at(part: Locator, share: float) -> None:
    """Click the drawing at a share of its time, in the lane at its foot."""
    canvas = part.get_by_role("slider")
    box = await canvas.bounding_box()
    assert box
    gutter = 64
    await canvas.click(position={"x": gutter + share * (box["width"] - gutter), "y": box["height"] - 5})
