"""The same step gives the same bytes: in other processes, on one core and on more, and where steps ran before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from artdag_common.cid import cid_of_file
from artdag_common.steps.registry import find_step_type
from tests.unit.steps.running import run_step

CODE = """
import json, sys
from pathlib import Path
from artdag_common.cid import cid_of_file
from tests.unit.steps.running import run_step
folder, name, config, inputs, deliver = json.loads(sys.argv[1])
print(cid_of_file(run_step(Path(folder), name, config, *map(Path, inputs), deliver=deliver)))
"""


def cid_in_fresh_process(
    folder: Path, name: str, config: dict[str, Any], *inputs: Path, deliver: bool = True, cores: int = 0
) -> str:
    """Run a step in a process of its own, on so many cores (0: all)."""
    order = json.dumps([str(folder), name, config, [str(path) for path in inputs], deliver])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", CODE, order]
    allowed = sorted(os.sched_getaffinity(0))
    if cores:
        os.sched_setaffinity(0, allowed[:cores])  # the process inherits it
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    finally:
        os.sched_setaffinity(0, allowed)
    return done.stdout.strip()


def chained(*intensities: float) -> dict[str, Any]:
    kind = find_step_type("EFFECT")
    configs = [json.loads(kind.canonical_config({"effect": "invert", "params": {"intensity": i}})) for i in intensities]
    codes = [kind.implementation(json.dumps(config)) for config in configs]
    pairs = zip(configs, codes, strict=True)
    return {"links": [{"type": "EFFECT", "config": config, "implementation": code} for config, code in pairs]}


@pytest.mark.parametrize("deliver", [True, False], ids=["delivered", "handed on"])
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("SEGMENT", {"offset": 0.3, "duration": 1.5}),
        ("RESIZE", {"width": 320, "height": 180}),
        ("EFFECT", {"effect": "dog"}),
        ("EFFECT", {"effect": "invert", "params": {"intensity": 0.7}}),
        ("CHAIN", chained(1.0, 0.4)),
    ],
)
def test_a_step_gives_one_cid(tmp_path: Path, clicking: Path, name: str, config: dict[str, Any], deliver: bool) -> None:
    """In fresh processes with one core and with all, and in one that has worked before."""
    cids = {
        cid_in_fresh_process(tmp_path / f"fresh{cores}", name, config, clicking, deliver=deliver, cores=cores)
        for cores in (1, 0)
    }
    for n in range(3):
        cids.add(cid_of_file(run_step(tmp_path / f"here{n}", name, config, clicking, deliver=deliver)))
    assert len(cids) == 1


def test_muxing_and_joining_give_one_cid(tmp_path: Path, clicking: Path, music: Path) -> None:
    for name in ("MUX", "SEQUENCE"):
        inputs = (clicking, music) if name == "MUX" else (clicking, clicking)
        cids = {cid_in_fresh_process(tmp_path / f"fresh{name}", name, {}, *inputs)}
        for n in range(2):
            cids.add(cid_of_file(run_step(tmp_path / f"{name}{n}", name, {}, *inputs)))
        assert len(cids) == 1


def test_the_bytes_do_not_tell_who_wrote_them(tmp_path: Path, clicking: Path) -> None:
    data = run_step(tmp_path / "out", "SEGMENT", {}, clicking).read_bytes()
    assert b"x264" not in data
    assert b"Lavf" not in data
    assert b"Lavc" not in data
    assert data.index(b"moov") < data.index(b"mdat")  # plays before all of it is there
