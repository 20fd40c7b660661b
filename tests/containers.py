"""Containers as tests look at them without running any: what compose makes of its files, and what is in an image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from artdag_cli.system import ROOT
from services import image, sbom

COMPOSE, MONITORING, S3 = "docker-compose.yml", "docker-compose.monitoring.yml", "docker-compose.s3.yml"
MOUNTED = "/run/secrets/"
PYTHON = re.findall(r"^FROM python:([0-9.]+)-", (ROOT / "services" / "Dockerfile").read_text(), re.MULTILINE)[0]
"""Version of the images' Python."""

PACKAGES = Path(sysconfig.get_path("purelib"))


def program(name: str) -> str:
    """Return the path of a program that a package of the test environment brought."""
    return str(Path(sys.executable).with_name(name))


def composed(*files: str, **environment: str) -> dict[str, Any]:
    """Return what compose makes of its files, everything resolved, with no other environment than this."""
    command = [program("docker-compose"), "--project-name", "artdag", "--project-directory", str(ROOT)]
    for name in files or (COMPOSE,):
        command += ["--file", str(ROOT / name)]
    command += ["--env-file", os.devnull, "config", "--format", "json"]
    known = {"PATH": os.defpath, "HOME": os.devnull, **environment}
    made = subprocess.run(command, capture_output=True, text=True, env=known, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def settings_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that compose gives a service; what is empty is left out, as the services do."""
    return {name: value for name, value in (service.get("environment") or {}).items() if value not in (None, "")}


def secret_files(config: Mapping[str, Any], service: str) -> dict[str, Path]:
    """Return the files that compose mounts for a service as secrets, by the name that it knows them by."""
    mounted = config["services"][service].get("secrets") or []
    return {
        (each.get("target") or each["source"]).removeprefix(MOUNTED): Path(config["secrets"][each["source"]]["file"])
        for each in mounted
    }


def lock_of(service: str) -> Path:
    """Return the file with the packages of a service's image."""
    return ROOT / "services" / service / "requirements.lock"


def locked(service: str) -> dict[str, list[str]]:
    """Return the packages of a service's image, with the hashes of their files."""
    return sbom.locked(lock_of(service).read_text())


def built(service: str, folder: Path) -> dict[str, str]:
    """Lay out an image's content in a folder, with the packages of its lock and no others; return its environment.

    The packages are those that are installed here, linked to.
    """
    (folder / "bin").mkdir(parents=True)
    image.lay_out(service, ROOT, folder)
    packages = folder / "packages"
    _link([*locked(service), *_of_an_older_python()], packages)
    path = [folder / "app", folder / "app" / "libs", packages]
    return {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}


def _of_an_older_python() -> list[str]:
    """Return the packages that the images' Python can do without, and the one that runs these tests cannot."""
    lines = [line.rstrip(" \\") for line in (ROOT / "requirements.lock").read_text().splitlines() if " ; " in line]
    found = [Requirement(line) for line in lines]
    of_images = {"python_full_version": PYTHON, "python_version": PYTHON.rpartition(".")[0]}
    return [
        sbom.normal(each.name)
        for each in found
        if each.marker and each.marker.evaluate() and not each.marker.evaluate(of_images)
    ]


def _link(names: Iterable[str], folder: Path) -> None:
    folder.mkdir()
    missing = sorted(set(names) - _installed().keys())
    assert not missing, f"not installed here, so that nothing can be said of them: {missing}"
    owners = Counter(top for files in _installed().values() for top in files)
    for name in names:
        for top, files in _installed()[name].items():
            if owners[top] == 1:
                (folder / top).symlink_to(PACKAGES / top)
                continue
            for file in files:  # several packages share that folder
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(PACKAGES / file)


@cache
def _installed() -> dict[str, dict[str, list[str]]]:
    """Return the files of the installed packages, by package and the first part of their path."""
    found: dict[str, dict[str, list[str]]] = {}
    for package in distributions(path=[str(PACKAGES)]):
        tops: dict[str, list[str]] = defaultdict(list)
        for line in (package.read_text("RECORD") or "").splitlines():
            file = line.rsplit(",", 2)[0].strip('"')
            top = file.partition("/")[0]
            if top not in ("..", "__pycache__", "") and not top.endswith(".pth"):
                tops[top].append(file)
        found[sbom.normal(package.metadata["Name"])] = tops
    return found
