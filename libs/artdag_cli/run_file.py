"""A run's CAR file, checked without a server: every byte, every event, and what they prove together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

from artdag_cli.replay import Replayed, rebuild
from artdag_common.cid import CidHasher, cid_bytes, cid_text, is_cid
from artdag_common.domain.run import Run
from artdag_common.errors import BrokenHistoryError, MalformedBlockError
from artdag_common.eventstore.excerpt import LINE_BYTES, Chained, checked, read_line
from artdag_common.eventstore.port import Recorded
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.ipld.car import CarFile
from artdag_common.ipld.folders import Entry, content, entries
from artdag_common.run_archive import (
    EVENTS,
    MANIFEST,
    Item,
    Manifest,
    check_names,
    content_path,
    differences,
    read_json,
    read_manifest,
    sources_of,
    streams,
)

MANIFEST_BYTES = 256 << 20
RECORD_BYTES = 16 << 20
SPOOL_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run's file that proves what it states.

    Attributes:
        files: what is in the folder, by path.
        events: of the run, its steps and its recipe, in the order of the log.
    """

    root: str
    manifest: Manifest
    files: Mapping[str, Entry]
    events: Sequence[Recorded]
    run: Run

    @property
    def missing(self) -> list[Item]:
        """Content that the run names and the file does not contain."""
        return [item for item in self.manifest.content if item.size_bytes is None]


class _History:
    """Events by stream, as an event store gives them."""

    def __init__(self, events: Sequence[Recorded]) -> None:
        self._streams: dict[str, list[Recorded]] = {}
        for event in events:
            self._streams.setdefault(event.stream, []).append(event)

    def streams(self) -> set[str]:
        """Return the names of all streams."""
        return set(self._streams)

    async def load(self, stream: str, upto: int | None = None) -> list[Recorded]:
        """See :class:`EventStore`."""
        return [r for r in self._streams.get(stream, ()) if upto is None or r.position <= upto]


async def verify(car: CarFile, progress: Callable[[int], object] = lambda done: None) -> RunFile:
    """Check a run's file, whose blocks hash to their CIDs already; ``progress``: bytes of content done.

    Raises:
        MalformedBlockError: it is no file of a run, or a block is missing.
        BrokenHistoryError: what is in it does not fit together; the message says what.
    """
    if len(car.roots) != 1:
        raise MalformedBlockError(f"a run's file has one root, this one {len(car.roots)}")
    found = {each.path: each for each in entries(car.get, car.roots[0]) if each.kind != "folder"}
    for name in (MANIFEST, EVENTS):
        if name not in found:
            raise MalformedBlockError(f"no run's file: there is no {name} in it (`artdag cache import` takes any CAR)")
    manifest = read_manifest(read(car, found[MANIFEST], MANIFEST_BYTES))
    _check_content(car, found, manifest, progress)
    events = _events(car, found[EVENTS], manifest)
    replayed = await _replayed(events, manifest)
    check_names(manifest, replayed.run, sources_of(events), _record(car, found, replayed.run))
    return RunFile(cid_text(car.roots[0]), manifest, found, events, replayed.run)


def read(car: CarFile, entry: Entry, most: int) -> bytes:
    """Return a small file.

    Raises:
        MalformedBlockError: it has more than ``most`` bytes.
    """
    if entry.size > most:
        raise MalformedBlockError(f"{entry.path} has {entry.size} bytes; at most {most} are read")
    return b"".join(content(car.get, entry.cid))


def _check_content(
    car: CarFile, found: Mapping[str, Entry], manifest: Manifest, progress: Callable[[int], object]
) -> None:
    """Compare the files with the list of them; read each to its end, so that none lacks a part."""
    listed = {}
    for item in manifest.content:
        if not is_cid(item.cid):
            raise BrokenHistoryError(f"{MANIFEST} lists {item.cid[:80]!r}, which is no CID")
        if item.size_bytes is not None:
            listed[content_path(item.cid)] = item
    if set(found) != {*listed, MANIFEST, EVENTS}:
        odd = sorted(set(found) ^ {*listed, MANIFEST, EVENTS})
        raise BrokenHistoryError(f"{MANIFEST} and the files do not agree on {', '.join(odd[:3])}")
    done = 0
    for path, item in listed.items():
        entry = found[path]
        if entry.kind != "file" or entry.size != item.size_bytes or entry.cid != cid_bytes(item.cid, 0):
            raise BrokenHistoryError(f"{path} is not the {item.size_bytes} bytes that {MANIFEST} lists")
        hasher = CidHasher()
        for data in content(car.get, entry.cid):
            hasher.update(data)
            done += len(data)
            progress(done)
        if hasher.cid() != item.cid:
            raise BrokenHistoryError(f"{path} is cut into other blocks than content is here")


def _events(car: CarFile, entry: Entry, manifest: Manifest) -> list[Recorded]:
    last: list[Chained] = []

    def lines() -> Iterator[Chained]:
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
            for data in content(car.get, entry.cid):
                file.write(data)
            file.seek(0)
            while line := cast(IO[bytes], file).readline(LINE_BYTES):
                last[:] = [read_line(line)]
                yield last[0]

    events = checked(lines())
    if not last or (last[0].event.position, last[0].hash.hex()) != (manifest.position, manifest.head):
        raise BrokenHistoryError(f"{EVENTS} does not end at position {manifest.position}, as {MANIFEST} states")
    return events


async def _replayed(events: Sequence[Recorded], manifest: Manifest) -> Replayed:
    history = _History(events)
    if Run.stream(manifest.run_id) not in history.streams():
        raise BrokenHistoryError(f"{EVENTS} has no events of run {manifest.run_id}")
    replayed = await rebuild(cast(PostgresEventStore, history), manifest.run_id, None)
    if strange := history.streams() - set(streams(replayed.run)):
        raise BrokenHistoryError(f"{EVENTS} has events that are not the run's: {min(strange)}")
    if found := differences(manifest.state, replayed.summary()):
        raise BrokenHistoryError(f"the events lead to another state than {MANIFEST} states: {'; '.join(found[:3])}")
    return replayed


def _record(car: CarFile, found: Mapping[str, Entry], run: Run) -> Any:
    """Return the run's provenance record; None: it is not in the file."""
    path = content_path(run.provenance_cid)
    if not run.provenance_cid or path not in found:
        return None
    return read_json(run.provenance_cid, read(car, found[path], RECORD_BYTES))
