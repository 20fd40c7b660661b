"""Given these events, when this is decided, then these events happen: aggregates tested as sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar, cast, get_type_hints

from artdag_common.codec import ENVELOPE, decode_event, encode_event
from artdag_common.domain.aggregate import Aggregate, Creation, DomainEvent
from artdag_common.errors import ArtdagError

A = TypeVar("A", bound=Aggregate)
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
BLANKS: dict[Any, Any] = {int: 0, bool: False}


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """An event with the facts that matter to a sentence; the others are made up, or not looked at."""

    event: type[DomainEvent]
    facts: dict[str, Any]


def fact(event: type[DomainEvent], **facts: Any) -> Fact:
    """Return ``event`` with these facts, for :meth:`Scenario.given` and :meth:`Scenario.then`."""
    unknown = facts.keys() - {field.name for field in dataclasses.fields(cast(Any, event))}
    if unknown:
        raise TypeError(f"{event.type_name} has no {', '.join(sorted(unknown))}")
    return Fact(event, facts)


def replay(events: Sequence[DomainEvent]) -> Any:
    """Return the aggregate that the stored bytes of these events make."""
    state: Any = None
    for event in events:
        stored = encode_event(event)
        again = decode_event(event.type_name, event.originator_id, event.originator_version, stored)
        state = again.mutate(state)
    return state


class Scenario(Generic[A]):
    """One sentence about an aggregate::

    Scenario(Run, Run.Requested).given(Run.Completed).when(Run.cancel, "enough").raises(RunAlreadyFinishedError)
    """

    def __init__(self, cls: type[A], created: type[Creation], key: str = "1") -> None:
        """``created`` begins the history, unless :meth:`given` begins with such an event itself."""
        self._cls = cls
        self._created = created
        self._key = key
        self._history: list[DomainEvent] = []
        self._new: list[DomainEvent] = []
        self._state: A | None = None
        self._error: ArtdagError | None = None

    @property
    def state(self) -> A:
        """The aggregate as it is now."""
        if self._state is None:
            self.given()
        assert self._state is not None
        return self._state

    def given(self, *events: type[DomainEvent] | Fact) -> Self:
        """Let these events have happened."""
        facts = [event if isinstance(event, Fact) else Fact(event, {}) for event in events]
        if self._state is None:
            first = facts.pop(0) if facts and issubclass(facts[0].event, Creation) else Fact(self._created, {})
            created = cast("type[Creation]", first.event)
            self._state = self._cls.create(created, self._key, NOW, **_complete(first))
        for each in facts:
            again = {"originator_topic": self._cls.TOPIC} if issubclass(each.event, Creation) else {}
            self._state.record(each.event, NOW, **again, **_complete(each))
        self._history += cast("Sequence[DomainEvent]", self._state.collect_events())
        return self

    def when(self, decision: Callable[..., Any], *arguments: Any, **named: Any) -> Self:
        """Decide: ``decision`` is a method of the aggregate that takes the time as ``now``."""
        state = self.state
        try:
            decision(state, *arguments, **{"now": NOW, **named})
        except ArtdagError as error:
            self._error = error
        self._new = list(cast("Sequence[DomainEvent]", state.collect_events()))
        self._history += self._new
        return self

    def then(self, *expected: type[DomainEvent] | Fact) -> Self:
        """Expect exactly these events, and that their stored bytes give the same state again."""
        if self._error is not None:
            raise AssertionError(f"refused: {self._error.message}") from self._error
        facts = [event if isinstance(event, Fact) else Fact(event, {}) for event in expected]
        assert [type(event).type_name for event in self._new] == [each.event.type_name for each in facts]
        for event, each in zip(self._new, facts, strict=True):
            found = {name: getattr(event, name) for name in each.facts}
            assert found == each.facts, f"{event.type_name}: {found} instead of {each.facts}"
        assert replay(self._history) == self._state, "the stored events give another state"
        return self

    def nothing(self) -> Self:
        """Expect that nothing happened."""
        return self.then()

    def raises(self, error: type[ArtdagError]) -> ArtdagError:
        """Expect a refusal that changed nothing; give it back."""
        if not isinstance(self._error, error):
            raise AssertionError(f"expected {error.__name__}, not {self._error!r}") from self._error
        assert not self._new, f"refused, but {[event.type_name for event in self._new]} happened"
        return self._error


def _complete(given: Fact) -> dict[str, Any]:
    """Return all facts of an event: text is named after its field, numbers are 0, lists empty."""
    hints = get_type_hints(given.event)
    facts = dict(given.facts)
    for field in dataclasses.fields(cast(Any, given.event)):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in ENVELOPE and field.name not in facts:
            kind = hints[field.name]
            facts[field.name] = field.name if kind is str else BLANKS.get(kind, ())
    return facts
