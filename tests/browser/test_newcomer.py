"""Somebody's first hour here, on a system that nobody used before, by nothing but what the pages offer."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from artdag_cli.demo_media import make_cat
from artdag_cli.system import System, system
from tests.browser.conftest import NewPage

OTHER = 20
"""Frames of another film."""


@pytest.fixture(scope="module")
async def fresh(state: Path) -> AsyncIterator[System]:
    """A system with nothing in it."""
    async with system(state / "newcomer", 0, logs_to_files=True) as it:
        yield it


@pytest.fixture(scope="module")
def other_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that nobody rendered before."""
    path = tmp_path_factory.mktemp("other") / "short-walk.mp4"
    make_cat(path, OTHER)
    return path


@contextmanager
def held(it: System) -> Iterator[None]:
    """Have executors do nothing, so that what is to be cancelled is not done before."""
    pid = it.supervisor.children["executor"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def go_to(page: Page, place: str) -> None:
    """Follow a link of the head of the page."""
    await page.get_by_role("navigation", name="Places").get_by_role("link", name=place).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(place)


async def test_from_the_link_to_the_film(
    new_page: NewPage, fresh: System, films: Path, other_film: Path, expected: list[str]
) -> None:
    page = await new_page(token=None, base_url=f"http://127.0.0.1:{fresh.port}")
    heading = page.get_by_role("heading", level=1)

    # The link that `artdag up` prints signs in, and leads to a page that says what to do first.
    await page.goto(f"/login?token={fresh.token}")
    await expect(page).to_have_url("/")
    await expect(page.get_by_role("heading", name="Start here")).to_be_visible()
    for place, said in (("Runs", "No run"), ("Media", "No media yet")):
        await go_to(page, place)
        await expect(page.locator(".empty")).to_contain_text(said)

    # Media: two files at once.
    await page.locator("[data-module=gallery][data-alive]").wait_for()
    async with page.expect_file_chooser() as asked:
        await page.get_by_role("button", name="Upload files").click()
    await (await asked.value).set_files([films / "cat.mp4", films / "drums.wav"])
    await expect(
        page.get_by_role("region", name="Gallery").get_by_role("link", name=re.compile("^cat"))
    ).to_be_visible()
    await expect(
        page.get_by_role("region", name="Gallery").get_by_role("link", name=re.compile("^drums"))
    ).to_be_visible()

    # A recipe: one of the examples.
    await go_to(page, "Recipes")
    await page.get_by_role("button", name="Take beat-sync").click()
    await expect(page).to_have_url(re.compile("/recipe/"))
    await expect(heading).to_contain_text("beat-sync")

    # It says what is missing; one input is chosen, the other brought right here.
    await page.locator("[data-module=run-form][data-alive]").wait_for()
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Choose or upload something for video.")).to_be_visible()
    await (
        page.get_by_role("group", name=re.compile("^video"))
        .get_by_role("button", name="Choose from your media")
        .click()
    )
    await page.get_by_role("dialog").get_by_role("button", name=re.compile("^cat")).click()
    await (
        page.get_by_role("group", name=re.compile("^audio"))
        .locator("input[type=file]")
        .set_input_files(films / "drums.wav")
    )
    await expect(page.get_by_role("list", name="Chosen for audio")).to_contain_text("uploaded")
    await page.get_by_label("Name of the result").fill("my first film")

    # The plan before anything is computed, then the run, watched without a finger on the keyboard.
    await page.get_by_role("button", name="See the plan first").click()
    await expect(page.get_by_role("region", name="The plan")).to_contain_text("To compute")
    await page.get_by_role("button", name="Run this plan").click()
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))
    await expect(heading).to_contain_text("my first film")
    await expect(page.locator("#standing [data-status=completed]")).to_be_visible()

    # The result plays.
    film = page.locator("#main video").first
    await expect(film).to_be_visible()
    await film.scroll_into_view_if_needed()
    await film.focus()
    await page.keyboard.press("Space")
    await page.wait_for_function("() => document.querySelector('#main video').currentTime > 0.3")
    await page.keyboard.press("Space")

    # Where it comes from.
    run = page.url
    parts = page.get_by_role("navigation", name="Parts of this run")
    await parts.get_by_role("link", name="Provenance").click()
    await expect(page.locator("#main")).to_contain_text("my first film")
    await page.get_by_text("The whole record").click()
    await expect(page.locator("#main pre")).to_contain_text('"recipe": "beat-sync"')
    await parts.get_by_role("link", name="Plan").click()
    await expect(page.locator("canvas")).to_be_visible()

    # What the film was made of cannot be deleted: the page says why, and what needs it.
    expected.append("status of 409")
    await go_to(page, "Media")
    await page.get_by_role("region", name="Gallery").get_by_role("link", name=re.compile("^cat")).click()
    await expect(heading).to_have_text("cat")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator("#main")).to_contain_text("cannot be deleted")
    await page.reload()
    await expect(heading).to_have_text("cat")

    # Another run, of another film, is cancelled before it is done.
    await page.goto(run)
    await page.get_by_role("link", name="Run with changes").click()
    await page.get_by_role("group", name=re.compile("^video")).locator("input[type=file]").set_input_files(other_film)
    await expect(page.get_by_role("list", name="Chosen for video")).to_contain_text("uploaded")
    with held(fresh):
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page).to_have_url(re.compile("/run/[^/?]+$"))
        assert page.url != run
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await expect(page.locator("#standing [data-status=cancelled]")).to_be_visible()

    # Both are in the list, as they ended.
    await go_to(page, "Runs")
    await expect(page.locator("main [data-status=cancelled]")).to_have_count(1)
    await expect(page.locator("main [data-status=completed]")).to_have_count(1)

    # Signed out, the browser may write no more.
    await page.goto("/auth")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(heading).to_have_text("Not signed in")
    await page.goto(run)
    await expect(page.get_by_role("button", name="Delete")).to_have_count(0)
