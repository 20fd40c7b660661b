"""The page of all variables is what the code reads today, and secrets go to those who read them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from artdag_cli.accounts import SECRETS
from artdag_common.config import ELSEWHERE, Settings
from artdag_common.config import SECRETS as SECRET
from artdag_common.environment import OURS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (
    *("HOST", "PORT", "REDIS_URL", "DATABASE_URL", "CACHE_DIR", "IPFS_API", "IPFS_GATEWAY_URL", "IPFS_PRIMARY"),
    *("L1_PUBLIC_URL", "L2_SERVER", "L2_DOMAIN", "ARTDAG_CLUSTER_KEY"),
)
"""What the first version of Art DAG was set up with."""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The program that makes the page."""
    spec = importlib.util.spec_from_file_location("build_configuration", ROOT / "docs" / "build_configuration.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_variables_is_fresh(build: ModuleType) -> None:
    assert build.stale() == [], "run python docs/build_configuration.py"


def test_every_variable_has_one_row(build: ModuleType) -> None:
    rows = [line.split("`")[1] for line in build.document().splitlines() if line.startswith("| `")]
    assert len(rows) == len(set(rows))
    assert set(rows) >= {field.alias for field in Settings.model_fields.values()} | set(SEEDS)
    assert {name for name in rows if name.startswith(OURS)} >= set(ELSEWHERE)
    told = {name for name in build.OTHERS if name.startswith(OURS)}
    assert told == set(ELSEWHERE), "names of the command line that services are not to take for misspelt ones"


def test_secrets_are_handed_to_the_services_that_read_them(build: ModuleType) -> None:
    readers = {
        field.alias: {service for service in build.SERVICES if name in build.reads(service)}
        for name, field in Settings.model_fields.items()
        if field.alias in SECRET
    }
    for name, services in SECRETS.items():
        assert set(services) == readers[name], name
    for name in set(SECRET) - set(SECRETS):
        assert readers[name] in (set(build.SERVICES), {"auth"}), f"{name} goes to some services only: see accounts.py"


def test_a_variable_that_nobody_tells_of_is_found(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    file = tmp_path / "program.py"
    file.write_text(
        'import os\nNAME = "BY_NAME"\nos.environ.get("GOT")\nos.environ["TAKEN"]\n'
        'os.getenv("ASKED")\n"IN" in os.environ\n'
        'os.environ.get(NAME)\noption("--x", envvar="OPTION")\nother.get("NOT")\n'
    )
    assert set(build.environment_names([file])) == {"GOT", "TAKEN", "ASKED", "IN", "BY_NAME", "OPTION"}
