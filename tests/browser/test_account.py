"""Signing in and out by hand, letting programs in, and pages that say why something cannot be had."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from artdag_cli.system import System

NewPage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def granted(api: httpx.AsyncClient, url: str) -> Callable[[], Awaitable[str]]:
    """Have another token made for the owner, as programs get theirs."""

    async def grant() -> str:
        codes = (await api.post("/auth/device", json={"client_id": "a test"})).json()
        said = {"user_code": codes["user_code"], "decision": "allow"}
        assert (await api.post("/auth/device/confirm", json=said)).status_code == 200
        answer = await api.post("/auth/device/token", json={"device_code": codes["device_code"]})
        return str(answer.json()["access_token"])

    return grant


async def test_the_operators_link_signs_in_and_out_again(
    stranger_page: Page, live: System, granted: Callable[[], Awaitable[str]]
) -> None:
    page = stranger_page
    await page.goto(f"/login?token={await granted()}&next=/runs")
    await expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    await page.locator("#who").get_by_role("link").click()
    await expect(page.get_by_role("heading", name="Signed in as @owner@")).to_be_visible()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()
    await expect(page.locator("#who").get_by_role("link", name="Sign in")).to_be_visible()


async def test_after_a_page_that_could_not_be_had_one_can_still_sign_out(
    new_page: NewPage, granted: Callable[[], Awaitable[str]], expected: list[str]
) -> None:
    """A form sends its origin only where the page that was loaded first lets it."""
    expected.append("status of 404")
    page = await new_page(token=await granted())
    await page.goto("/no-such-place")
    await page.locator("#who").get_by_role("link").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()


async def test_a_program_is_let_in_by_its_code(page: Page, api: httpx.AsyncClient) -> None:
    codes = (await api.post("/auth/device", json={"client_id": "artdag on laptop"})).json()
    await page.goto("/auth")
    await page.get_by_role("link", name="Enter a code").click()
    await page.get_by_label("The code that it shows:").fill(codes["user_code"].lower())
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("heading", name="Sign artdag on laptop in as @owner@")).to_be_visible()
    await page.get_by_role("button", name="Yes, sign it in").click()
    await expect(page.get_by_role("heading", name="artdag on laptop: it is signed in")).to_be_visible()
    answer = await api.post("/auth/device/token", json={"device_code": codes["device_code"]})
    assert answer.json()["token_type"] == "Bearer"


async def test_a_token_is_revoked_by_whoever_has_it(
    page: Page, url: str, granted: Callable[[], Awaitable[str]]
) -> None:
    token = await granted()
    await page.goto("/auth")
    await page.get_by_role("link", name="Revoke a single token").click()
    await page.get_by_label("The token").fill(token)
    await page.get_by_role("button", name="Revoke it").click()
    await expect(page.get_by_text("The token counts no more")).to_be_visible()
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as program:
        assert (await program.get("/api/usage")).status_code == 401


async def test_who_was_signed_out_meanwhile_is_told_so_where_they_press(
    new_page: NewPage, api: httpx.AsyncClient, granted: Callable[[], Awaitable[str]], expected: list[str]
) -> None:
    expected.append("status of 401")
    token = await granted()
    page = await new_page(token=token)
    await page.goto("/storage/type/local")
    await page.get_by_label("Name").fill("attic")
    await page.get_by_label("Folder").fill("/nowhere")
    assert (await api.post("/auth/revoke", json={"token": token})).status_code == 200
    await page.get_by_role("button", name="Add this place").click()
    await expect(page.get_by_role("alert")).to_have_text(re.compile("^You are not signed in, or not any more"))
    await expect(page.get_by_role("button", name="Add this place")).to_be_focused()


@pytest.mark.parametrize(
    ("address", "status", "title", "near"),
    [
        ("/rnus", 404, "There is nothing here", "All runs"),
        ("/run/00000000-0000-4000-8000-000000000000", 404, "Run not found", "All runs"),
        ("/recipe/nothing-of-this-name", 404, "Recipe not found", "All recipes"),
        ("/storage/nothing", 404, "Storage not found", "Storage"),
        ("/storage/type/floppy", 422, "Invalid request", ""),
        ("/runs?cursor=x", 422, "Invalid request", ""),
    ],
)
async def test_a_problem_says_what_it_is_and_where_to_go(
    page: Page, expected: list[str], address: str, status: int, title: str, near: str
) -> None:
    expected.append(f"status of {status}")
    answer = await page.goto(address)
    assert answer
    assert answer.status == status
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
    main = page.get_by_role("main")
    if near:
        await expect(main.get_by_role("link", name=near)).to_be_visible()
    await main.get_by_role("link", name="Home").click()
    await expect(page.get_by_role("heading", name="This server")).to_be_visible()


async def test_a_server_that_cannot_answer_now_is_asked_again(page: Page, expected: list[str]) -> None:
    """The page waits as long as it was told, and goes on by itself."""
    expected.append("status of 503")
    await page.goto("/")
    away = True
    shown: dict[str, Any] = {}

    async def stand_in(route: Any) -> None:
        if not away:
            await route.continue_()
            return
        await route.fulfill(status=503, headers={"Content-Type": "text/html", "Retry-After": "1"}, body=shown["html"])

    answer = await page.request.get("/", headers={"Accept": "text/html"})
    html = await answer.text()
    begin, _, rest = html.partition("<main")
    _, _, end = rest.partition("</main>")
    shown["html"] = (
        f'{begin}<main id="main" tabindex="-1"><h1>Not now</h1>'
        f'<p data-module="again" data-after="1"><span data-left></span></p></main>{end}'
    )
    await page.route("**/runs", stand_in)
    await page.get_by_role("navigation", name="Places").get_by_role("link", name="Runs").click()
    await expect(page.get_by_text("It is tried again by itself")).to_be_visible()
    away = False
    await expect(page.get_by_role("heading", name="Runs")).to_be_visible()


async def test_the_client_is_downloaded(page: Page) -> None:
    await page.goto("/")
    await page.get_by_role("contentinfo").get_by_role("link", name="Command line").click()
    await expect(page.get_by_role("heading", name="The command line client")).to_be_visible()
    async with page.expect_download() as found:
        await page.get_by_role("link", name="Download artdag.py").click()
    assert (await found.value).suggested_filename == "artdag.py"
