"""The same step gives the same bytes: in other processes, and in one that has worked before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from artdag_common.cid import cid_of_file
from tests.unit.steps.running import run_step

CODE = """
import json, sys
from pathlib import Path
from artdag_common.cid import cid_of_file
from tests.unit.steps.running import run_step
folder, name, config, inputs = json.loads(sys.argv[1])
print(cid_of_file(run_step(Path(folder), name, config, *map(Path, inputs))))
"""


def cid_in_fresh_process(folder: Path, name: str, config: dict[str, Any], *inputs: Path) -> str:
    order = json.dumps([str(folder), name, config, [str(path) for path in inputs]])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", CODE, order]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("SEGMENT", {"offset": 0.3, "duration": 1.5}),
        ("RESIZE", {"width": 320, "height": 180}),
        ("EFFECT", {"effect": "dog"}),
    ],
)
def test_a_step_gives_one_cid(tmp_path: Path, clicking: Path, name: str, config: dict[str, Any]) -> None:
    cids = {cid_in_fresh_process(tmp_path / f"fresh{n}", name, config, clicking) for n in range(2)}
    for n in range(4):  # memory is no longer fresh now
        cids.add(cid_of_file(run_step(tmp_path / f"here{n}", name, config, clicking)))
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
