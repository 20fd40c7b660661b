"""What the pages load is what it is built from: the style sheet and the vendored scripts, by the npm registry."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from artdag_cli.system import ROOT

STATIC = ROOT / "services" / "gateway" / "web" / "static"
STYLES = ROOT / "services" / "gateway" / "web" / "styles"
BUILD_SECONDS = 300
ELSEWHERE = re.compile(r"""(?:from\s*|import\s*\(?\s*|url\(\s*)["']?(https?:)?//""")


def test_the_built_files_are_up_to_date() -> None:
    command = [sys.executable, "-m", "services.gateway.web.build", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_what_is_installed_is_pinned_by_hash_and_from_no_certain_registry() -> None:
    lock = (STYLES / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in lock
    assert '"resolved"' not in lock


@pytest.mark.parametrize("name", sorted(each.name for each in STATIC.glob("*.*")))
def test_no_file_loads_anything_from_elsewhere(name: str) -> None:
    assert not ELSEWHERE.search((STATIC / name).read_text())
