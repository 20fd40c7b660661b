"""What is in an image, as a bill of materials (CycloneDX 1.6, JSON): ``python services/sbom.py SERVICE LOCK``.

Lists the packages of the environment that runs it with the hashes that they were installed by, the libraries that their
wheels bring along, and the packages of Debian. Standard library only.
"""

from __future__ import annotations

import base64
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)|--hash=sha256:([0-9a-f]{64})", re.MULTILINE)
BUNDLED = re.compile(r"^[^/]+\.libs/[^/]+$")
"""Where a wheel keeps shared libraries that it was linked to."""

DEBIAN = "${Package}\t${Version}\t${Architecture}\n"


def normal(name: str) -> str:
    """Return a package's name as indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, list[str]]:
    """Return the SHA-256 of the files that each package may be installed from, by name, of a lock file."""
    found: dict[str, list[str]] = {}
    hashes: list[str] = []
    for name, _, digest in LOCKED.findall(text):
        if name:
            hashes = found.setdefault(normal(name), [])
        else:
            hashes.append(digest)
    return found


def components(installed: Iterable[Distribution], hashes: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Yield the packages of Python, each with the libraries that came with it."""
    for each in sorted(installed, key=lambda one: normal(one.metadata["Name"])):
        name = normal(each.metadata["Name"])
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{each.version}",
            "name": name,
            "version": each.version,
            "purl": f"pkg:pypi/{name}@{quote(each.version)}",
        }
        facts = each.metadata.json
        if expression := facts.get("license_expression"):
            component["licenses"] = [{"expression": expression}]
        elif (licence := str(facts.get("license", ""))) and "\n" not in licence:
            component["licenses"] = [{"license": {"name": licence}}]
        if name in hashes:
            component["properties"] = [{"name": "artdag:locked-sha256", "value": digest} for digest in hashes[name]]
        if bundled := list(_bundled(each)):
            component["components"] = bundled
        yield component


def _bundled(package: Distribution) -> Iterator[dict[str, Any]]:
    for file in package.files or ():
        if BUNDLED.match(file.as_posix()) and file.hash and file.hash.mode == "sha256":
            value = file.hash.value
            digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
            yield {"type": "file", "name": file.name, "hashes": [{"alg": "SHA-256", "content": digest}]}


def of_debian(listed: str, release: str) -> Iterator[dict[str, Any]]:
    """Yield the packages of Debian, from what ``dpkg-query`` lists with :data:`DEBIAN`."""
    for line in sorted(listed.splitlines()):
        name, version, architecture = line.split("\t")
        purl = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={architecture}&distro={release}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def bill(service: str, parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the bill of materials of a service's image. Two builds of the same give the same."""
    interpreter = platform.python_version()
    python = {"type": "platform", "bom-ref": f"cpython@{interpreter}", "name": "cpython", "version": interpreter}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": f"artdag-{service}", "name": f"artdag/{service}"}},
        "components": [python, *parts],
    }


def main(service: str, lock: Path) -> None:
    """Print the bill of materials of the environment and the system that this runs in."""
    facts = platform.freedesktop_os_release()
    listed = subprocess.run(["dpkg-query", "-W", "-f", DEBIAN], capture_output=True, text=True, check=True).stdout
    release = f"{facts['ID']}-{facts['VERSION_ID']}"
    parts = [*components(distributions(), locked(lock.read_text())), *of_debian(listed, release)]
    json.dump(bill(service, parts), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
