"""The pages can be used by everyone: what holds on the way between them, and for whoever wants no motion."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.tour import Tour


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
    await page.emulate_media(color_scheme="dark")
    moving = await page.evaluate(
        """() => document.getAnimations().filter((each) => each instanceof CSSTransition)
          .map((each) => each.transitionProperty)"""
    )
    assert moving == [], "another theme is there at once"
