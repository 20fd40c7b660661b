"""What a page costs whoever opens it: bytes over the wire and the time until it shows its largest part.

Each page is opened in Chromium with an empty cache, by loopback, on a system that has something to show. *page* counts
the document, its scripts and styles as they come over the wire, heads of answers included; *content* what it shows
besides: pictures, films, data. *shown* is the largest contentful paint, after the navigation begins; of some
rounds the median. The limits are those of the first page that anybody sees, and of every page that draws no graph.

Needs Chromium (`apt install chromium`). Runs a system of its own, in a new temporary folder, or below ``--folder``.

    ./artdag bench pages [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

from playwright.async_api import Browser, async_playwright  # noqa: E402

from artdag_cli.client import Client  # noqa: E402
from artdag_cli.demo_media import make_cat, make_drums  # noqa: E402
from artdag_cli.system import system  # noqa: E402
from services.gateway.access import COOKIE  # noqa: E402
from tests.browser.launching import launched  # noqa: E402
from tests.browser.tour import PLACES, Place, Tour, fill, settled  # noqa: E402

WANTED_KB = 150.0
WANTED_MS = 1000.0
PARTS = ("Document", "Script", "Stylesheet", "Font")

LARGEST = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime))
    .observe({ type: "largest-contentful-paint", buffered: true });
})"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a page cost: kB and ms."""

    name: str
    page_kb: float
    content_kb: float
    requests: int
    shown_ms: float
    graph: bool


async def opened(browser: Browser, url: str, token: str, address: str) -> tuple[float, float, int, float]:
    """Open a page; return its kB, those of its content, how many requests, and ms until its largest part is shown."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, base_url=url)
    try:
        await context.add_cookies([{"name": COOKIE, "value": token, "url": url}])
        page = await context.new_page()
        kinds: dict[str, str] = {}
        bytes_of: dict[str, float] = {}
        session = await context.new_cdp_session(page)
        await session.send("Network.enable")
        session.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]}))
        session.on(
            "Network.loadingFinished",
            lambda event: bytes_of.update({event["requestId"]: event["encodedDataLength"]}),
        )
        await page.goto(address)
        await settled(page)
        shown = float(await page.evaluate(LARGEST))
        parts = sum(size for name, size in bytes_of.items() if kinds.get(name) in PARTS)
        return parts / 1000, (sum(bytes_of.values()) - parts) / 1000, len(bytes_of), shown
    finally:
        await context.close()


async def cost(browser: Browser, url: str, token: str, place: Place, tour: Tour, rounds: int) -> Cost:
    """Measure a page."""
    found = [await opened(browser, url, token, place.address.format(**tour)) for _ in range(rounds)]
    pages, contents, requests, shown = zip(*found, strict=True)
    middle = statistics.median
    return Cost(place.name, middle(pages), middle(contents), round(middle(requests)), middle(shown), place.graph)


async def measure(folder: Path, rounds: int) -> list[Cost]:
    """Measure all pages, on a system below a folder."""
    films = folder / "films"
    films.mkdir()
    make_cat(films / "cat.mp4")
    make_drums(films / "drums.wav")
    async with system(folder / "state", 0, logs_to_files=True) as it, async_playwright() as playwright:
        url = f"http://127.0.0.1:{it.port}"
        with Client(url, it.token) as client:
            tour = await asyncio.to_thread(fill, client, films, folder / "stores")
        browser = await launched(playwright)
        try:
            await opened(browser, url, it.token, "/")  # the browser's own first page costs more than any of ours
            shown = [place for place in PLACES if place.status == 200 and place.signed_in]
            return [await cost(browser, url, it.token, place, tour, rounds) for place in shown]
        finally:
            await browser.close()


def judged(costs: list[Cost]) -> dict[str, Any]:
    """Return the worst ratios to the limits."""
    plain = [each for each in costs if not each.graph]
    first = next(each for each in costs if each.name == "home")
    return {
        "first_page_of_limit": first.page_kb / WANTED_KB,
        "largest_page_of_limit": max(each.page_kb for each in plain) / WANTED_KB,
        "first_shown_of_limit": first.shown_ms / WANTED_MS,
        "slowest_shown_of_limit": max(each.shown_ms for each in costs) / WANTED_MS,
    }


def show(costs: list[Cost]) -> None:
    """Print a table, and the ratios."""
    print(f"{'':18}{'page':>10}{'content':>12}{'requests':>10}{'shown':>10}")
    for each in costs:
        sizes = f"{each.page_kb:7.1f} kB{each.content_kb:9.1f} kB"
        print(f"{each.name:18}{sizes}{each.requests:10}{each.shown_ms:7.0f} ms{'  (graph)' if each.graph else ''}")
    found = judged(costs)
    print(f"first page: {found['first_page_of_limit']:.2f} of {WANTED_KB:.0f} kB; wanted: at most 1")
    print(f"largest page without a graph: {found['largest_page_of_limit']:.2f} of it")
    print(f"first page shown: {found['first_shown_of_limit']:.2f} of {WANTED_MS:.0f} ms; wanted: at most 1")
    print(f"slowest page shown: {found['slowest_shown_of_limit']:.2f} of it")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="put the system's temporary folder below this one")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="artdag-bench-", dir=given.folder) as folder:
        os.environ["ARTDAG_STORAGE_DIRS"] = str(Path(folder) / "stores")
        costs = asyncio.run(measure(Path(folder), given.rounds))
    if given.json:
        print(json.dumps({"rounds": given.rounds, "pages": [asdict(each) for each in costs], **judged(costs)}))
    else:
        show(costs)


if __name__ == "__main__":
    main()
