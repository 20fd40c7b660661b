"""Every command of docs/api.md, run in order as it stands there."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from artdag_cli.system import ROOT
from tests.unit.media.counted import write_counted

GUIDE = (ROOT / "docs" / "api.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
CONFIG = """name: my-effect
version: "1.0"
description: "Apply effect to user image"

registry:
  effects:
    invert:
      hash: "abc123..."

dag:
  nodes:
    - id: user_image
      type: SOURCE
      config:
        input: true        # Variable input
        name: "input_image"

    - id: apply
      type: NOOP
      inputs:
        - user_image

  output: apply
"""


@pytest.fixture
def folder(tmp_path: Path, imports: Path) -> Path:
    """Where the commands are run, with the files that they name."""
    film = write_counted(tmp_path / "cat.mp4", 12, first=uuid4().int % 200)
    film.write_bytes(film.read_bytes() + b"\0\0\0\x18free" + uuid4().bytes)
    (imports / "cat.mp4").write_bytes(film.read_bytes())
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


async def test_every_command_of_the_guide_works(live, url, folder, imports):
    script = "set -euo pipefail\n" + "\n".join(COMMANDS)
    environment = os.environ | {"L1": url, "TOKEN": live.token, "IMPORTS": str(imports)}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-xc", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    result = await asyncio.to_thread(run)
    assert result.returncode == 0, result.stderr[-2000:]
    assert '"deleted":true' in result.stdout
    assert (folder / "part.bin").read_bytes() == (folder / "cat.mp4").read_bytes()[:100]
    assert (folder / "shown.mp4").read_bytes() == (folder / "cat.mp4").read_bytes()


async def test_the_guide_shows_every_route_for_content(stranger):
    shown = (
        "\n".join(COMMANDS)
        .replace("$CID", "{cid}")
        .replace("$CONFIG", "{recipe}")
        .replace("$UPLOAD", "/cache/uploads/")
    )
    paths = (await stranger.get("/openapi.json")).json()["paths"]
    for path in ("/cache/upload", "/cache/import", "/cache/uploads", "/cache", "/media", "/assets", "/configs/upload"):
        assert path in paths
        assert path in shown
    for path in (
        "/cache/{cid}/raw",
        "/cache/{cid}/mp4",
        "/cache/{cid}/meta",
        "/cache/{cid}/publish",
        "/ipfs/{cid}/raw",
    ):
        assert path in paths
        assert path in shown


async def test_both_seeds_routes_for_content_are_there(stranger):
    paths = (await stranger.get("/openapi.json")).json()["paths"]
    for route in (
        "get /cache",
        "get /cache/{cid}",
        "get /cache/{cid}/raw",
        "get /cache/{cid}/mp4",
        "get /cache/{cid}/meta",
        "patch /cache/{cid}/meta",
        "post /cache/{cid}/publish",
        "post /cache/import",
        "post /cache/upload",
        "get /media",
        "get /assets",
        "get /ipfs/{cid}",
        "get /ipfs/{cid}/raw",
        "post /configs/upload",
        "get /configs",
        "get /configs/{recipe}",
        "delete /configs/{recipe}",
        "post /configs/{recipe}/run",
    ):
        method, path = route.split()
        assert method in paths[path], route
