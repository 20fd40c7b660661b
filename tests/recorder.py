"""A recorder of spans that keeps them, in the place of one that hands them to a collector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from artdag_common import tracing
from artdag_common.tracing import Kind, Place, Value


@dataclass
class Recorded:
    """A span."""

    name: str
    kind: Kind
    place: Place
    above: Place | None
    links: list[str]
    attributes: dict[str, Value]
    error: str | None = None

    def set(self, attributes: Mapping[str, Value]) -> None:
        self.attributes |= attributes

    def rename(self, name: str) -> None:
        self.name = name

    def end(self, error: str) -> None:
        assert self.error is None, "it ends once"
        self.error = error


@dataclass
class Recorder:
    """Keeps spans in the order in which they began."""

    spans: list[Recorded] = field(default_factory=list)

    def begin(
        self, name: str, kind: Kind, above: Place | None, links: Iterable[Place], attributes: Mapping[str, Value]
    ) -> Recorded:
        place = Place(above.trace_id if above else f"{len(self.spans) + 1:032x}", f"{len(self.spans) + 1:016x}", 1)
        made = Recorded(name, kind, place, above, [str(each) for each in links], dict(attributes))
        self.spans.append(made)
        return made

    def close(self, seconds: float) -> None:
        raise AssertionError("nobody closes it here")


@contextmanager
def recording() -> Iterator[list[Recorded]]:
    """Record in the block, and give what is recorded."""
    recorder = Recorder()
    tracing.record(recorder)
    try:
        yield recorder.spans
    finally:
        tracing.record(None)
