"""What holds for all pages together: no link is dead, history works, programs get data, a theme stays."""

from __future__ import annotations

import re
from urllib.parse import urldefrag

import httpx
from playwright.async_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.inline import Inline
from tests.browser.tour import PLACES, Tour, settled

RUN_LINK = "main li a.font-semibold[href^='/run/']"
LEADING_OUT = ("mailto:", "http://", "https://", "#")
NOT_PAGES = ("/docs", "/logout", "/ipfs/", "/objects/")


async def test_no_link_is_dead(tour: Tour, api: httpx.AsyncClient) -> None:
    """All links of all pages, and of what they lead to, as far as they stay here."""
    asked = {place.address.format(**tour) for place in PLACES if place.status == 200 and place.signed_in}
    following, seen = set(asked), set[str]()
    dead: list[str] = []
    for _ in range(2):
        here, following = following - seen, set()
        for address in sorted(here):
            seen.add(address)
            async with api.stream("GET", address, headers={"Accept": "text/html"}) as answer:
                if answer.status_code >= 400:
                    dead.append(f"{address}: {answer.status_code}")
                if not answer.headers.get("content-type", "").startswith("text/html"):
                    continue
                document = Inline()
                document.feed((await answer.aread()).decode())
            links = (urldefrag(str(answer.url.join(link)))[0] for link in document.links)
            ours = (link.removeprefix(str(api.base_url).rstrip("/")) for link in links)
            following |= {link for link in ours if not link.startswith(NOT_PAGES) and not link.startswith(LEADING_OUT)}
    assert len(seen) > len(asked)
    assert dead == []


async def test_back_forward_and_reload_show_the_page_of_the_address(page: Page, tour: Tour) -> None:
    await page.goto("/")
    places = page.get_by_role("navigation", name="Places")
    heading = page.get_by_role("heading", level=1)
    for name in ("Runs", "Recipes", "Media"):
        await places.get_by_role("link", name=name).click()
        await expect(page).to_have_url(f"/{name.lower()}")
        await expect(heading).to_have_text(name)
    await page.go_back()
    await expect(page).to_have_url("/recipes")
    await expect(heading).to_have_text("Recipes")
    await expect(page).to_have_title("Recipes · Art DAG")
    await page.wait_for_load_state()  # it was loaded anew: its scripts hear the next step from then on
    await page.go_back()
    await expect(heading).to_have_text("Runs")
    await page.wait_for_load_state()
    await page.go_forward()
    await expect(heading).to_have_text("Recipes")
    await page.wait_for_load_state()
    await page.reload()
    await expect(page).to_have_url("/recipes")
    await expect(heading).to_have_text("Recipes")
    await expect(places.get_by_role("link", name="Recipes")).to_have_attribute("aria-current", "true")


async def test_navigation_does_not_load_the_page_anew(page: Page, tour: Tour) -> None:
    await page.goto("/runs")
    await settled(page)
    await page.evaluate("window.kept = true")
    await page.locator(RUN_LINK).first.click()
    await expect(page).to_have_url(re.compile(r"/run/[^/]+$"))
    await page.get_by_role("navigation", name="Parts of this run").get_by_role("link", name="Plan").click()
    await expect(page).to_have_url(re.compile(r"/plan$"))
    assert await page.evaluate("window.kept")


async def test_a_link_opens_in_a_new_tab(page: Page, tour: Tour) -> None:
    await page.goto("/runs")
    link = page.locator(RUN_LINK).first
    name = (await link.inner_text()).strip()
    async with page.context.expect_page() as opened:
        await link.click(modifiers=["ControlOrMeta"])
    tab = await opened.value
    await expect(tab.get_by_role("heading", level=1)).to_contain_text(name)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Runs")


async def test_the_same_address_answers_programs(tour: Tour, api: httpx.AsyncClient) -> None:
    for address in (
        "/runs",
        "/run/{run}",
        "/run/{run}/plan",
        "/recipes",
        "/recipe/{recipe}",
        "/media",
        "/cache/{video}",
    ):
        answer = await api.get(address.format(**tour))
        assert answer.status_code == 200, address
        assert answer.headers["content-type"] == "application/json", address
        assert {"Accept", "HX-Request"} <= set(answer.headers["vary"].split(", ")), address


async def test_a_chosen_theme_stays(page: Page) -> None:
    await page.goto("/runs")
    await settled(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    await page.get_by_role("button", name="Light or dark").click()
    dark = await page.evaluate(ground)
    assert dark != light
    await page.goto("/recipes")
    assert await page.evaluate(ground) == dark
    await page.get_by_role("button", name="Light or dark").click()
    assert await page.evaluate(ground) == light


async def test_times_are_in_the_zone_of_the_reader(new_page: NewPage, tour: Tour) -> None:
    page = await new_page()
    await page.goto(f"/run/{tour['run']}")
    moment = page.locator("main time").first
    await expect(moment).to_have_attribute("title", re.compile(r"(CET|CEST|GMT\+[12])"))
    plain = await new_page(java_script_enabled=False)
    await plain.goto(f"/run/{tour['run']}")
    await expect(plain.locator("main time").first).to_have_attribute("title", re.compile(r"UTC$"))


BROKEN_WORDS = """() => {
  const broken = [];
  for (const cell of document.querySelectorAll(".table th, .table td")) {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      for (const word of walker.currentNode.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
        const range = document.createRange();
        range.setStart(walker.currentNode, word.index);
        range.setEnd(walker.currentNode, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
        if (lines.size > 1) broken.push(word[0]);
      }
    }
  }
  return broken;
}"""


async def test_no_word_of_a_table_is_broken_on_a_phone(new_page: NewPage, tour: Tour) -> None:
    page = await new_page(width=390, height=844)
    for name in ("effect", "run-plan-table", "run-events", "compare"):
        place = next(each for each in PLACES if each.name == name)
        await page.goto(place.address.format(**tour))
        await settled(page)
        await page.locator(".table td").first.wait_for()
        assert await page.evaluate(BROKEN_WORDS) == [], name
