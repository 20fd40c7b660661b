"""Every page of the site, and a system filled so that each has something to show.

The accessibility of the pages, their budgets (``benchmarks/pages.py``) and their pictures
(``docs/build_screenshots.py``) go by this one list.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from playwright.async_api import Page

from artdag_cli.client import Client
from artdag_cli.system import ROOT

RECIPES = ROOT / "examples" / "recipes"
EXAMPLES = ("identity", "contact", "effects", "dog", "bound", "logo", "beat-cut", "beat-sync")

TOO_LATE = """\
name: trailer
description: "The last seconds of a film, which has to be long enough"
inputs:
  video: {type: video, description: "The footage"}
steps:
  - {id: ending, type: SEGMENT, inputs: [video], config: {offset: 3600}}
output: ending
"""

Tour = Mapping[str, str]
"""What stands in braces in the addresses of :data:`PLACES`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A page.

    Attributes:
        name: of its picture.
        address: in braces what a :data:`Tour` has.
        status: that it is answered with.
        signed_in: whether its reader is.
        graph: whether it draws a DAG, or is the editor: larger than others.
    """

    name: str
    address: str
    status: int = 200
    signed_in: bool = True
    graph: bool = False


PLACES = (
    Place("home", "/"),
    Place("runs", "/runs"),
    Place("runs-failed", "/runs?status=failed"),
    Place("run", "/run/{run}"),
    Place("run-plan", "/run/{run}/plan", graph=True),
    Place("run-plan-table", "/run/{run}/plan?view=table"),
    Place("run-analysis", "/run/{run}/analysis"),
    Place("run-artifacts", "/run/{run}/artifacts"),
    Place("run-provenance", "/run/{run}/provenance"),
    Place("run-events", "/run/{run}/events"),
    Place("run-step", "/run/{run}/steps/{step}"),
    Place("run-failed", "/run/{failed}"),
    Place("run-planned", "/run/{planned}"),
    Place("compare", "/runs/compare?a={run}&b={other}"),
    Place("compare-choose", "/runs/compare"),
    Place("recipes", "/recipes"),
    Place("recipe", "/recipe/{recipe}"),
    Place("recipe-again", "/recipe/{recipe}?from={run}"),
    Place("recipe-dag", "/recipe/{recipe}/dag", graph=True),
    Place("recipe-node", "/recipe/{recipe}/steps/1"),
    Place("recipe-new", "/recipes/new", graph=True),
    Place("recipe-edit", "/recipe/{recipe}/edit", graph=True),
    Place("effects", "/effects"),
    Place("effect", "/effects/duotone"),
    Place("media", "/media"),
    Place("item-video", "/cache/{video}"),
    Place("item-audio", "/cache/{audio}"),
    Place("item-image", "/cache/{image}"),
    Place("item-data", "/cache/{data}"),
    Place("storage", "/storage"),
    Place("storage-place", "/storage/{storage}"),
    Place("storage-edit", "/storage/{storage}/edit"),
    Place("garbage", "/cache/gc"),
    *(Place(f"storage-{kind}", f"/storage/type/{kind}") for kind in ("local", "s3", "ipfs", "pinning")),
    Place("ops", "/ops"),
    Place("auth", "/auth"),
    Place("auth-revoke", "/auth/revoke"),
    Place("device", "/auth/device"),
    Place("download", "/download/client"),
    Place("nothing-here", "/nothing/here", status=404),
    Place("stranger-home", "/", signed_in=False),
    Place("stranger-auth", "/auth", signed_in=False),
    Place("stranger-storage", "/storage", status=401, signed_in=False),
    Place("stranger-ops", "/ops", status=401, signed_in=False),
)


def fill(client: Client, films: Path, store: Path) -> Tour:
    """Bring media and recipes, run some of them, and return what the addresses of the pages need.

    Args:
        films: folder with ``cat.mp4`` and ``drums.wav``.
        store: folder that is to get copies, of those in which people may have storage.
    """
    store.mkdir(parents=True, exist_ok=True)
    local = {"type": "local", "name": "backup disk", "settings": {"path": str(store)}}
    storage = client.call("POST", "/storage/add", json=local)["storage_id"]
    video, audio = client.upload(films / "cat.mp4", "cat"), client.upload(films / "drums.wav", "drums")
    image = _upload(client, "evening.png", "image/png", evening())
    data = _upload(client, "shots.json", "application/json", json.dumps({"shots": [0.5, 2.0, 3.5]}).encode())
    for cid, said in ((video, ("A cat runs and jumps", "animal")), (image, ("An evening above the hills", "still"))):
        client.call("PATCH", f"/cache/{cid}/meta", json={"description": said[0], "tags": [said[1], "demo"]})
    recipes = {name: client.upload_recipe(RECIPES / f"{name}.yaml") for name in EXAMPLES}
    late = _recipe(client, TOO_LATE)
    effect = _run(client, recipes["effects"], {"video": video}, "neon-cat")
    failed = _run(client, late, {"video": video}, "trailer", end="RunFailed")
    run = _run(client, recipes["beat-sync"], {"video": video, "audio": audio}, "dancing-cat")
    neon = client.run(effect)["output_cid"]
    changed = client.call(
        "POST", f"/runs/{run}/rerun", json={"inputs": {"video": neon}, "output_name": "dancing-neon-cat"}
    )
    _ended(client, changed["run_id"], "RunCompleted")
    body = {"recipe": recipes["logo"], "inputs": {"video": video, "logo": image, "audio": audio}}
    planned = str(client.call("POST", "/api/plan", json=body)["run_id"])
    for event in client.events(planned):
        if event.type == "RunPlanned":
            break
    steps = client.call("GET", f"/api/run/{run}/plan")["steps"]
    step = next(each["index"] for each in steps if each["type"] == "BEAT_SYNC")
    return {
        "video": video,
        "audio": audio,
        "image": image,
        "data": data,
        "recipe": recipes["beat-sync"],
        "run": run,
        "other": changed["run_id"],
        "failed": failed,
        "planned": planned,
        "step": str(step),
        "storage": str(storage),
    }


def _upload(client: Client, name: str, kind: str, content: bytes) -> str:
    stem = name.partition(".")[0]
    files = {"file": (name, io.BytesIO(content), kind)}
    return str(client.call("POST", "/cache/upload", data={"name": stem}, files=files)["cid"])


def _recipe(client: Client, text: str) -> str:
    headers = {"Content-Type": "application/yaml"}
    return str(client.call("POST", "/recipes/upload", content=text.encode(), headers=headers)["recipe_id"])


def _run(client: Client, recipe: str, inputs: dict[str, Any], name: str, end: str = "RunCompleted") -> str:
    """Run a recipe, see that it ends as it has to, and return the run's id."""
    run_id = str(client.call("POST", f"/recipes/{recipe}/run", json={"inputs": inputs, "output_name": name})["run_id"])
    _ended(client, run_id, end)
    return run_id


def _ended(client: Client, run_id: str, end: str) -> None:
    last = [event.type for event in client.events(run_id)][-1]
    assert last == end, f"run {run_id} ended with {last}"


def evening() -> bytes:
    """Return a picture as PNG: hills in front of an evening sky."""
    picture = Image.new("RGB", (960, 540))
    pen = ImageDraw.Draw(picture)
    for y in range(540):
        share = y / 539
        pen.line([0, y, 960, y], fill=(round(40 + 215 * share), round(30 + 130 * share), round(92 + 28 * share)))
    pen.ellipse([620, 210, 760, 350], fill=(255, 226, 150))
    for height, colour in ((330, (122, 62, 110)), (400, (84, 42, 96)), (460, (44, 24, 66))):
        bumps = [(x, height - 46 * abs(((x + height) % 320) / 160 - 1)) for x in range(0, 961, 8)]
        pen.polygon([(0, 540), *bumps, (960, 540)], fill=colour)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


async def settled(page: Page) -> None:
    """Wait until a page shows what it is to: its scripts have begun, graphs are drawn, pictures in view are there."""
    await page.wait_for_function(
        """() => {
          const waits = document.querySelector("[data-waiting]:not([hidden]), [aria-busy=true], .htmx-request");
          const pictures = [...document.images].filter((each) => each.loading !== "lazy");
          return !waits && window.htmx && pictures.every((each) => each.complete) && document.fonts.status === "loaded";
        }"""
    )
