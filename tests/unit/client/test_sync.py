"""The client that waits is made of the asynchronous one, and stands by itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from artdag_client import make_sync
from artdag_client._async import client as asynchronous
from artdag_client._sync import client as waiting

LIBRARIES = Path(__file__).resolve().parents[3] / "libs"
ALONE = """
import sys
import artdag_client
strange = [name for name in sys.modules if name.startswith(("artdag_common", "artdag_cli.", "services", "pydantic"))]
assert not strange, strange
"""


def test_it_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_sync.main(["--check"]) == 0, capsys.readouterr().err


def test_it_would_be_noticed_if_it_were_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_sync, "MADE", tmp_path)
    (tmp_path / "left.py").write_text("")
    assert make_sync.main(["--check"]) == 1
    assert make_sync.main([]) == 0
    assert make_sync.main(["--check"]) == 0
    assert not (tmp_path / "left.py").exists()
    assert "await" not in (tmp_path / "runs.py").read_text()


def test_both_have_the_same_methods() -> None:
    for name in ("content", "runs", "recipes", "effects", "storage", "webhooks", "tokens", "operator"):
        one = type(getattr(asynchronous.AsyncClient("http://server"), name))
        other = type(getattr(waiting.Client("http://server"), name))
        assert methods(one) == methods(other)


def methods(cls: type) -> dict[str, list[str]]:
    """Return the public methods of a class, with the names of their parameters."""
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def test_nothing_else_of_the_product_is_loaded() -> None:
    subprocess.run([sys.executable, "-c", ALONE], env={"PYTHONPATH": str(LIBRARIES)}, check=True)
