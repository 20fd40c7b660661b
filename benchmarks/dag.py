"""A plan as a graph in Chromium without a GPU, used by mouse and keyboard while it changes.

The plan is that of a run of 1,000 no-op steps in 20 layers of 50, each step reading the whole layer before: 47,600
lines, the worst that a plan of this size can be. *fed*: the page is given 50 events a second, made like those of the
server, and is used meanwhile. *live*: the run is let go, and the page hears what the system really says, which is over
within seconds. *open*: plans of 1,000 and of 10,000 steps are opened, from the navigation to the picture with its
lines (of more than 12,000 that are in sight, so many). Beside them stands a plan of two steps to which nothing happens,
used in the same way: what this machine's browser takes for any page.

Of each interaction the time to the next paint is taken as the browser's Event Timing has it (in steps of 8 ms, and only
from 16 ms on). Frames are counted while the graph is pulled and zoomed, from one picture to the next.

Needs Chromium (`apt install chromium`). Runs a system of its own, in a new temporary folder, or below ``--folder``.

    ./artdag bench dag [--seconds 20] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

from playwright.async_api import Browser, Page, async_playwright  # noqa: E402
from sharing import Person  # noqa: E402

from artdag_cli.system import system  # noqa: E402
from services.gateway.access import COOKIE  # noqa: E402
from tests.browser.launching import launched  # noqa: E402

LAYERS, WIDTH = 20, 50
STEPS = LAYERS * WIDTH
CHAINS, LENGTH = 100, 100
"""Of the plan of 10,000 steps, which each read two."""

EVENTS_PER_SECOND = 50
WANTED_MS = 100.0
WANTED_OPEN_S = 5.0
PULLED = 60
"""Movements of the mouse while the graph is pulled."""

FEED = """(perSecond) => {
  const Real = window.EventSource;
  window.fed = 0;
  window.EventSource = class extends EventTarget {
    constructor(address) {
      super();
      this.readyState = 1;
      const at = Number(new URL(address, location.href).searchParams.get("last_event_id"));
      setTimeout(() => this.dispatchEvent(new Event("open")));
      this.begin(at, address.split("/")[2]);
    }
    async begin(position, run) {
      const graph = await (await fetch(`/run/${run}/graph`)).json();
      const steps = graph.keys.map((key, step) => ({ key, step, node: graph.names[step] })).filter(({ step }) => step);
      const said = steps.flatMap(({ key, step, node }) => [
        ["RunStepsScheduled", `run-${run}`, { steps: [{ step, node, cache_id: key, after: 0 }] }],
        ["StepStarted", `step-${key}`, { attempt: 1, executor: "bench", step_type: "NOOP", label: node }],
        ["StepCompleted", `step-${key}`, { attempt: 1, output_cid: "", size_bytes: 0, media_type: "", duration_ms: 1 }],
        ["RunStepsSatisfied", `run-${run}`, { steps: [{ step, node, output_cid: "" }] }],
      ]);
      const began = performance.now();
      this.timer = setInterval(() => {
        const due = Math.floor(((performance.now() - began) / 1000) * perSecond);
        for (; window.fed < due && window.fed < said.length; window.fed++) {
          const [type, subject, data] = said[window.fed];
          const body = { position: ++position, subject, time: new Date().toISOString(), data };
          this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(body) }));
        }
      }, 1000 / perSecond);
    }
    close() {
      clearInterval(this.timer);
    }
  };
  window.EventSource.CLOSED = Real.CLOSED;
}"""

WATCH = """() => {
  window.interactions = new Map();
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) {
      if (!each.interactionId) continue;
      const known = window.interactions.get(each.interactionId);
      const now = { name: each.name, ms: each.duration };
      if (!known || known.ms < now.ms) window.interactions.set(each.interactionId, now);
    }
  }).observe({ type: "event", durationThreshold: 16 });
  window.frames = [];
  window.counting = false;
  let before = 0;
  function frame(now) {
    if (window.counting && before) window.frames.push(now - before);
    before = window.counting ? now : 0;
    requestAnimationFrame(frame);
  }
  requestAnimationFrame(frame);
}"""

DRAWN = """() => new Promise((done) => {
  let last = "", since = 0;
  function look(now) {
    const canvas = document.querySelector("canvas");
    const waiting = document.querySelector("[data-waiting]");
    if (canvas && waiting?.hidden) {
      const { data } = canvas.getContext("2d").getImageData(0, Math.floor(canvas.height / 2), canvas.width, 1);
      const line = data.join();
      if (line !== last) since = now;
      last = line;
      if (now - since > 400) return done(since);  // nothing was drawn since then
    }
    requestAnimationFrame(look);
  }
  requestAnimationFrame(look);
})"""


def layered(salt: str, layers: int = LAYERS, width: int = WIDTH) -> dict[str, Any]:
    """Return the recipe of 1,000 steps, or of fewer."""
    nodes, before = [_source()], ["source"]
    for layer in range(layers):
        here = [f"s{layer}_{place}" for place in range(width)]
        nodes += [{"id": n, "type": "NOOP", "config": {"salt": f"{salt}{n}"}, "inputs": before} for n in here]
        before = here
    return {"name": f"bench-{salt}", "version": "1", "dag": {"nodes": nodes, "output": before[-1]}}


def chained(salt: str) -> dict[str, Any]:
    """Return a recipe of 10,000 steps: chains, each step of which reads the one before and one of the chain beside."""
    nodes = [_source()]
    for place in range(CHAINS):
        nodes.append({"id": f"c{place}_0", "type": "NOOP", "config": {"salt": f"{salt}{place}"}, "inputs": ["source"]})
    for layer in range(1, LENGTH):
        for place in range(CHAINS):
            read = [f"c{place}_{layer - 1}", f"c{(place + 1) % CHAINS}_{layer - 1}"]
            nodes.append({"id": f"c{place}_{layer}", "type": "NOOP", "inputs": read})
    return {"name": f"bench-{salt}", "version": "1", "dag": {"nodes": nodes, "output": f"c0_{LENGTH - 1}"}}


def _source() -> dict[str, Any]:
    return {"id": "source", "type": "SOURCE", "config": {"input": True, "name": "source"}}


async def opened(browser: Browser, url: str, token: str, run_id: str, *, feed: int = 0) -> tuple[Page, float]:
    """Open a plan; return the page, and seconds until it is drawn. ``feed``: events a second that it is given."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, base_url=url)
    await context.add_cookies([{"name": COOKIE, "value": token, "url": url}])
    page = await context.new_page()
    if feed:
        await page.add_init_script(f"({FEED})({feed})")
    await page.goto(f"/run/{run_id}/plan")
    seconds = await page.evaluate(DRAWN) / 1000
    await page.evaluate(WATCH)
    return page, seconds


async def used(page: Page, seconds: float) -> None:
    """Use a graph for some seconds, as people do."""
    canvas, find = page.locator("canvas"), page.locator("[data-find]")
    box = await canvas.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    until, turn = asyncio.get_running_loop().time() + seconds, 0
    while asyncio.get_running_loop().time() < until:
        turn += 1
        await canvas.focus()
        for key in ("0", "ArrowRight", "ArrowDown", "ArrowRight", "+", "-", "Enter", "Escape"):
            await page.keyboard.press(key)
        await page.mouse.click(x + turn % 7 * 13, y + turn % 5 * 13)
        await page.keyboard.press("0")
        await page.evaluate("window.counting = true")
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(x + 300, y + 120, steps=PULLED)
        await page.mouse.up()
        for _ in range(PULLED // 4):
            await page.mouse.wheel(0, -60 if turn % 2 else 60)
        await page.evaluate("window.counting = false")
        await find.click()
        await find.press_sequentially(f"s{turn % LAYERS}_")
        await find.fill("")
        for _ in range(2):
            await page.get_by_role("button", name="Group alike").click()


async def felt(page: Page) -> dict[str, Any]:
    """Return what the browser noted of the interactions."""
    found = await page.evaluate("[...window.interactions.values()]")
    frames = sorted(await page.evaluate("window.frames"))
    times = sorted(each["ms"] for each in found)
    worst = max(found, key=lambda each: float(each["ms"])) if found else {"name": "none", "ms": 0.0}
    return {
        "slow_interactions": len(times),
        "next_paint_ms": times[int(len(times) * 0.98)] if times else 16.0,
        "slowest_ms": worst["ms"],
        "slowest": worst["name"],
        "frames_per_s": 1000 * len(frames) / sum(frames) if frames else 0.0,
        "slowest_frame_ms": frames[-1] if frames else 0.0,
    }


async def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Measure, on a system below a folder."""
    found: dict[str, Any] = {}
    async with system(folder / "state", 0, logs_to_files=True) as it, async_playwright() as playwright:
        url = f"http://127.0.0.1:{it.port}"
        browser = await launched(playwright)
        file = folder / "source.bin"
        file.write_bytes(b"nothing to see")
        person = await asyncio.to_thread(Person, url, it.token, file)
        small = await asyncio.to_thread(person.planned, layered(uuid.uuid4().hex[:8], 2, 1))
        page, _ = await opened(browser, url, it.token, small)
        await used(page, min(seconds, 8.0))
        found["small"] = await felt(page)
        await page.context.close()

        run_id = await asyncio.to_thread(person.planned, layered(uuid.uuid4().hex[:8]))
        page, found["open_1000_s"] = await opened(browser, url, it.token, run_id, feed=EVENTS_PER_SECOND)
        fed, began = await page.evaluate("window.fed"), time.perf_counter()
        await used(page, seconds)
        rate = (await page.evaluate("window.fed") - fed) / (time.perf_counter() - began)
        found["fed"] = {"events_per_s": rate, **await felt(page)}
        await page.context.close()

        page, _ = await opened(browser, url, it.token, run_id)
        await asyncio.to_thread(person.release, run_id)
        await used(page, min(seconds, 8.0))
        await page.locator("[data-key] [data-state=completed]").filter(has_text=f"{STEPS} ").wait_for()
        found["live"] = await felt(page)
        await page.context.close()

        large = await asyncio.to_thread(person.planned, chained(uuid.uuid4().hex[:8]))
        page, found["open_10000_s"] = await opened(browser, url, it.token, large)
        await used(page, 6.0)
        found["large"] = await felt(page)
        person.client.close()
        await browser.close()
    return found


def show(found: dict[str, Any]) -> None:
    """Print what was found."""
    names = {
        "small": "2 steps, still",
        "fed": f"{STEPS:,} steps, fed",
        "live": f"{STEPS:,} steps, live",
        "large": f"{CHAINS * LENGTH:,} steps",
    }
    print(f"{'':20}{'next paint (98 %)':>18}{'slowest':>10}{'':14}{'frames/s':>10}{'slowest frame':>15}")
    for key, name in names.items():
        it = found[key]
        paint = f"{it['next_paint_ms']:15.0f} ms{it['slowest_ms']:7.0f} ms  {it['slowest']:12}"
        print(f"{name:20}{paint}{it['frames_per_s']:10.0f}{it['slowest_frame_ms']:12.0f} ms")
    print(f"fed: {found['fed']['events_per_s']:.0f} events/s; wanted: {EVENTS_PER_SECOND}")
    print(f"next paint, fed: {found['fed']['next_paint_ms'] / WANTED_MS:.2f} of {WANTED_MS:.0f} ms; wanted: at most 1")
    print(
        f"open: {found['open_1000_s']:.2f} s for {STEPS:,} steps, {found['open_10000_s']:.2f} s for {CHAINS * LENGTH:,}"
    )
    print(f"open, 10,000: {found['open_10000_s'] / WANTED_OPEN_S:.2f} of {WANTED_OPEN_S:.0f} s; wanted: at most 1")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the fed graph is used")
    parser.add_argument("--folder", type=Path, help="put the system's temporary folder below this one")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="artdag-bench-", dir=given.folder) as folder:
        found = asyncio.run(measure(Path(folder), given.seconds))
    if given.json:
        print(json.dumps(found))
    else:
        show(found)
    too_slow = found["fed"]["next_paint_ms"] > WANTED_MS or found["open_10000_s"] > WANTED_OPEN_S
    raise SystemExit(1 if too_slow else 0)


if __name__ == "__main__":
    main()
