"""Rendering beside the ffmpeg command line: the same codec settings, the same files, one round after the other.

Two films of 720p at 30 frames a second, with tones and noise in stereo: *chart* (``testsrc2``: flat colours, easy for
an encoder) and *noisy* (a fractal under noise, as hard as footage from a camera). Each way runs in a process of its
own, ours forked from a warm server, as the executor does. A round runs every way once, the peer among them; a ratio is
taken inside a round, and the median over the rounds is printed, above 1 where ours is faster. Ratios of CPU seconds
stand beside: they hold on a busy machine, where those of the clock do not. So does what others took of the machine
meanwhile.

- *plain*: a film encoded again (SEGMENT of the whole). *resize*, *transform*: against ``scale`` and ``eq``.
- *effect*: ``invert`` on every frame as RGB, against our *plain* plus the time inside that function, and against
  ffmpeg's ``negate`` on RGB, by its quick conversion, and by one that is the same everywhere, as ours is.
- *fused*: three effects in one pass (CHAIN) against three step files, each once as the last one of a recipe
  (*delivered*) and once followed by others (*handed on*); PSNR against the source, which the three together give back;
  beside them three steps with files as for people in between, which is what a chain without files that lose nothing
  would cost.
- *divided*: a film of 100 s in parts of ten, one after the other, and joined, against the same in one go: what dividing
  costs where nobody helps; and that film encoded again, against ffmpeg: what it costs to begin a new encoder every ten
  seconds.
- *lossless*: ms a frame and MB of a file that loses nothing, written and read.
- *memory*: the highest resident memory of the step's process, for every kind of step on pictures, every effect, and
  chains of effects; of those that need most at two lengths; beside them the limit.
- *moviepy*: plain and inverted.

    ./artdag bench media [--rounds 5] [--ffmpeg PATH] [--moviepy FOLDER] [--only plain effect] [--json]

The peers are optional to the product, so they have to be there: Debian's ``ffmpeg`` package, and for MoviePy a folder
filled by ``pip install --target FOLDER moviepy`` (left out without it).
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

RATE, SECONDS, TIMES = 30, 10, 10
FRAMES = RATE * SECONDS
SIZE = "1280x720"
FILMS = {
    "chart": f"testsrc2=s={SIZE}:r={RATE}",
    "noisy": f"mandelbrot=s={SIZE}:r={RATE}:maxiter=400:end_scale=0.02:end_pts=300,noise=alls=4:allf=t",
}
SOUNDS = (
    "0.2*sin(1382*t)*exp(-4*mod(t\\,0.5))+0.1*sin(2765*t)+0.02*(random(0)-0.5)",
    "0.2*sin(2073*t)*exp(-4*mod(t\\,0.5))+0.1*sin(3483*t)+0.02*(random(1)-0.5)",
)
"""Left and right. Not one sine in one channel: for that FFmpeg 8's AAC encoder takes twice as long as FFmpeg 5's, and
for sound of this kind as long."""
TONE = f"aevalsrc={'|'.join(SOUNDS)}:s=48000"
VIDEO = {"c:v": "libx264", "preset": "veryfast", "crf": "20", "profile:v": "high"}
VIDEO |= {"x264-params": "mbtree=0", "g": "60", "pix_fmt": "yuv420p"}
SOUND = {"c:a": "aac", "b:a": "160k", "movflags": "+faststart"}
COPIED = {"c:a": "copy"}
EXACT = "scale=flags=bicubic+accurate_rnd+bitexact"
NEGATED = f"{EXACT},format=rgb24,negate,{EXACT}+full_chroma_inp"
"""To RGB and back in the same way on every processor, as ours."""
QUIET = 0.1  # of the machine
PRELOADED = ["av", "numpy", "artdag_common.steps.registry", "artdag_common.media.check"]
PARTS = ("plain", "resize", "transform", "effect", "fused", "divided", "lossless", "memory", "moviepy")
MOVIEPY = """
import sys
from moviepy import VideoFileClip
clip = VideoFileClip(sys.argv[1])
if sys.argv[3] == "invert":
    clip = clip.image_transform(lambda frame: 255 - frame)
clip.write_videofile(sys.argv[2], codec="libx264", audio_codec="aac", audio_bitrate="160k", preset="veryfast",
                     ffmpeg_params=sys.argv[4:], logger=None)
"""

MEMORY_MB = 220
"""What the process of a step may take at most, at any length of 720p."""

Config = dict[str, Any]
RESIZE: Config = {"width": 960, "height": 540}
TRANSFORM: Config = {"effects": {"brightness": 0.1, "contrast": 1.1, "saturation": 1.2}}
INVERT: Config = {"effect": "invert"}
ADJUSTED: Config = {"effects": {**TRANSFORM["effects"], "gamma": 1.3, "hue": 30, "blur": 5, "sharpen": 1}}
BACK: list[Config] = [INVERT, INVERT, {"effect": "invert", "params": {"intensity": 0.0}}]
"""Three effects that together give the source back."""
MOST: dict[str, Config] = {"echo": {"delay": 16}}
"""Parameters that take more memory than those of an effect's example."""
LIGHT = ("invert", "mirror", "posterize", "rgb_shift", "vignette", "pixelate")
HEAVY = ("dog", "echo", "kaleidoscope", "wave", "halftone", "crt")
LONG = ("plain", "SEQUENCE, crossfade", "LAYER, three above, all scaled", "EFFECT echo", "EFFECT kaleidoscope")
"""Whose memory is measured in a long film, too."""


@dataclass(frozen=True)
class Taken:
    """What a run took: seconds of the clock and of the CPU, MB at most, and what others took of the machine."""

    seconds: float
    cpu: float
    peak_mb: float
    others: float


def flags(options: dict[str, str]) -> list[str]:
    """Return options as ffmpeg takes them."""
    return [word for name, value in options.items() for word in (f"-{name}", value)]


# --- one run --------------------------------------------------------------------------------------------------------


class Context:
    """What a running step may use; a ``.mp4`` is for people."""

    seed = 1

    def __init__(self, path: Path) -> None:
        """``path``: where the output goes."""
        self.path = path
        self.deliver = path.suffix == ".mp4"

    def output(self, extension: str) -> Path:
        """Return where the output goes."""
        return self.path

    def media(self) -> Path:
        """Return where video goes."""
        return self.path

    def progress(self, done: int, total: int) -> None:
        """Take note of nothing."""


def _run(pipe: Connection, name: str, config: Config, output: Path, *sources: Path) -> None:
    from artdag_common.effects import past
    from artdag_common.steps.registry import find_step_type
    from services.executor.memory import return_large_blocks, use_small_pages

    return_large_blocks()
    use_small_pages()
    past.keep_in(output.parent)
    kind = find_step_type(name)
    assert kind.run is not None
    kind.run(Context(output), kind.params.model_validate_json(kind.canonical_config(config)), *sources)
    status = Path("/proc/self/status").read_text().splitlines()
    peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    pipe.send((time.process_time(), peak_kib * 1024 / 1e6))


def _own_time(pipe: Connection, config: Config) -> None:
    """Send the seconds that an effect's function takes for a frame."""
    import numpy as np

    from artdag_common.effects.registry import find_effect

    effect = find_effect(config["effect"])
    width, height = map(int, SIZE.split("x"))
    frame = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    params, taken = effect.params.model_validate(config.get("params", {})), []
    state: dict[str, Any] = {}
    for _ in range(60):
        began = time.perf_counter()
        _, state = effect.process_frame(frame, params, state)
        taken.append(time.perf_counter() - began)
    pipe.send(statistics.median(taken))


def _forked(target: Callable[..., None], *arguments: Any) -> Any:
    """Run a function as the executor runs steps, in a fork of a server that has the libraries; return what it sends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sender, *arguments))
    process.start()
    sender.close()
    sent = receiver.recv()
    process.join()
    return sent


def _nothing(pipe: Connection) -> None:
    pipe.send(None)


def _processor() -> tuple[float, float]:
    """Return the seconds that all processors have been busy, and that they have been there."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    unit = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / unit, sum(ticks) / unit


def wait_for_quiet(limit: float) -> None:
    """Wait until others leave the machine alone for half a second, at most ``limit`` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy, there = _processor()
        time.sleep(0.5)
        busy_then, there_then = _processor()
        if busy_then - busy < QUIET * (there_then - there):
            return


def measured(run: Callable[[], tuple[float, float]]) -> Taken:
    """Time a run that gives its CPU seconds and its MB."""
    busy, there = _processor()
    began = time.perf_counter()
    cpu, peak_mb = run()
    seconds = time.perf_counter() - began
    busy_then, there_then = _processor()
    return Taken(seconds, cpu, peak_mb, max(0.0, busy_then - busy - cpu) / max(0.01, there_then - there))


def step(name: str, config: Config, output: Path, *sources: Path) -> Taken:
    """Run a step."""
    return measured(lambda: _forked(_run, name, config, output, *sources))


def command(*arguments: str, **environment: str) -> Taken:
    """Run a command."""

    def run() -> tuple[float, float]:
        before = os.times()
        subprocess.run(arguments, check=True, env=os.environ | environment, stdout=subprocess.DEVNULL)
        after = os.times()
        return after[2] + after[3] - before[2] - before[3], 0.0

    return measured(run)


def together(runs: list[Taken]) -> Taken:
    """Add up runs that follow each other."""
    return Taken(
        sum(run.seconds for run in runs),
        sum(run.cpu for run in runs),
        max(run.peak_mb for run in runs),
        statistics.mean(run.others for run in runs),
    )


# --- ways -----------------------------------------------------------------------------------------------------------


def chain(effects: list[Config]) -> Config:
    """Return the parameters of a CHAIN of effects."""
    from artdag_common.steps.registry import find_step_type

    kind = find_step_type("EFFECT")
    return {
        "links": [
            {"type": "EFFECT", "config": each, "implementation": kind.implementation(kind.canonical_config(each))}
            for each in effects
        ]
    }


def at_most(name: str) -> Config:
    """Return the parameters of an EFFECT, those of its example and those that take most memory."""
    from artdag_common.effects.registry import find_effect

    return {"effect": name, "params": {**find_effect(name).example, **MOST.get(name, {})}}


def one_by_one(effects: list[Config], output: Path, source: Path, between: str) -> Taken:
    """Run effects as steps of their own, with files of the suffix ``between`` on the way."""
    runs = []
    for place, config in enumerate(effects):
        last = place == len(effects) - 1
        target = output if last else output.with_name(f"{output.stem}-{place}{between}")
        runs.append(step("EFFECT", config, target, source))
        source = target
    return together(runs)


def psnr(path: Path, source: Path) -> tuple[float, float]:
    """Return dB of luma and of chroma against the source, over every tenth frame."""
    import av
    import numpy as np

    luma, chroma = [], []
    with av.open(str(path)) as one, av.open(str(source)) as other:
        pairs = zip(one.decode(video=0), other.decode(video=0), strict=True)
        for number, (a, b) in enumerate(pairs):
            if number % 10 == 0:
                squared = np.square(a.to_ndarray().astype(np.int32) - b.to_ndarray().astype(np.int32))
                luma.append(float(squared[: a.height].mean()))
                chroma.append(float(squared[a.height :].mean()))
    return _decibels(statistics.mean(luma)), _decibels(statistics.mean(chroma))


def _decibels(error: float) -> float:
    return 10 * math.log10(255**2 / error) if error else math.inf


def _decode(pipe: Connection, source: Path) -> None:
    from artdag_common.media.pictures import Clip

    for _ in Clip(source).pictures():
        pass
    pipe.send((time.process_time(), 0.0))


def hungry(film: Path, few: Path, analysis: Path) -> list[tuple[str, str, Config, str, list[Path]]]:
    """Return every kind of step on pictures, every effect, and chains of effects: what it is, type, parameters, suffix
    of the output, and inputs. ``few``: what BEAT_SYNC holds as a whole."""
    from artdag_common.effects.registry import EFFECTS

    three = {"inputs": [{}, *[{"opacity": 0.5}] * 3]}
    sized = {"inputs": [{"scale": 0.9}, *[{"opacity": 0.5, "scale": scale} for scale in (0.5, 0.7, 1.2)]]}
    return [
        ("plain", "SEGMENT", {}, ".mp4", [film]),
        ("plain, handed on", "SEGMENT", {}, ".mov", [film]),
        ("RESIZE", "RESIZE", RESIZE, ".mp4", [film]),
        ("TRANSFORM, blur", "TRANSFORM", {"effects": {"blur": 20}}, ".mp4", [film]),
        ("TRANSFORM, seven adjustments", "TRANSFORM", ADJUSTED, ".mp4", [film]),
        ("TRANSFORM, speed", "TRANSFORM", {"effects": {"speed": 1.5}}, ".mp4", [film]),
        ("SEQUENCE, crossfade", "SEQUENCE", {"transition": {"type": "crossfade"}}, ".mp4", [film] * 3),
        ("SEQUENCE, fade", "SEQUENCE", {"transition": {"type": "fade"}}, ".mp4", [film] * 3),
        ("LAYER, three above cover it", "LAYER", three, ".mp4", [film] * 4),
        ("LAYER, three above, all scaled", "LAYER", sized, ".mp4", [film] * 4),
        ("BLEND", "BLEND", {}, ".mp4", [film] * 2),
        ("MUX", "MUX", {}, ".mp4", [film] * 2),
        ("SLICE", "SLICE", {"frames": 300, "start": 100}, ".mp4", [film]),
        *(
            (f"BEAT_SYNC, {mode}", "BEAT_SYNC", {"mode": mode}, ".mp4", [source, analysis, film])
            for mode, source in (("stretch", film), ("cut", film), ("loop", few), ("pulse", few))
        ),
        ("PART", "PART", chain([INVERT]) | {"first": 0, "frames": FRAMES}, ".mp4", [film]),
        ("THUMBNAIL", "THUMBNAIL", {}, ".jpg", [film]),
        ("POSTER", "POSTER", {}, ".jpg", [film]),
        ("ANALYZE, scene changes", "ANALYZE", {"feature": "scene_changes"}, ".json", [film]),
        ("EFFECT, handed on", "EFFECT", INVERT, ".mov", [film]),
        *(
            (f"EFFECT {name}", "EFFECT", at_most(name), ".mp4", [film])
            for name, each in EFFECTS.items()
            if not each.unchanged
        ),
        ("three effects in one pass", "CHAIN", chain(BACK), ".mp4", [film]),
        (f"six effects in one pass: {', '.join(LIGHT)}", "CHAIN", chain([*map(at_most, LIGHT)]), ".mp4", [film]),
        (f"six heavy ones: {', '.join(HEAVY)}", "CHAIN", chain([*map(at_most, HEAVY)]), ".mp4", [film]),
    ]


class Bench:
    """Runs the ways in rounds, and makes rows of what they took."""

    def __init__(self, folder: Path, ffmpeg: str, moviepy: Path | None, rounds: int, quiet: float) -> None:
        """``moviepy``: a folder to import it from; ``quiet``: seconds to wait for others, before each run."""
        self.folder = folder
        self._ffmpeg = [ffmpeg, "-v", "error", "-nostdin", "-y"]
        self._ffmpeg_name = ffmpeg
        self._moviepy = moviepy
        self._rounds = rounds
        self._quiet = quiet
        self.rows: list[dict[str, Any]] = []
        self.others: list[float] = []

    def film(self, name: str) -> Path:
        """Make a film, once."""
        path = self.folder / f"{name}.mp4"
        if not path.exists():
            inputs = ["-f", "lavfi", "-i", FILMS[name], "-f", "lavfi", "-i", TONE, "-t", str(SECONDS)]
            codec = {"c:v": "libx264", "preset": "medium", "crf": "20", "g": "30", "pix_fmt": "yuv420p", "c:a": "aac"}
            command(*self._ffmpeg, *inputs, *flags(codec), str(path))
        return path

    def long_film(self, name: str) -> Path:
        """Make ten films of one."""
        path = self.folder / f"{name}-long.mp4"
        if not path.exists():
            silent = self.folder / f"{name}-silent.mp4"  # sound is a little longer, and would put gaps between
            command(*self._ffmpeg, "-i", str(self.film(name)), "-an", "-c", "copy", str(silent))
            again = ["-stream_loop", str(TIMES - 1), "-i", str(silent), "-f", "lavfi", "-i", TONE]
            codec = {"t": str(TIMES * SECONDS), "c:v": "copy", "c:a": "aac"}
            command(*self._ffmpeg, *again, *flags(codec), str(path))
        return path

    def cut_film(self, name: str, seconds: int) -> Path:
        """Make a film of another length of it."""
        path = self.folder / f"{name}-{seconds}.mp4"
        if not path.exists():
            command(*self._ffmpeg, "-i", str(self.long_film(name)), "-t", str(seconds), "-c", "copy", str(path))
        return path

    def peer(self, source: Path, *filters: str) -> Taken:
        """Encode by the ffmpeg command line."""
        codec = flags(VIDEO | SOUND)
        return command(*self._ffmpeg, "-i", str(source), *codec, *filters, str(self.folder / "peer.mp4"))

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, and show it: a whole call takes a while."""
        self.rows.append(row)
        print(f"{row['what']:52s}", *(f"{name} {row[name]} " for name in row if name != "what"), file=sys.stderr)

    def rounds(self, ways: dict[str, Callable[[], Taken]], mixed: bool = False) -> dict[str, list[Taken]]:
        """Run every way once in each round; ``mixed``: in another order each time, the same in every call.

        How much of the memory that a way takes the machine has at hand depends on what ran before it.
        """
        taken: dict[str, list[Taken]] = {name: [] for name in ways}
        for number in range(self._rounds):
            order = list(ways)
            if mixed:
                random.Random(number).shuffle(order)
            for name in order:
                wait_for_quiet(self._quiet)
                taken[name].append(ways[name]())
                self.others.append(taken[name][-1].others)
        return taken

    def compare(self, what: str, over: list[Taken], under: list[Taken], extra: float = 0.0, **facts: Any) -> None:
        """Add a row: how many times as long ``over`` (and ``extra`` seconds) took as ``under``, round by round."""
        pairs = list(zip(over, under, strict=True))
        clock = [(a.seconds + extra) / b.seconds for a, b in pairs]
        cpu = [(a.cpu + extra) / b.cpu for a, b in pairs]
        self.add(
            {
                "what": what,
                "ratio": round(statistics.median(clock), 3),
                "rounds": [round(each, 2) for each in clock],
                "ratio_cpu": round(statistics.median(cpu), 3),
                "seconds": round(statistics.median(b.seconds for b in under), 2),
                "cpu_seconds": round(statistics.median(b.cpu for b in under), 2),
                **facts,
            }
        )

    def ways(self, film: str, parts: set[str]) -> None:
        """Measure what has a peer in the ffmpeg command line, and MoviePy."""
        source, out = self.film(film), self.folder / "ours.mp4"
        ways: dict[str, Callable[[], Taken]] = {
            "peer": lambda: self.peer(source),
            "plain": lambda: step("SEGMENT", {}, out, source),
        }
        if "resize" in parts:
            ways["peer resize"] = lambda: self.peer(source, "-vf", "scale=960:540")
            ways["resize"] = lambda: step("RESIZE", RESIZE, out, source)
        if "transform" in parts:
            ways["peer transform"] = lambda: self.peer(source, "-vf", "eq=brightness=0.1:contrast=1.1:saturation=1.2")
            ways["transform"] = lambda: step("TRANSFORM", TRANSFORM, out, source)
        if parts & {"effect", "moviepy"}:
            ways["effect"] = lambda: step("EFFECT", INVERT, out, source)
        if "effect" in parts:
            ways["peer negates"] = lambda: self.peer(source, "-vf", "format=rgb24,negate", *flags(COPIED))
            ways["peer negates exactly"] = lambda: self.peer(source, "-vf", NEGATED, *flags(COPIED))
        if "moviepy" in parts and self._moviepy:
            ways["moviepy"] = lambda: self.movie(source, "plain")
            ways["moviepy inverts"] = lambda: self.movie(source, "invert")
        taken = self.rounds(ways, mixed=True)
        self.compare(f"{film}: plain / ffmpeg", taken["peer"], taken["plain"])
        for kind in ("resize", "transform"):
            if kind in taken:
                self.compare(f"{film}: {kind} / ffmpeg", taken[f"peer {kind}"], taken[kind])
        if "peer negates" in taken:
            own = _forked(_own_time, INVERT)
            facts = {"own_ms_a_frame": round(own * 1e3, 2)}
            self.compare(
                f"{film}: effect / our plain + its own time", taken["plain"], taken["effect"], own * FRAMES, **facts
            )
            self.compare(f"{film}: effect / ffmpeg plain + its own time", taken["peer"], taken["effect"], own * FRAMES)
            self.compare(f"{film}: effect / ffmpeg, negate in RGB", taken["peer negates"], taken["effect"])
            self.compare(f"{film}: effect / the same, exactly", taken["peer negates exactly"], taken["effect"])
        if "moviepy" in taken:
            self.compare(f"{film}: plain / MoviePy", taken["moviepy"], taken["plain"])
            self.compare(f"{film}: effect / MoviePy", taken["moviepy inverts"], taken["effect"])

    def movie(self, source: Path, what: str) -> Taken:
        """Encode by MoviePy, on the same ffmpeg."""
        output = str(self.folder / "moviepy.mp4")
        program = shutil.which(self._ffmpeg_name) or self._ffmpeg_name
        arguments = [sys.executable, "-c", MOVIEPY, str(source), output, what, *flags(VIDEO)[4:]]
        return command(*arguments, PYTHONPATH=str(self._moviepy), IMAGEIO_FFMPEG_EXE=program)

    def fused(self, film: str) -> None:
        """Measure three effects in one pass and as three steps."""
        source, folder = self.film(film), self.folder
        ways: dict[str, Callable[[], Taken]] = {}
        for kind, suffix in (("delivered", ".mp4"), ("handed on", ".mov")):
            one, three = folder / f"one{suffix}", folder / f"three{suffix}"
            ways[f"{kind} fused"] = partial(step, "CHAIN", chain(BACK), one, source)
            ways[f"{kind} apart"] = partial(one_by_one, BACK, three, source, ".mov")
        ways["lossy apart"] = lambda: one_by_one(BACK, folder / "lossy.mp4", source, ".mp4")
        ways["plain"] = lambda: step("SEGMENT", {}, folder / "plain.mp4", source)
        taken = self.rounds(ways)
        for kind, suffix in (("delivered", ".mp4"), ("handed on", ".mov")):
            self.compare(
                f"{film}: three files / fused, {kind}",
                taken[f"{kind} apart"],
                taken[f"{kind} fused"],
                db_fused=_rounded(psnr(folder / f"one{suffix}", source)),
                db_apart=_rounded(psnr(folder / f"three{suffix}", source)),
            )
        self.compare(
            f"{film}: three files as for people / fused, delivered",
            taken["lossy apart"],
            taken["delivered fused"],
            db_apart=_rounded(psnr(folder / "lossy.mp4", source)),
            db_plain=_rounded(psnr(folder / "plain.mp4", source)),
        )

    def divided(self, film: str) -> None:
        """Measure a long film in one go, in parts, and beside ffmpeg."""
        source, folder = self.long_film(film), self.folder
        whole, joined = folder / "whole.mp4", folder / "joined.mp4"
        config = chain([INVERT])
        parts = [folder / f"part-{place}.mp4" for place in range(TIMES)]

        def divide() -> Taken:
            spans = [{"first": place * FRAMES, "frames": FRAMES} for place in range(TIMES)]
            return together([step("PART", config | span, to, source) for span, to in zip(spans, parts, strict=True)])

        taken = self.rounds(
            {
                "whole": lambda: step("CHAIN", config, whole, source),
                "parts": divide,
                "join": lambda: step("JOIN", {}, joined, source, *parts),
                "plain": lambda: step("SEGMENT", {}, folder / "plain.mp4", source),
                "peer": lambda: self.peer(source),
            }
        )
        assert whole.read_bytes() == joined.read_bytes()
        apart = [together([a, b]) for a, b in zip(taken["parts"], taken["join"], strict=True)]
        self.compare(f"{film}, 100 s: in parts and joined / in one go", apart, taken["whole"])
        self.compare(f"{film}, 100 s: joining / in one go", taken["join"], taken["whole"])
        self.compare(f"{film}, 100 s: plain / ffmpeg", taken["peer"], taken["plain"])

    def lossless(self, film: str) -> None:
        """Measure files that lose nothing: the cost of writing and reading one."""
        source, kept = self.film(film), self.folder / "kept.mov"
        taken = self.rounds(
            {
                "read source": lambda: measured(lambda: _forked(_decode, source)),
                "write": lambda: step("SEGMENT", {}, kept, source),
                "read": lambda: measured(lambda: _forked(_decode, kept)),
            }
        )
        ms = {name: statistics.median(run.cpu for run in runs) / FRAMES * 1e3 for name, runs in taken.items()}
        self.add(
            {
                "what": f"{film}: a file that loses nothing",
                "cpu_ms_a_frame_written": round(ms["write"] - ms["read source"], 2),
                "cpu_ms_a_frame_read": round(ms["read"], 2),
                "mb": round(kept.stat().st_size / 1e6, 1),
                "mb_source": round(source.stat().st_size / 1e6, 1),
            }
        )

    def memory(self) -> None:
        """Measure the highest memory of each kind of step, of each effect, and of chains, in twelve seconds; of those
        that need most, in a hundred, too."""
        film, long = self.cut_film("noisy", 12), self.long_film("noisy")
        analysis = self.folder / "beats.json"
        beats = [half / 2 for half in range(1, 24)]
        analysis.write_text(json.dumps({"audio": {"duration": 12.0, "beats": {"beat_times": beats}}}))
        few = self.folder / "few.mp4"  # as many frames as are held while they are shown again and again
        step("SEGMENT", {"duration": 23 / RATE}, few, film)
        peaks: list[float] = []
        for what, name, config, suffix, inputs in hungry(film, few, analysis):
            peak = step(name, config, self.folder / f"memory{suffix}", *inputs).peak_mb
            facts = {"mb_12_s": round(peak)}
            if what in LONG or name == "CHAIN":
                longer = [long if each == film else each for each in inputs]
                peak = max(peak, step(name, config, self.folder / f"memory{suffix}", *longer).peak_mb)
                facts["mb_100_s"] = round(peak)
            peaks.append(peak)
            self.add({"what": f"memory: {what}", **facts, **({"above": MEMORY_MB} if peak > MEMORY_MB else {})})
        self.add({"what": "memory: the most of all", "mb": round(max(peaks)), "limit": MEMORY_MB})


def _rounded(pair: tuple[float, float]) -> list[float]:
    return [round(each, 1) for each in pair]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ffmpeg", default="ffmpeg", help="the peer: Debian's ffmpeg")
    parser.add_argument("--moviepy", type=Path, help="folder to import MoviePy from")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--films", nargs="*", choices=tuple(FILMS), default=tuple(FILMS))
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds to wait for others before each run")
    parser.add_argument("--folder", type=Path, help="where the films are made, and found again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which(options.ffmpeg) is None:
        parser.error(f"no {options.ffmpeg!r} here: install Debian's ffmpeg package, or say --ffmpeg PATH")
    parts = set(options.only)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _forked(_nothing)  # the server has loaded its libraries by then, as the executor's has
        bench = Bench(folder, options.ffmpeg, options.moviepy, options.rounds, options.quiet)
        for film in options.films:
            if parts & {"plain", "resize", "transform", "effect", "moviepy"}:
                bench.ways(film, parts)
            if "fused" in parts:
                bench.fused(film)
            if "divided" in parts:
                bench.divided(film)
            if "lossless" in parts:
                bench.lossless(film)
        if "memory" in parts:
            bench.memory()
    if bench.others:
        shares = {"median": round(statistics.median(bench.others), 2), "most": round(max(bench.others), 2)}
        bench.add({"what": "of the machine, others took meanwhile", **shares})
    if options.json:
        print(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
