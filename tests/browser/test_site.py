"""What holds for all pages: nothing comes from elsewhere, nothing stands inline, no link is dead, history works."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.test_accessibility import visit
from tests.browser.tour import PLACES, Place, Tour, settled

WORDS = re.compile(r"\bundefined\b|\bNaN\b|\[object |\{\{|\{%|&lt;")
"""That a program wrote and nobody meant to say."""

LEADING_OUT = ("mailto:", "http://", "https://", "#")
NOT_PAGES = ("/docs", "/logout", "/ipfs/", "/objects/")


class Inline(HTMLParser):
    """Finds in a document what a strict policy would keep from working, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        given = dict(attrs)
        if (tag == "script" and "src" not in given and given.get("type") != "application/json") or tag == "style":
            self.found.append(f"<{tag}>")
        self.found += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith(("on", "hx-on"))]
        self.found += [f"<{tag} {name}={value}>" for name, value in attrs if (value or "").startswith("javascript:")]
        if tag == "a" and given.get("href"):
            self.links.add(given["href"] or "")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_a_page_is_strict_and_says_what_it_is(
    place: Place, new_page: NewPage, tour: Tour, expected: list[str]
) -> None:
    """Violations of the policy and requests to other hosts fail every test of this folder by themselves."""
    page = await visit(new_page, place, tour, expected)
    answer = await page.request.get(place.address.format(**tour), headers={"Accept": "text/html"})
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    document = Inline()
    document.feed(await answer.text())
    assert document.found == []
    assert await page.locator("h1").count() == 1
    assert (await page.title()).endswith(" · Art DAG")
    said = await page.locator("main").inner_text()
    assert WORDS.findall(said) == [], "words of a programming language"


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


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_a_page_can_be_read_without_scripts(
    place: Place, new_page: NewPage, tour: Tour, expected: list[str]
) -> None:
    if place.status >= 400:
        expected.append(f"status of {place.status}")
    token: dict[str, Any] = {} if place.signed_in else {"token": None}
    page = await new_page(java_script_enabled=False, **token)
    await page.goto(place.address.format(**tour))
    await expect(page.locator("h1")).to_be_visible()
    await expect(page.get_by_role("navigation", name="Places").get_by_role("link")).to_have_count(5)


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
    await page.go_back()
    await expect(heading).to_have_text("Runs")
    await page.go_forward()
    await expect(heading).to_have_text("Recipes")
    await page.reload()
    await expect(page).to_have_url("/recipes")
    await expect(heading).to_have_text("Recipes")
    await expect(places.get_by_role("link", name="Recipes")).to_have_attribute("aria-current", "true")


async def test_navigation_does_not_load_the_page_anew(page: Page, tour: Tour) -> None:
    await page.goto("/runs")
    await settled(page)
    await page.evaluate("window.kept = true")
    await page.get_by_role("link", name="dancing-cat", exact=True).first.click()
    await expect(page).to_have_url(re.compile(r"/run/[^/]+$"))
    await page.get_by_role("navigation", name="Parts of this run").get_by_role("link", name="Plan").click()
    await expect(page).to_have_url(re.compile(r"/plan$"))
    assert await page.evaluate("window.kept")


async def test_a_link_opens_in_a_new_tab(page: Page, tour: Tour) -> None:
    await page.goto("/runs")
    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name="dancing-cat", exact=True).first.click(modifiers=["ControlOrMeta"])
    tab = await opened.value
    await expect(tab.get_by_role("heading", level=1)).to_contain_text("dancing-cat")
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
