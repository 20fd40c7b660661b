"""``artdag demo``: a video cut to music, from nothing, twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from artdag_cli.client import Client
from artdag_cli.live import RunView
from artdag_cli.messages import console
from artdag_cli.options import DEFAULT_PORT, Json, State, free_or_any, state_folder
from artdag_cli.system import ROOT, running, system
from artdag_common.cid import cid_of_file, parse_cid
from artdag_common.errors import ArtdagError

RECIPES = ROOT / "examples" / "recipes"
TOLERANCE_SECONDS = 0.05


class DemoFailedError(ArtdagError):
    """The demo did not end as it has to."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One run of the demo, checked."""

    recipe: str
    run_id: str
    page: str
    output_cid: str
    file: str
    duration_seconds: float
    seconds: float
    steps_run: int
    steps_cached: int
    provenance_cid: str


@dataclass(frozen=True, slots=True)
class Render:
    """What to render: a recipe, its inputs by name, and how long the result has to be, in seconds."""

    recipe: str
    inputs: dict[str, str]
    duration_seconds: float


def demo(
    state: State = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            help=f"Port, where no system runs yet; 0: any free one.  [default: {DEFAULT_PORT}, if it is free]",
            show_default=False,
            min=0,
            max=65535,
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Start the system, make a video and a drum track, cut the one to the other, twice.

    Uses the system that runs on the state folder, or runs one for as long as the demo takes.
    """
    folder = state_folder(state)
    stays = bool(running(folder))
    with _running_system(folder, free_or_any(DEFAULT_PORT) if port is None else port, quiet=json_output) as client:
        summary = run_demo(client, folder / "demo", quiet=json_output)
    if json_output:
        print(json.dumps(summary, indent=2))
        return
    _print(summary)
    if not stays:
        print(serving(state, int(client.url.rpartition(":")[2])))


def serving(state: Path | None, port: int) -> str:
    """Return the sentence that says how to see the pages of a demo whose system is gone."""
    command = ["./artdag", "up"]
    if state:
        command += ["--state", str(state)]
    if port != DEFAULT_PORT:
        command += ["--port", str(port)]
    return f"the system is stopped; `{shlex.join(command)}` serves these pages"


@contextmanager
def _running_system(state: Path, port: int, quiet: bool) -> Iterator[Client]:
    """Give a client of the system on ``state``; one is started, in a thread of its own, where none runs."""
    if running(state):
        with Client.of_state(state) as client:
            yield client
        return
    began = time.monotonic()
    ready = threading.Event()
    stops: list[Callable[[], object]] = []
    failure: list[BaseException] = []

    async def run() -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        stops.append(lambda: loop.call_soon_threadsafe(stopping.set))
        async with system(state, port, logs_to_files=True, stopping=stopping):
            ready.set()
            await stopping.wait()

    def live() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=live, name="system")
    thread.start()
    try:
        with console.status("starting NATS, Postgres, Redis and the five services"):
            ready.wait()
        if failure:
            raise failure[0]
        if not quiet:
            console.print(f"the system is up after {time.monotonic() - began:.1f} s", highlight=False)
        with Client.of_state(state) as client:
            yield client
    finally:
        for stop in stops:
            with contextlib.suppress(RuntimeError):  # it ended by itself
                stop()
        thread.join()


def run_demo(client: Client, folder: Path, quiet: bool) -> dict[str, Any]:
    """Make the media, render both recipes twice, check everything.

    Raises:
        DemoFailedError: a run failed, or a result is not what it has to be.
    """
    from artdag_cli.demo_media import make_cat, make_drums  # PyAV and Pillow take a third of every command's start
    from artdag_common.media.probe import probe

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    cat, drums = folder / "cat.mp4", folder / "drums.wav"
    with console.status("making a cat and a drum track"):
        if not cat.exists():
            make_cat(cat)
        if not drums.exists():
            make_drums(drums)
    video, audio = client.upload(cat, "cat"), client.upload(drums, "drums")
    renders = [
        Render("beat-sync", {"video": video, "audio": audio}, probe(drums).duration),
        Render("dog", {"input_image": video}, probe(cat).duration),
    ]
    recipes = {r.recipe: client.upload_recipe(RECIPES / f"{r.recipe}.yaml") for r in renders}
    rounds = []
    for turn in ("first", "second"):
        done = [_render(client, r, recipes[r.recipe], folder, f"{r.recipe}, {turn} time", quiet) for r in renders]
        rounds.append(done)
    first, second = (sum(r.seconds for r in done) for done in rounds)
    not_cached = [r.recipe for r in rounds[1] if r.steps_run]
    if not_cached:
        raise DemoFailedError(f"computed again the second time: {', '.join(not_cached)}")
    return {
        "inputs": {"cat": video, "drums": audio},
        "first": [asdict(r) for r in rounds[0]],
        "second": [asdict(r) for r in rounds[1]],
        "times_faster": round(first / second, 1),
        "success": True,
    }


def _render(client: Client, render: Render, recipe_id: str, folder: Path, title: str, quiet: bool) -> Rendered:
    began = time.monotonic()
    body = {"inputs": render.inputs, "output_name": f"demo-{render.recipe}"}
    run_id = client.call("POST", f"/recipes/{recipe_id}/run", json=body)["run_id"]
    with RunView(title, console, quiet) as view:
        view.follow(client.events(run_id))
    seconds = time.monotonic() - began
    outcome = view.outcome
    if outcome.get("event") != "RunCompleted":
        raise DemoFailedError(f"{render.recipe} did not complete: {outcome.get('reason', outcome)}")
    file = folder / f"{render.recipe}.mp4"
    client.download(outcome["output_cid"], file)
    duration = check_result(file, outcome["output_cid"], render.duration_seconds)
    return Rendered(
        render.recipe,
        run_id,
        f"{client.url}/runs/{run_id}",
        outcome["output_cid"],
        str(file),
        duration,
        round(seconds, 3),
        int(outcome.get("computed", 0)),
        int(outcome.get("cached", 0)),
        outcome["provenance_cid"],
    )


def check_result(file: Path, cid: str, duration_seconds: float) -> float:
    """Return the duration of a rendered video that is what it has to be.

    Raises:
        DemoFailedError: other bytes than the CID names, not H.264 in yuv420p, or not as long as it has to be.
    """
    from artdag_common.media.probe import probe

    if cid_of_file(file) != parse_cid(cid):
        raise DemoFailedError(f"the bytes of {file} do not hash to {cid}")
    facts = probe(file)
    if (facts.video_codec, facts.pix_fmt) != ("h264", "yuv420p"):
        raise DemoFailedError(f"{file} is {facts.video_codec}/{facts.pix_fmt}, not h264/yuv420p")
    if abs(facts.duration - duration_seconds) > TOLERANCE_SECONDS:
        raise DemoFailedError(f"{file} lasts {facts.duration:.3f} s instead of {duration_seconds:.3f} s")
    return round(facts.duration, 3)


def _print(summary: dict[str, Any]) -> None:
    screen = Console()
    for first, second in zip(summary["first"], summary["second"], strict=True):
        table = Table(title=first["recipe"], show_header=False, title_justify="left", title_style="bold")
        table.add_column()
        table.add_column(overflow="fold")
        table.add_row("output CID", first["output_cid"])
        table.add_row("file", first["file"])
        table.add_row("duration", f"{first['duration_seconds']:.2f} s")
        table.add_row("first time", f"{first['seconds']:.2f} s, {_counts(first)}")
        table.add_row("second time", f"{second['seconds']:.2f} s, {_counts(second)}")
        table.add_row("provenance CID", first["provenance_cid"])
        table.add_row("run's page", first["page"])
        screen.print(table)
    if any(first["steps_run"] for first in summary["first"]):
        screen.print(f"the second time was [bold]{summary['times_faster']}×[/bold] faster")
    else:
        screen.print("all of it had been rendered before: both times every step was cached")


def _counts(rendered: dict[str, Any]) -> str:
    return f"{rendered['steps_run']} steps run, {rendered['steps_cached']} cached"
