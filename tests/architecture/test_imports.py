"""Who may import whom, and what importing a module must not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.application import use_cases
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("av", "numpy", "scipy", "librosa", "numba", "PIL")


def test_the_import_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """The contracts are in pyproject.toml."""
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_the_contracts_are_those_of_the_design() -> None:
    """A contract that is taken out of pyproject.toml would hold for ever."""
    options = use_cases.read_user_options(config_filename=str(ROOT / "pyproject.toml"))
    assert {c["name"] for c in options.contracts_options} >= {
        "Services never import each other",
        "The domain imports no adapter",
        "Libraries do not know the services",
    }


def loaded_by(*modules: str) -> set[str]:
    """Return the modules in memory after a new process imported ``modules``."""
    program = f"import sys; {'; '.join(f'import {m}' for m in modules)}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'libs'}"},
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "artdag_common.steps.registry",
        "services.planner.wiring",
        "services.gateway.wiring",
        "services.cache.wiring",
        "services.auth.wiring",
        "services.executor.wiring",
    ],
)
def test_no_service_loads_media_libraries(module: str) -> None:
    """They cost hundreds of milliseconds and megabytes; only media worker processes need them."""
    assert not loaded_by(module) & set(HEAVY)


def test_importing_a_module_only_defines_names() -> None:
    """No service reads its settings, connects or starts anything before its main function runs."""
    services = ("gateway", "planner", "executor", "cache", "auth")
    loaded = loaded_by(*(f"services.{each}.{part}" for each in services for part in ("__main__", "wiring")))
    assert "services.planner.wiring" in loaded
