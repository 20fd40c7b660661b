"""What the process of a step takes of memory: real steps, those that need most, run as the executor runs them."""

from __future__ import annotations

import json
import multiprocessing
from fractions import Fraction
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from artdag_common.media.pictures import planes
from artdag_common.media.resize import blank
from artdag_common.steps.registry import find_step_type
from services.executor.pool import PRELOADED
from services.executor.worker import Finished, Progress, WorkOrder, work

LIMIT_BYTES = 220_000_000
"""At any length of 720p."""
SIZE = (1280, 720)
FRAMES = 36  # the encoder has all the pictures that it ever holds after some twenty


def status(field: str) -> str:
    """Return what the system says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(field))


def work_and_tell(order: WorkOrder, pipe: Connection, said: Connection, told: Connection) -> None:
    """Do what a worker does, then tell its highest resident memory, and whether it may have pages of 2 MB."""
    work(order, pipe, said)
    told.send((int(status("VmHWM:")) * 1024, status("THP_enabled:")))


def worked(order: WorkOrder) -> tuple[int, str]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    ears, mouth = context.Pipe(duplex=False)
    hears, tells = context.Pipe(duplex=False)
    process = context.Process(target=work_and_tell, args=(order, sender, mouth, tells), daemon=True)
    process.start()
    for each in (sender, mouth, tells):
        each.close()
    while isinstance(came := receiver.recv(), Progress):
        pass
    assert isinstance(came, Finished), came
    peak, large_pages = hears.recv()
    process.join()
    for each in (receiver, ears, hears):
        each.close()
    return peak, large_pages


def chained(*effects: str) -> dict[str, Any]:
    kind = find_step_type("EFFECT")
    configs = [json.loads(kind.canonical_config({"effect": each})) for each in effects]
    links = [
        {"type": "EFFECT", "config": config, "implementation": kind.implementation(json.dumps(config))}
        for config in configs
    ]
    return {"links": links}


@pytest.fixture(scope="module", autouse=True)
def _preloaded() -> None:
    """Workers are forked by a server that has loaded what the executor's has, whatever tests before have forked."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moving noise, of which a decoder holds as many pictures as x264 by itself makes it hold."""
    path = tmp_path_factory.mktemp("media") / "film.mp4"
    noise = np.random.default_rng(1).integers(16, 235, (SIZE[1], 2 * SIZE[0]), np.uint8)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "qp": "30", "x264-params": "ref=3:b-adapt=0:bframes=3:b-pyramid=normal"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(FRAMES):
            frame = blank(SIZE, (16, 128, 128))
            planes(frame)[0][:] = noise[:, 8 * number : 8 * number + SIZE[0]]
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "config", "inputs"),
    [
        ("SEGMENT", {}, 1),
        ("LAYER", {"inputs": [{"scale": 0.9}, *[{"opacity": 0.5, "scale": s} for s in (0.5, 0.7, 1.2)]]}, 4),
        ("EFFECT", {"effect": "echo", "params": {"delay": 16, "zoom": 1.06}}, 1),
        ("EFFECT", {"effect": "dog"}, 1),
        ("EFFECT", {"effect": "kaleidoscope", "params": {"spin": 0.5}}, 1),
        ("CHAIN", chained("invert", "mirror", "posterize", "rgb_shift", "vignette", "pixelate"), 1),
    ],
    ids=["SEGMENT", "three layers", "echo", "dog", "kaleidoscope", "six effects"],
)
def test_a_step_of_720p_stays_below_the_limit(
    tmp_path: Path, film: Path, name: str, config: dict[str, Any], inputs: int
) -> None:
    kind = find_step_type(name)
    order = WorkOrder(name, kind.canonical_config(config), (str(film),) * inputs, str(tmp_path), seed=1, deliver=True)
    peak, large_pages = worked(order)
    assert 50_000_000 < peak < LIMIT_BYTES
    assert large_pages == "0"
    assert [each.name for each in tmp_path.iterdir()] == ["output.mp4"]
