"""The images: what goes into each, how it runs, and the packages that it is locked to."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from artdag_cli.credentials import OPERATOR
from artdag_cli.options import DEFAULT_PORT
from artdag_cli.system import ROOT, SERVICES
from artdag_common.version import VERSION
from services import image, sbom
from tests.containers import built, composed, lock_of, locked, program, settings_of

IMAGES = (*SERVICES, OPERATOR)
DOCKERFILE = ROOT / "services" / "Dockerfile"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """What compose makes of its file."""
    return composed()


def instructions(name: str) -> list[str]:
    """Return the arguments of an instruction of the Dockerfile, in their order."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)


def test_the_dockerfile_has_no_fault_that_hadolint_finds() -> None:
    found = subprocess.run(
        [program("hadolint"), "--no-color", str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_an_image_is_there_for_every_service_and_says_how_it_runs(config: dict[str, Any]) -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert set(IMAGES) <= set(stages)
    commands = [json.loads(each) for each in instructions("CMD")]
    for service in SERVICES:
        assert ["python", "-m", f"services.{service}"] in commands
        built_as = config["services"][service]["build"]
        assert built_as["args"] == {"SERVICE": service}
        assert built_as["dockerfile"] == "services/Dockerfile"
    for name in (*SERVICES, "migrate"):
        wanted = OPERATOR if name == "migrate" else name
        assert config["services"][name]["image"] == f"artdag/{wanted}:{VERSION}"
    assert f"VERSION={VERSION}" in instructions("ARG")
    assert instructions("USER")[-1].partition(":")[0] == "10001"
    assert any("/ready" in line for line in (ROOT / "services" / "healthcheck.py").read_text().splitlines())
    assert len(instructions("HEALTHCHECK")) == 2
    (base,) = set(re.findall(r"^FROM (python:\S+) AS", DOCKERFILE.read_text(), re.MULTILINE))
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+\$\{PYTHON_DIGEST\}", base)


def test_ports_are_the_same_in_image_compose_and_settings(config: dict[str, Any]) -> None:
    exposed = set(map(int, instructions("EXPOSE")))
    environment = {service: settings_of(config["services"][service]) for service in SERVICES}
    assert {int(each["ARTDAG_PROBE_PORT"]) for each in environment.values()} == {9100}
    gateway, cache = int(environment["gateway"]["PORT"]), int(environment["cache"]["ARTDAG_CONTENT_PORT"])
    assert exposed == {9100, gateway, cache}
    (port,) = config["services"]["gateway"]["ports"]
    assert (port["target"], port["published"]) == (gateway, str(DEFAULT_PORT))


def test_what_goes_into_an_image_is_let_into_its_build() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for service in IMAGES:
        for source in image.contents(service):
            assert (ROOT / source).exists()
            assert any(source == each or source.startswith(f"{each}/") for each in allowed), source
    copied = {line.split()[0] for line in instructions("COPY") if not line.startswith("--")}
    assert allowed <= copied <= allowed | {"services/build.lock"}


def test_no_image_holds_another_services_code(tmp_path: Path) -> None:
    for service in IMAGES:
        image.lay_out(service, ROOT, _folder(tmp_path / service))
        app = tmp_path / service / "app"
        packages = (
            {path.name for path in (app / "services").iterdir() if path.is_dir()} if service != OPERATOR else set()
        )
        assert packages == ({service} if service != OPERATOR else set())
        assert (app / "libs" / "artdag_common" / "eventstore" / "schema.sql").is_file()
        assert (app / "libs" / "artdag_cli").exists() == (service == OPERATOR)
        assert not [path for path in app.rglob("*") if path.is_file() and path.stat().st_mode & 0o022]


def _folder(path: Path) -> Path:
    (path / "bin").mkdir(parents=True)
    return path


def test_a_service_that_is_none_has_no_image() -> None:
    with pytest.raises(ValueError, match="gatway"):
        image.contents("gatway")


@pytest.mark.parametrize("service", IMAGES)
def test_the_packages_of_an_image_are_locked_as_everywhere_else(service: str) -> None:
    everywhere, mine = entries(ROOT / "requirements.lock"), entries(lock_of(service))
    assert len(mine) > 40
    for package, hashes in mine.items():
        assert hashes == everywhere.get(package), f"{package}: {HOW}"
    assert len(mine) == len(locked(service)), "one version of each"
    assert not re.search(r"://|;", lock_of(service).read_text()), (
        "no addresses, and nothing that depends on the machine"
    )


HOW = "make the lock anew, as docs/containers.md tells"


def entries(path: Path) -> dict[str, set[str]]:
    """Return the hashes of a lock file by ``name==version``; it may have two of a name, for two versions of Python."""
    found: dict[str, set[str]] = {}
    hashes: set[str] = set()
    for name, version, digest in sbom.LOCKED.findall(path.read_text()):
        if name:
            hashes = found.setdefault(f"{sbom.normal(name)}=={version}", set())
        else:
            hashes.add(digest)
    return found


def test_the_operators_image_has_its_tools(tmp_path: Path) -> None:
    """With the packages of its lock alone; so do the services in ``tests/e2e/test_contained.py``."""
    environment = built(OPERATOR, tmp_path / OPERATOR)
    command = [sys.executable, "-S", "-P", "-m", "artdag_cli", "secrets", str(tmp_path / "secrets"), "--kubernetes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(yaml.safe_load_all(done.stdout))) == len(SERVICES) + 2
    assert (tmp_path / OPERATOR / "bin" / "artdag").read_text().endswith('-m artdag_cli "$@"\n')
    assert (tmp_path / "secrets" / "gateway" / "DATABASE_URL").is_file()


@pytest.mark.parametrize("name", ["image.py", "sbom.py", "healthcheck.py"])
def test_what_runs_outside_of_the_environment_needs_nothing_of_it(name: str) -> None:
    tree = ast.parse((ROOT / "services" / name).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {each.partition(".")[0] for each in imported} <= sys.stdlib_module_names


def test_the_bill_of_materials_names_every_package_by_its_hash_and_what_it_brought() -> None:
    lock = locked("executor")
    installed = [each for each in distributions() if sbom.normal(each.metadata["Name"]) in lock]
    debian = "zlib1g\t1:1.2.13.dfsg-1\tamd64\nlibc6\t2.36-9+deb12u9\tamd64\n"
    parts = [*sbom.components(installed, lock), *sbom.of_debian(debian, "debian-12")]
    bill = sbom.bill("executor", parts)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    by_name = {part["name"]: part for part in bill["components"]}
    assert set(lock) <= by_name.keys()
    for name in lock:
        assert {each["value"] for each in by_name[name]["properties"]} == set(lock[name])
        assert by_name[name]["purl"].startswith(f"pkg:pypi/{name}@")
    brought = {part["name"] for part in by_name["av"]["components"]}
    assert any(name.startswith("libavcodec") for name in brought)
    assert all(len(part["hashes"][0]["content"]) == 64 for part in by_name["av"]["components"])
    assert by_name["libc6"]["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64&distro=debian-12"
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(references) == len(set(references))
    assert json.loads(json.dumps(bill)) == bill
