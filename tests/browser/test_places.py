"""What holds for each page by itself, on a desktop, on a phone and without scripts.

A page is opened once on a desktop, and everything is looked for there that changes nothing: its policy and words, what
axe-core finds in either theme, and what is reached by keyboard.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, BrowserContext, Page, Response, expect

from artdag_cli.system import System
from tests.browser.conftest import PHONE, Ear, opened
from tests.browser.inline import Inline
from tests.browser.tour import PLACES, Place, Tour, settled

AXE = Axe()
VIOLATIONS = {"resultTypes": ["violations"]}
ROUNDS = 3
"""A list goes on where its end comes into view, so there is more to reach than there was at first."""

MEDIA_STOPS = 14
"""How many stops a player's own controls have at most."""

WORDS = re.compile(r"\bundefined\b|\bNaN\b|\[object |\{\{|\{%|&lt;")
"""That a program wrote and nobody meant to say."""

ACTIONS = """() => {
  const actions = "a[href], button, input:not([type=hidden]), select, textarea, summary, video[controls],"
    + " audio[controls], [role=button], [role=link], [role=checkbox], [role=switch], [role=slider],"
    + " [tabindex]:not([tabindex^='-']), [contenteditable=true]";
  const roving = "[role=radio], [role=tab], [role=option], [role=menuitem], [role=treeitem]";
  const shown = [...document.querySelectorAll(actions)].filter((each) =>
    each.checkVisibility({ visibilityProperty: true }) && !each.matches(":disabled") && !each.closest("[inert]"));
  window.reached = new Set();
  window.dim = [];
  document.addEventListener("focusin", ({ target }) => {
    window.reached.add(target);
    const look = getComputedStyle(target);
    const seen = look.outlineStyle !== "none" || look.boxShadow !== "none";
    if (!seen && !target.matches("video, audio, .cm-content")) window.dim.push(target.outerHTML.slice(0, 160));
  });
  window.wanted = shown.filter((each) => {
    if (each.matches("input[type=radio]")) return each.checked;
    return !(each.matches(roving) && each.tabIndex < 0);
  });
  return [shown.length, shown.filter((each) => each.matches("video, audio")).length];
}"""
MISSED = "() => window.wanted.filter((each) => !window.reached.has(each)).map((each) => each.outerHTML.slice(0, 160))"

EACH = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that is open, and what the server answered."""

    place: Place
    page: Page
    answer: Response


Visiting = Callable[..., AbstractAsyncContextManager[Visit]]


@pytest.fixture(scope="module")
async def visiting(browser: Browser, live: System, url: str, tour: Tour) -> AsyncIterator[Visiting]:
    """Visit places, with options as contexts take them, in browsers that keep scripts and styles as those of people."""
    contexts: dict[Any, tuple[BrowserContext, Ear]] = {}

    @asynccontextmanager
    async def visit(place: Place, **options: Any) -> AsyncIterator[Visit]:
        kind = (place.signed_in, *sorted(options.items()))
        if kind not in contexts:
            contexts[kind] = await opened(browser, url, live.token if place.signed_in else None, **options)
        context, ear = contexts[kind]
        page = await context.new_page()
        try:
            answer = await page.goto(place.address.format(**tour))
            assert answer is not None
            assert answer.status == place.status, place.address
            assert answer.headers["content-type"].startswith("text/html")
            if options.get("java_script_enabled", True):
                await settled(page)
            yield Visit(place, page, answer)
        finally:
            await page.close()
            heard = ear.heard([f"status of {place.status}"] if place.status >= 400 else [])
        assert not heard, f"{place.address} reported errors:\n" + "\n".join(heard)

    yield visit
    for context, _ in contexts.values():
        await context.close()


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: place.name)
async def seen(request: pytest.FixtureRequest, visiting: Visiting) -> AsyncIterator[Visit]:
    """Each place in turn, for all tests that take it."""
    async with visiting(request.param, reduced_motion="reduce") as visit:  # no colour is on its way to another
        yield visit


async def test_it_is_strict_and_says_what_it_is(seen: Visit) -> None:
    """Violations of the policy and requests to other hosts fail by themselves."""
    policy = seen.answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    document = Inline()
    document.feed(await seen.answer.text())
    assert document.found == []
    assert await seen.page.locator("h1").count() == 1
    assert (await seen.page.title()).endswith(" · Art DAG")
    said = await seen.page.locator("main").inner_text()
    assert WORDS.findall(said) == [], "words of a programming language"


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing(seen: Visit, theme: Literal["light", "dark"]) -> None:
    await seen.page.emulate_media(color_scheme=theme)
    found = await AXE.run(seen.page, options=VIOLATIONS)
    assert not found.response["violations"], found.generate_report()


async def test_every_action_is_reached_by_keyboard(seen: Visit) -> None:
    dim: list[str] = []
    for _ in range(ROUNDS):
        stops, players = await seen.page.evaluate(ACTIONS)
        for _ in range(stops + MEDIA_STOPS * players + 1):
            await seen.page.keyboard.press("Tab")
        dim += await seen.page.evaluate("window.dim")
        if await seen.page.evaluate(MISSED) == []:
            break
    assert await seen.page.evaluate(MISSED) == []
    assert dim == [], "the focus is not seen"


@EACH
async def test_a_phone_shows_it_without_sideways_scrolling(place: Place, visiting: Visiting) -> None:
    phone = {"width": PHONE[0], "height": PHONE[1], "has_touch": True, "is_mobile": True}
    async with visiting(place, **phone) as visit:
        wide = await visit.page.evaluate(
            """() => [...document.querySelectorAll("body *")].filter((each) => {
              const right = each.getBoundingClientRect().right;
              return right > innerWidth + 1 && !each.closest("[class*=overflow-], .tabs, canvas");
            }).map((each) => each.outerHTML.slice(0, 120))"""
        )
        inner, outer = await visit.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert inner <= PHONE[0], wide
    assert outer == PHONE[0], wide


@EACH
async def test_it_can_be_read_without_scripts(place: Place, visiting: Visiting) -> None:
    async with visiting(place, java_script_enabled=False) as visit:
        await expect(visit.page.locator("h1")).to_be_visible()
        places = visit.page.get_by_role("navigation", name="Places", exact=True)
        await expect(places.get_by_role("link")).to_have_count(6 if place.signed_in else 5)  # one is the operator's
