"""The pages can be used by everyone: axe-core finds nothing, and everything is reached by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, expect

from tests.browser.conftest import PHONE, NewPage
from tests.browser.tour import PLACES, Place, Tour, settled

AXE = Axe()
VIOLATIONS = {"resultTypes": ["violations"]}
MEDIA_STOPS = 14
"""How many stops a player's own controls have at most."""

ACTIONS = """() => {
  const actions = "a[href], button, input:not([type=hidden]), select, textarea, summary, video[controls],"
    + " audio[controls], [tabindex], [contenteditable=true]";
  const roving = "[role=radio], [role=tab], [role=option], [role=menuitem], [role=treeitem]";
  const shown = [...document.querySelectorAll(actions)].filter((each) =>
    each.checkVisibility({ visibilityProperty: true }) && !each.matches(":disabled") && !each.closest("[inert]")
    && each.id !== "main");
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


async def visit(new_page: NewPage, place: Place, tour: Tour, expected: list[str], **options: Any) -> Page:
    """Open a page, and see that it is answered as it has to be."""
    if place.status >= 400:
        expected.append(f"status of {place.status}")
    if not place.signed_in:
        options["token"] = None
    page = await new_page(**options)
    answer = await page.goto(place.address.format(**tour))
    assert answer is not None
    assert answer.status == place.status, place.address
    assert answer.headers["content-type"].startswith("text/html")
    await settled(page)
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_axe_finds_nothing(place: Place, theme: str, new_page: NewPage, tour: Tour, expected: list[str]) -> None:
    page = await visit(new_page, place, tour, expected, theme=theme)
    found = await AXE.run(page, options=VIOLATIONS)
    assert not found.response["violations"], found.generate_report()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_a_phone_shows_it_without_sideways_scrolling(
    place: Place, new_page: NewPage, tour: Tour, expected: list[str]
) -> None:
    page = await visit(new_page, place, tour, expected, width=PHONE[0], height=PHONE[1], has_touch=True, is_mobile=True)
    wide = await page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((each) => {
          const right = each.getBoundingClientRect().right;
          return right > innerWidth + 1 && !each.closest("[class*=overflow-], .tabs, canvas");
        }).map((each) => each.outerHTML.slice(0, 120))"""
    )
    inner, outer = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert inner <= PHONE[0] and outer == PHONE[0], wide  # noqa: PT018


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_every_action_is_reached_by_keyboard(
    place: Place, new_page: NewPage, tour: Tour, expected: list[str]
) -> None:
    page = await visit(new_page, place, tour, expected)
    stops, players = await page.evaluate(ACTIONS)
    for _ in range(stops + MEDIA_STOPS * players + 1):
        await page.keyboard.press("Tab")
    assert await page.evaluate(MISSED) == []
    assert await page.evaluate("window.dim") == [], "the focus is not seen"


async def test_the_first_link_skips_to_the_content(page: Page) -> None:
    await page.goto("/runs")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.getElementById('main').contains(document.activeElement)")


async def test_who_goes_on_by_keyboard_is_taken_to_the_new_page(page: Page) -> None:
    await page.goto("/runs")
    link = page.get_by_role("navigation", name="Places").get_by_role("link", name="Recipes")
    await link.focus()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url("/recipes")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Recipes")
    await expect(page.locator("#main")).to_be_focused()
    await expect(page).to_have_title("Recipes · Art DAG")


async def test_whoever_wants_no_motion_gets_none(new_page: NewPage, tour: Tour) -> None:
    page = await new_page(reduced_motion="reduce")
    await page.goto(f"/run/{tour['run']}")
    slow = await page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((each) => ["", "::before", "::after"].some((part) => {
          const look = getComputedStyle(each, part || null);
          const seconds = (text) => Math.max(...text.split(",").map(parseFloat));
          return seconds(look.animationDuration) > 0.001 || seconds(look.transitionDuration) > 0.001;
        })).map((each) => each.outerHTML.slice(0, 120))"""
    )
    assert slow == []
