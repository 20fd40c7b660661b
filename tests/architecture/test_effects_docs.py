"""The page of effects and its pictures are what the effects give today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_effects_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "build_effects.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run python docs/build_effects.py"
