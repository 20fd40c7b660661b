"""The pages in another engine than the one that all other tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from artdag_cli.system import System
from artdag_cli.testing import browser_needed
from tests.browser.firefox import NO_FIREFOX, Firefox, firefox, started
from tests.browser.tour import PLACES, Tour

pytestmark = pytest.mark.skipif(not firefox() and not browser_needed(), reason=NO_FIREFOX)

SETTLED = """window.htmx && !document.querySelector("[data-waiting]:not([hidden]), [aria-busy=true]")
  && [...document.images].every((each) => each.complete || each.loading === "lazy")"""
OWN_PAGES = ("about:", "chrome:", "resource:", "moz-extension:", "data:", "blob:")


@pytest.fixture(scope="module")
async def fox(live: System, url: str) -> AsyncIterator[Firefox]:
    """Firefox, signed in by the operator's link."""
    if not firefox():
        pytest.fail(NO_FIREFOX)
    async with started() as it:
        await it.go(f"{url}/login?token={live.token}")
        yield it


async def test_every_page_works(fox: Firefox, url: str, tour: Tour) -> None:
    for place in PLACES:
        if place.status != 200 or not place.signed_in:
            continue
        await fox.go(url + place.address.format(**tour))
        await fox.until(SETTLED)
        assert await fox.evaluate("document.querySelectorAll('h1').length") == 1, place.name
        wide = await fox.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, place.name
        assert fox.errors == [], place.name
    assert [each for each in fox.requests if not each.startswith((url, *OWN_PAGES))] == []


async def test_a_run_is_watched_and_its_result_is_there(
    fox: Firefox, url: str, make_run: Callable[..., Awaitable[dict[str, Any]]], held: Callable[[], None]
) -> None:
    run = await make_run(3, wait=False)
    await fox.go(f"{url}/run/{run['run_id']}")
    await fox.until("document.querySelector('#standing [data-status=running]')")
    await fox.evaluate("window.kept = true")
    held()
    await fox.until("document.querySelector('#standing [data-status=completed]')")
    assert await fox.evaluate("window.kept")
    assert fox.errors == []


async def test_from_a_file_to_its_provenance(
    fox: Firefox,
    url: str,
    films: Path,
    make_recipe: Callable[..., Awaitable[dict[str, Any]]],
    held: Callable[[], None],
) -> None:
    """Brought, run, watched and played, by mouse and keyboard. It is sound: Firefox has no H.264 of its own."""
    recipe = await make_recipe(2)
    await fox.go(f"{url}/recipe/{recipe['recipe_id']}")
    await fox.until(SETTLED)
    await fox.choose("[data-input=media] [data-file]", films / "drums.wav")
    await fox.until("document.querySelector('[data-input=media] [data-said]')?.textContent === 'uploaded'")
    await fox.evaluate("window.kept = true")
    await fox.click("form [data-buttons] [value=run]")
    await fox.until("/^.run.[^/]+$/.test(location.pathname)")
    await fox.until("document.querySelector('#standing [data-status=running]')")
    held()
    await fox.until("document.querySelector('#standing [data-status=completed]')")
    await fox.until("document.querySelector('#main audio')?.readyState > 0")
    await fox.until("document.querySelector('#main [data-loop]').checkVisibility()")  # the player's script has begun
    await fox.click("#main [data-loop]")
    await fox.until("document.activeElement.matches('[data-loop][aria-pressed=true]')")
    await fox.press("l")
    await fox.until("document.querySelector('#main audio').currentTime > 0.2")
    await fox.press("k")
    assert await fox.evaluate("document.querySelector('#main audio').paused")
    await fox.click("nav[aria-label='Parts of this run'] a[href$='/provenance']")
    await fox.until("document.querySelector('#main details')")
    assert recipe["name"] in await fox.evaluate("document.querySelector('#main details pre').textContent")
    assert await fox.evaluate("window.kept"), "a page was loaded whole"
    assert fox.errors == []
