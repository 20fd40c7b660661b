"""What an isolated process gets to see: Python, the packages it is offered, and the files it is given. Nothing else."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from artdag_common.isolation import landlock

OFFERED = ("numpy", "av")
"""Packages that isolated code may import, beside Python's own."""
SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")
"""Where the C library and what Python links to are."""
PACKAGE = Path(__file__).parents[1]
TMP = Path("/scratch")
"""Where the temporary folder is in a namespace of its own."""


@dataclass(frozen=True, slots=True)
class View:
    """Paths, the same inside and outside.

    Attributes:
        read: files and folders to read.
        listed: folders whose entries may be listed: Python looks there for packages.
        write: files to write.
    """

    read: tuple[Path, ...]
    listed: tuple[Path, ...]
    write: tuple[Path, ...]

    def rules(self, tmp: Path) -> list[tuple[str, int]]:
        """Return the Landlock rules for it, with the temporary folder."""
        rules = [(str(path), landlock.READING) for path in self.read]
        rules += [(str(path), landlock.LISTING) for path in self.listed]
        rules += [(str(path), landlock.WRITING_FILE) for path in self.write]
        rules += [("/dev/null", landlock.WRITING_FILE), ("/dev/urandom", landlock.READING)]
        return [*rules, (str(tmp), landlock.WRITING)]


@cache
def offered() -> dict[str, str]:
    """Return the versions of the packages that isolated code may import, by name, as far as they are here."""
    found = {}
    for name in OFFERED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def view(inputs: Sequence[Path] = (), outputs: Sequence[Path] = ()) -> View:
    """Return what is needed to run Python with the packages offered, to read ``inputs`` and to write ``outputs``."""
    packages = [path for name in OFFERED for path in _package(name)]
    read = [*_python(), *packages, PACKAGE / "__init__.py", PACKAGE / "isolation", *inputs]
    listed = [PACKAGE.parent, *dict.fromkeys(path.parent for path in packages)]
    return View(tuple(read), tuple(listed), tuple(outputs))


def interpreter() -> Path:
    """Return the Python program itself, not the link to it in an environment."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined]


def search_path() -> list[str]:
    """Return where isolated code finds packages."""
    return list(dict.fromkeys(str(path.parent) for name in OFFERED for path in _package(name)))


@cache
def _python() -> tuple[Path, ...]:
    paths = [interpreter(), Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib"))]
    paths.append(Path(str(sysconfig.get_config_var("LIBDIR")), str(sysconfig.get_config_var("INSTSONAME"))))
    paths += map(Path, SYSTEM)
    return tuple(path for path in dict.fromkeys(paths) if path.exists())


@cache
def _package(name: str) -> tuple[Path, ...]:
    """Return the folders of a package: its own, and that of the libraries that its wheel brings."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent
    return tuple(path for path in (folder, folder.with_name(f"{name}.libs")) if path.exists())
