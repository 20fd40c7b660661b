"""What the tests of the pages share: a real browser, signed in at the running system, that takes no error lightly.

Every page that :func:`new_page` gives fails its test by an uncaught error, an error on the console (a violated content
policy is one) and a request to another host, unless the test says in ``expected`` that it has to be so.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

from artdag_cli.client import Client
from artdag_cli.demo_media import make_cat, make_drums
from artdag_cli.system import System
from artdag_cli.testing import NO_BROWSER, browser_needed
from artdag_cli.testing import browser as found_browser
from services.gateway.access import COOKIE
from tests.browser.launching import launched
from tests.browser.tour import Tour, fill
from tests.integration.gateway.conftest import (
    api,
    asset,
    bus,
    chain,
    finish,
    follow,
    held,
    make_recipe,
    scheduled,
    stranger,
    url,
)

__all__ = ["api", "asset", "bus", "chain", "finish", "follow", "held", "make_recipe", "scheduled", "stranger", "url"]

HERE = Path(__file__).parent
PATIENCE_MS = 60_000
OWN = ("data:", "blob:", "about:")
DESKTOP, PHONE = (1280, 800), (390, 800)
FRAMES = 24
"""Of the film that tests upload."""

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder where there is no browser, unless it has to be there."""
    if found_browser() or browser_needed():
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=NO_BROWSER))


class NewPage(Protocol):
    """Opens a page in a new context: another browser, as far as the server can tell.

    Args:
        theme: that the reader's system prefers.
        token: signs it in; None: it is signed in by nobody.
        base_url: of the server, or of what stands before it.
        options: of the context, as Playwright takes them.
    """

    def __call__(
        self,
        *,
        theme: str = "light",
        width: int = ...,
        height: int = ...,
        token: str | None = ...,
        base_url: str = ...,
        **options: Any,
    ) -> Awaitable[Page]: ...


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    if not found_browser():
        pytest.fail(NO_BROWSER)
    async with async_playwright() as playwright:
        it = await launched(playwright)
        yield it
        await it.close()


@pytest.fixture
def expected() -> list[str]:
    """Regular expressions of the errors that a test expects of its pages; it appends them."""
    return []


class Ear:
    """Hears what goes wrong in a context: errors on the console, uncaught ones, and requests to another host."""

    def __init__(self, context: BrowserContext, base_url: str) -> None:
        self._own = (f"{base_url}/", *OWN)
        self._heard: list[str] = []
        context.on("console", self._console)
        context.on("weberror", lambda error: self._heard.append(f"uncaught: {error.error}"))
        context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._heard.append(f"{message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self._own):
            self._heard.append(f"asked elsewhere: {request.url}")

    def heard(self, expected: Iterable[str]) -> list[str]:
        """Return what was heard since the last time, but for what one of these regular expressions fits."""
        heard, self._heard = self._heard, []
        return [line for line in heard if not any(re.search(pattern, line) for pattern in expected)]


async def opened(
    browser: Browser,
    base_url: str,
    token: str | None,
    *,
    theme: str = "light",
    width: int = DESKTOP[0],
    height: int = DESKTOP[1],
    **options: Any,
) -> tuple[BrowserContext, Ear]:
    """Open a context, signed in by ``token``; the rest as :class:`NewPage` says."""
    context = await browser.new_context(
        base_url=base_url,
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        locale="en-GB",
        timezone_id="Europe/Berlin",
        **options,
    )
    context.set_default_timeout(PATIENCE_MS)
    if token:
        await context.add_cookies([{"name": COOKIE, "value": token, "url": base_url, "httpOnly": True}])
    return context, Ear(context, base_url)


@pytest.fixture
async def new_page(browser: Browser, live: System, url: str, expected: list[str]) -> AsyncIterator[NewPage]:
    """Open pages."""
    contexts: list[tuple[BrowserContext, Ear]] = []

    async def make(*, token: str | None = live.token, base_url: str = url, **options: Any) -> Page:
        contexts.append(await opened(browser, base_url, token, **options))
        return await contexts[-1][0].new_page()

    yield make
    said = [line for _, ear in contexts for line in ear.heard(expected)]
    for context, _ in contexts:
        await context.close()
    assert not said, "the pages reported errors:\n" + "\n".join(said)


@pytest.fixture
async def page(new_page: NewPage) -> Page:
    """A page of the owner."""
    return await new_page()


@pytest.fixture
async def stranger_page(new_page: NewPage) -> Page:
    """A page of somebody who is not signed in."""
    return await new_page(token=None)


@pytest.fixture
async def phone_page(new_page: NewPage) -> Page:
    """A page of the owner, on a phone."""
    return await new_page(width=PHONE[0], height=PHONE[1], has_touch=True, is_mobile=True)


# --- things to look at ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``cat.mp4``, a second long, and ``drums.wav``."""
    folder = tmp_path_factory.mktemp("films")
    make_cat(folder / "cat.mp4", FRAMES)
    make_drums(folder / "drums.wav")
    return folder


@pytest.fixture(scope="session")
async def tour(live: System, films: Path) -> Tour:
    """A system with something to see on every page."""
    with Client(f"http://127.0.0.1:{live.port}", live.token) as client:
        return await asyncio.to_thread(fill, client, films, Path(os.environ["ARTDAG_STORAGE_DIRS"]) / "tour")


@pytest.fixture
def make_media(api: httpx.AsyncClient, films: Path) -> Callable[..., Awaitable[str]]:
    """Upload a video, some audio, an image or data, and return its CID. Images and data are new each time."""

    async def make(kind: str = "image", name: str = "") -> str:
        name = name or f"{kind}-{uuid4().hex[:8]}"
        files: dict[str, Callable[[], tuple[str, bytes, str]]] = {
            "video": lambda: ("cat.mp4", (films / "cat.mp4").read_bytes(), "video/mp4"),
            "audio": lambda: ("drums.wav", (films / "drums.wav").read_bytes(), "audio/x-wav"),
            "image": lambda: ("picture.png", picture(), "image/png"),
            "data": lambda: ("facts.json", f'{{"id": "{uuid4()}"}}'.encode(), "application/json"),
        }
        answer = await api.post("/cache/upload", data={"name": name}, files={"file": files[kind]()})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["cid"])

    return make


def picture() -> bytes:
    """Return a PNG that no other test has."""
    file = io.BytesIO()
    colours = uuid4().bytes
    Image.frombytes("RGB", (4, 1), colours[:12]).resize((320, 180), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def make_run(
    api: httpx.AsyncClient,
    asset: str,
    make_recipe: Callable[..., Awaitable[dict[str, Any]]],
    finish: Callable[[str], Awaitable[dict[str, Any]]],
) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Run a recipe, to its end unless ``wait`` is False; without one, a chain of so many no-op steps."""

    async def make(
        steps: int = 2, *, recipe: str = "", inputs: dict[str, Any] | None = None, name: str = "", wait: bool = True
    ) -> dict[str, Any]:
        if not recipe:
            recipe, inputs = (await make_recipe(steps))["recipe_id"], {"media": asset}
        body = {"inputs": inputs or {}} | ({"output_name": name} if name else {})
        answer = await api.post(f"/recipes/{recipe}/run", json=body)
        assert answer.status_code in (200, 201, 202), answer.text
        found: dict[str, Any] = answer.json()
        return await finish(found["run_id"]) if wait else found

    return make


@pytest.fixture
def folder() -> Path:
    """A new folder in which the running system's users may have storage."""
    return Path(tempfile.mkdtemp(dir=os.environ["ARTDAG_STORAGE_DIRS"]))
