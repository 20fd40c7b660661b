"""The same steps on other processors: whose files are the same to the byte, and of the others, what they show.

Every kind of step and every effect, on a short film and music that are made here, run in the interpreter at hand and in
each one that is named by ``--on``: another machine's, or an emulator's for this one's files. Such a command gets the
arguments of a Python, sees the same folders, and has the packages of an executor. Sound and pictures of files that
differ are decoded here and compared.

    ./artdag bench processors --on "Nehalem=qemu-x86_64-static -cpu Nehalem $PWD/.venv/bin/python" [--json]

Debian's ``qemu-user-static`` has emulators; they compute floating point as the processors do, bit by bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

Config = dict[str, Any]
HERE = "here"
FRAMES = 24
ADJUSTED = {"brightness": 0.1, "contrast": 1.1, "saturation": 1.2, "gamma": 1.2, "hue": 20}
STEPS: list[tuple[str, Config, tuple[str, ...]]] = [
    ("SEGMENT", {"offset": 0.2}, ("film",)),
    ("RESIZE", {"width": 320, "height": 180}, ("film",)),
    ("TRANSFORM", {"effects": ADJUSTED}, ("film",)),
    ("TRANSFORM", {"effects": {"blur": 3, "sharpen": 1, "speed": 1.3}}, ("film",)),
    ("SEQUENCE", {"transition": {"type": "crossfade", "duration": 0.3}}, ("film", "film")),
    ("LAYER", {"inputs": [{}, {"opacity": 0.5, "scale": 0.5}]}, ("film", "film")),
    ("BLEND", {}, ("film", "film")),
    ("MUX", {}, ("film", "music")),
    ("AUDIO_MIX", {}, ("music", "music")),
    ("ANALYZE", {"features": ["beats", "energy", "onsets", "spectrum", "tempo"]}, ("music",)),
    ("ANALYZE", {"features": ["metadata", "motion_tempo", "scene_changes"]}, ("film",)),
    ("THUMBNAIL", {}, ("film",)),
    ("WAVEFORM", {}, ("music",)),
    ("SPECTROGRAM", {}, ("music",)),
]
INPUTS = {"film": "film.mov", "music": "music.wav"}
PLAYED = (".mp4", ".mov")
SAME, SEEN, HEARD, OTHER = "the same bytes", "the same pictures", "the same sound", "other pictures or sound"


class Context:
    """What a running step may use."""

    seed = 1

    def __init__(self, path: Path, deliver: bool) -> None:
        """``path``: where the output goes, without its extension."""
        self._path = path
        self.deliver = deliver

    def output(self, extension: str) -> Path:
        """Return where the output goes."""
        return self._path.with_suffix(f".{extension}")

    def media(self) -> Path:
        """Return where video or sound goes."""
        return self.output("mp4" if self.deliver else "mov")

    def progress(self, done: int, total: int) -> None:
        """Take note of nothing."""


def steps() -> list[tuple[str, Config, tuple[str, ...]]]:
    """Return the steps to run: type, parameters, inputs."""
    from artdag_common.effects.registry import EFFECTS

    effects = [each for each in EFFECTS.values() if not each.unchanged]
    return STEPS + [("EFFECT", {"effect": each.name, "params": each.example}, ("film",)) for each in effects]


def run(inputs: Path, folder: Path) -> None:
    """Run all steps, and those that give video or sound once more for other steps; files are called by their place."""
    from artdag_common.effects import past
    from artdag_common.steps.registry import find_step_type

    past.keep_in(folder)
    for place, (name, config, slots) in enumerate(steps()):
        kind = find_step_type(name)
        assert kind.run is not None
        params = kind.params.model_validate_json(kind.canonical_config(config))
        for deliver in (True, False):
            context = Context(folder / f"{place:02}", deliver)
            if kind.run(context, params, *(inputs / INPUTS[slot] for slot in slots)).suffix not in PLAYED:
                break


def content(path: Path) -> dict[str, str]:
    """Return a digest of the file, and of its pictures and its sound as they are decoded here."""
    import av
    from av.audio.frame import AudioFrame
    from av.video.frame import VideoFrame

    digests = {"bytes": hashlib.sha256(path.read_bytes()).hexdigest()}
    if path.suffix in PLAYED:
        with av.open(str(path)) as container:
            for stream in (*container.streams.video, *container.streams.audio):
                container.seek(0)
                digest = hashlib.sha256()
                for frame in container.decode(stream):
                    assert isinstance(frame, VideoFrame | AudioFrame)
                    digest.update(frame.to_ndarray().tobytes())
                digests[stream.type] = digest.hexdigest()
    return digests


def verdict(one: dict[str, str], other: dict[str, str]) -> str:
    """Say what two files have in common."""
    if one["bytes"] == other["bytes"]:
        return SAME
    alike = [says for kind, says in (("video", SEEN), ("audio", HEARD)) if kind in one and one[kind] == other[kind]]
    return ", ".join(alike) or OTHER


def compare(folder: Path, others: list[str]) -> list[dict[str, Any]]:
    """Compare what is in the folders of others with what was made here."""
    rows, ran = [], steps()
    for found in sorted((folder / HERE).glob("[0-9][0-9].*")):
        name, config, _ = ran[int(found.stem)]
        here = content(found)
        rows.append(
            {
                "step": " ".join([name, *(str(config[key]) for key in ("effect", "features") if key in config)]),
                "file": found.suffix,
                **{other: verdict(here, content(folder / other / found.name)) for other in others},
            }
        )
    return rows


def main() -> None:
    """Run everywhere, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", action="append", default=[], metavar="NAME=COMMAND", help="an interpreter; repeatable")
    parser.add_argument("--run", nargs=2, type=Path, metavar=("INPUTS", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.run:
        run(*options.run)
        return
    from artdag_cli.demo_media import make_cat, make_drums

    interpreters = {HERE: [sys.executable]}
    for each in options.on:
        name, _, command = each.partition("=")
        if not command or not name.isidentifier() or name in interpreters:
            parser.error(f"--on {each!r} is not NAME=COMMAND, with a name of letters and digits that is not taken")
        interpreters[name] = shlex.split(command)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_cat(folder / INPUTS["film"], FRAMES)
        make_drums(folder / INPUTS["music"])
        for name, command in interpreters.items():
            print(f"{name} …", file=sys.stderr)
            (folder / name).mkdir()
            subprocess.run([*command, __file__, "--run", str(folder), str(folder / name)], check=True)
        others = [name for name in interpreters if name != HERE]
        rows = compare(folder, others)
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['step'][:40]:42}{row['file']:7}", *(f"{row[name]:32}" for name in others))
    for name in others:
        print(f"{name}: {dict(Counter(row[name] for row in rows))}")


if __name__ == "__main__":
    main()
