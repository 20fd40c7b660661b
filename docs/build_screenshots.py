"""Makes the pictures in docs/screenshots/: every page, on a desktop and on a phone, in light and dark.

    python docs/build_screenshots.py [--only NAME…]

Starts a system of its own, brings media and recipes, runs some, and photographs what Chromium shows. Pictures of a page
have the same name each time: ``<page>-<desktop|phone>-<light|dark>.png``. Those of pages that are no more are removed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

from PIL import Image  # noqa: E402
from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright  # noqa: E402

from artdag_cli.client import Client  # noqa: E402
from artdag_cli.demo_media import make_cat, make_drums  # noqa: E402
from artdag_cli.system import System, system  # noqa: E402
from services.gateway.access import COOKIE  # noqa: E402
from tests.browser.launching import launched  # noqa: E402
from tests.browser.tour import PLACES, Place, Tour, fill, settled  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"
MOST_BYTES = 6_000_000
"""Of the whole folder."""

COLOURS, FLAT = 96, 32
"""Of a picture's palette: all, and those taken over exactly, which are the page's own."""

TALLEST = 1000
"""Pixels: what is further down is like what is shown."""

EMPTY = (
    Place("home-empty", "/"),
    Place("runs-empty", "/runs"),
    Place("recipes-empty", "/recipes"),
    Place("media-empty", "/media"),
)
"""Pages as somebody sees them who comes first."""

STILL = """() => {
  for (const each of document.querySelectorAll("video, audio")) each.pause();
  document.activeElement?.blur();
}"""


@dataclass(frozen=True, slots=True)
class Device:
    """What a page is looked at with."""

    name: str
    width: int
    height: int
    phone: bool


DEVICES = (Device("desktop", 1280, 800, False), Device("phone", 390, 800, True))
THEMES = ("light", "dark")


def small(picture: bytes) -> bytes:
    """Return a PNG with a palette: the page's own colours as they are, those of photographs nearly."""
    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
    counted: list[tuple[int, Any]] = image.getcolors(image.width * image.height) or []
    own = [colour for _, colour in sorted(counted, key=lambda each: -each[0])[:FLAT]]
    rest = image.quantize(COLOURS - len(own), Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in own for value in colour] + rest[: 3 * (COLOURS - len(own))])
    file = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


async def shown(page: Page) -> None:
    """Wait until a page stands still, also what comes into view by scrolling."""
    await settled(page)
    await page.evaluate(STILL)
    await page.wait_for_function(
        """() => [...document.querySelectorAll("video[preload=metadata]")]
          .every((each) => each.readyState > 0 || each.error)"""
    )
    for image in await page.locator("img[loading=lazy]").all():
        if await image.is_visible():
            await image.scroll_into_view_if_needed()
    await page.wait_for_function("() => [...document.images].every((each) => each.complete)")
    await page.evaluate("scrollTo(0, 0)")


async def picture(context: BrowserContext, device: Device, address: str) -> bytes:
    """Return what a page looks like.

    One page at a time: of a tab that is behind another, Chromium at times takes only what its window shows beside the
    browser's own bars, and fills the rest of a higher picture with that once more.
    """
    page = await context.new_page()
    try:
        await page.goto(address)
        try:
            await shown(page)
        except Error as error:
            raise RuntimeError(f"{address} does not come to rest on a {device.name}") from error
        height = min(TALLEST, int(await page.evaluate("document.documentElement.scrollHeight")))
        clip = {"x": 0, "y": 0, "width": device.width, "height": max(device.height, height)}
        return await page.screenshot(full_page=True, clip=clip, animations="disabled", caret="hide")  # type: ignore[arg-type]
    finally:
        await page.close()


async def pictures(browser: Browser, it: System, places: tuple[Place, ...], tour: Tour) -> None:
    """Write the pictures of pages."""
    url = f"http://127.0.0.1:{it.port}"
    for device in DEVICES:
        for theme in THEMES:
            for signed_in in (True, False):
                context = await browser.new_context(
                    base_url=url,
                    viewport={"width": device.width, "height": device.height},
                    color_scheme="dark" if theme == "dark" else "light",
                    reduced_motion="reduce",
                    is_mobile=device.phone,
                    has_touch=device.phone,
                    locale="en-GB",
                    timezone_id="Europe/Berlin",
                )
                if signed_in:
                    await context.add_cookies([{"name": COOKIE, "value": it.token, "url": url}])
                for place in places:
                    if place.signed_in == signed_in:
                        made = await picture(context, device, place.address.format(**tour))
                        (FOLDER / f"{place.name}-{device.name}-{theme}.png").write_bytes(small(made))
                await context.close()


async def build(scratch: Path, only: list[str]) -> None:
    """Run a system and write the pictures of all its pages, or of those named."""
    films = scratch / "films"
    films.mkdir()
    make_cat(films / "cat.mp4")
    make_drums(films / "drums.wav")

    def chosen(places: tuple[Place, ...]) -> tuple[Place, ...]:
        return tuple(place for place in places if not only or place.name in only)

    async with system(scratch / "state", 0, logs_to_files=True) as it, async_playwright() as playwright:
        browser = await launched(playwright)
        try:
            await pictures(browser, it, chosen(EMPTY), {})
            with Client(f"http://127.0.0.1:{it.port}", it.token) as client:
                tour = await asyncio.to_thread(fill, client, films, scratch / "stores")
            await pictures(browser, it, chosen(PLACES), tour)
        finally:
            await browser.close()


def main() -> int:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="pages to photograph; else all")
    only = parser.parse_args().only
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="artdag-screenshots-") as scratch:
        os.environ["ARTDAG_STORAGE_DIRS"] = str(Path(scratch) / "stores")
        asyncio.run(build(Path(scratch), only))
    known = {
        f"{place.name}-{device.name}-{theme}.png"
        for place in (*EMPTY, *PLACES)
        for device in DEVICES
        for theme in THEMES
    }
    for file in FOLDER.glob("*.png"):
        if file.name not in known:
            file.unlink()
    whole = sum(file.stat().st_size for file in FOLDER.glob("*.png"))
    print(f"{len(list(FOLDER.glob('*.png')))} pictures, {whole / 1e6:.1f} MB")
    if whole > MOST_BYTES:
        print(f"that is more than {MOST_BYTES / 1e6:.1f} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
