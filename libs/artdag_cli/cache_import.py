"""Many files on their way in: what of a folder or a CAR file is taken, under which names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from artdag_cli.client import Client
from artdag_cli.printing import plain
from artdag_common.cid import Dag, cid_bytes, cid_text
from artdag_common.errors import FolderTooLargeError, MalformedBlockError
from artdag_common.ipld.car import CarFile
from artdag_common.ipld.folders import Entry, content, entries
from artdag_common.ipld.unixfs import Tree, folder, known_file

NAME_CHARACTERS = 200
SPARE_BYTES = 1 << 30
EXPANSION = 4
"""A CAR file may stand for at most this many times its own bytes, and ``SPARE_BYTES``: what repeats is in it once, so a
small file could stand for endless content."""

Told = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Taken:
    """A file to upload: where it is, its path in what is imported, and what it will be called."""

    path: Path
    place: str
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that is stored now. ``was``: its CID in the CAR it came from, where that is another one."""

    place: str
    name: str
    cid: str
    size_bytes: int
    was: str = ""


@dataclass(slots=True)
class Selection:
    """What of a folder is taken, and what is not, with the reason."""

    files: list[Taken] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    links: bool = False
    skipped: dict[str, str] = field(default_factory=dict)


def select(root: Path) -> Selection:
    """Look through a folder: everything but hidden files, what lies outside, and what is no file."""
    chosen = Selection()
    real = root.resolve()
    _look(real, real, chosen)
    return chosen


def _look(folder: Path, root: Path, chosen: Selection) -> None:
    taken = 0
    for path in sorted(folder.iterdir(), key=lambda each: os.fsencode(each.name)):
        place = path.relative_to(root).as_posix()
        reason = _objection(path, place, root)
        if reason:
            chosen.skipped[place] = reason
            taken += reason != HIDDEN
            chosen.links |= path.is_symlink()
            continue
        taken += 1
        chosen.links |= path.is_symlink()
        if path.is_dir():
            _look(path, root, chosen)
        else:
            chosen.files.append(Taken(path, place, place, path.stat().st_size))
    if not taken and folder != root:
        chosen.empty.append(folder.relative_to(root).as_posix())


HIDDEN = "hidden"


def _objection(path: Path, place: str, root: Path) -> str:
    """Return why something is not taken; empty: it is."""
    if path.name.startswith("."):
        return HIDDEN
    if path.is_symlink():
        target = path.resolve()
        if not target.is_relative_to(root):
            return f"a link that leaves the folder, to {target}"
        if not target.is_file():
            return "a link to what is no file"
        if any(part.startswith(".") for part in target.relative_to(root).parts):
            return "a link to what is hidden"
    if not path.is_dir() and not path.is_file():
        return "neither file nor folder"
    return "" if path.is_dir() else unfit(place)


def unfit(name: str) -> str:
    """Return why content cannot be called this; empty: it can."""
    if len(name) > NAME_CHARACTERS:
        return f"its path has more than {NAME_CHARACTERS} characters"
    return "" if name.isprintable() else "its path has characters that cannot be printed"


def folder_cid(chosen: Selection, stored: list[Uploaded]) -> str | None:
    """Return what ``ipfs add -r`` calls the folder; None: not all of it is uploaded, or it is too large for a block."""
    if chosen.links or any(reason != HIDDEN for reason in chosen.skipped.values()):
        return None
    tree, nothing = Tree(), folder({})[0]
    for each in stored:
        tree.add(each.place, known_file(cid_bytes(each.cid, 0), each.size_bytes))
    for place in chosen.empty:
        tree.add(place, nothing)
    try:
        dag: Dag = tree.build(lambda block: None)
    except FolderTooLargeError:
        return None
    return dag.cid


def upload_files(client: Client, files: list[Taken], told: Told) -> Iterator[Uploaded]:
    """Upload one by one; ``told``: bytes done in all."""
    done = 0
    for each in files:
        cid = client.upload(each.path, each.name)
        done += each.size_bytes
        told(done)
        yield Uploaded(each.place, each.name, cid, each.size_bytes)


def files_in(car: CarFile, size: int, name: str, skipped: dict[str, str]) -> list[Entry]:
    """Return the files of a CAR, with their paths; a root that is a file gets ``name``.

    Args:
        size: bytes of the CAR file.
        skipped: is told what is not taken, and why.

    Raises:
        MalformedBlockError: it is not made of files and folders, or stands for too many bytes.
    """
    found: list[Entry] = []
    several = len(car.roots) > 1
    for number, root in enumerate(car.roots, 1):
        for each in entries(car.get, root):
            place = each.path or (f"{name}-{number}" if several else name)
            if each.kind == "symlink":
                skipped[place] = "a link"
            elif each.kind == "file" and unfit(place):
                skipped[place] = unfit(place)
            elif each.kind == "file":
                found.append(Entry(place, each.cid, "file", each.size))
    stands_for, most = sum(each.size for each in found), EXPANSION * size + SPARE_BYTES
    if stands_for > most:
        raise MalformedBlockError(f"a CAR file of {size} bytes that stands for {stands_for}; at most {most} are taken")
    return found


def upload_entries(client: Client, car: CarFile, found: list[Entry], told: Told) -> Iterator[Uploaded]:
    """Upload files of a CAR one by one, by way of a temporary file; ``told``: bytes done in all."""
    done = 0
    for each in found:
        with unfolded(car, each) as path:
            cid = client.upload(path, each.path)
        done += each.size
        told(done)
        was = cid_text(each.cid)
        yield Uploaded(each.path, each.path, cid, each.size, was if was != cid else "")


@contextmanager
def unfolded(car: CarFile, entry: Entry) -> Iterator[Path]:
    """Give a file of a CAR as a temporary file."""
    with tempfile.NamedTemporaryFile(prefix="artdag-") as file:
        for data in content(car.get, entry.cid):
            file.write(data)
        file.flush()
        yield Path(file.name)


@contextmanager
def bar(title: str, total: int, console: Console, quiet: bool) -> Iterator[Told]:
    """Show bytes done, on a terminal; gives the function that is told of them."""
    if quiet or not console.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(plain(title), total=total or None)
        yield lambda done: progress.update(task, completed=done)
