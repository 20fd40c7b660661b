"""The audit trail's own part: refused requests, counted, an hour a stream. Everything else in it is events already.

What an attacker sends is never written down as it came: a refusal is told by the name of its error, the template of its
route, an opaque user id and a keyed hash of the address, and how many are told apart is bounded at each hand-over and
in each hour. Beyond the bounds refusals are still counted, by the name of the error alone.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from eventsourcing.domain import CanInitAggregate, CanMutateAggregate

from artdag_common.addresses import client_key
from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.errors import InvalidRequestError

HIDDEN = "hidden"
"""Code of what was answered as if there were nothing: somebody asked for what is another's, and not public."""

MOST_TOLD = 256
"""Refusals that one hand-over tells apart."""

MOST_AN_HOUR = 5000
"""Refusals that the stream of an hour tells apart, of all gateways together."""

MOST_CODES = 64
ANY = "*"
"""Route of refusals that are counted by their code alone."""

ADDRESS_DIGITS = 16
MOST_CHARACTERS = 200
CODE = re.compile("[a-z][a-z0-9-]{0,63}")
HOUR = "%Y-%m-%dT%H"
AHEAD = timedelta(hours=1)


class Letter(Protocol):
    """What the trail tells of a dead letter."""

    @property
    def id(self) -> int: ...
    @property
    def service(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def subject(self) -> str: ...


Party = tuple[str, str, str, str]
"""Code, route, user and address of a refusal: what has to be equal for two to be counted as one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Requests that were refused for one reason, at one place, to one party.

    Attributes:
        code: name of the error, kebab-case; :data:`HIDDEN` for what was answered as if there were nothing.
        route: method and template, ``DELETE /runs/{run_id}``; empty: refused before any route was looked for;
            :data:`ANY`: too many to be told apart, so user and address are empty too.
        user: opaque id of whoever the token belongs, or belonged, to; empty: nobody known.
        address: keyed hash of the address; see :func:`address_key`.
        count: how many.
        first_ms, last_ms: when the first and the last came, milliseconds since 1970.
    """

    code: str
    route: str
    user: str
    address: str
    count: int
    first_ms: int
    last_ms: int

    @property
    def party(self) -> Party:
        """What tells it from others."""
        return self.code, self.route, self.user, self.address


class Tally:
    """Refusals, counted. However many come, at most ``most`` are told apart, the first ones; and no count is lost."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._told = 0
        self._counted: dict[Party, tuple[int, int, int]] = {}

    def __len__(self) -> int:
        return len(self._counted)

    def add(self, party: Party, count: int, first_ms: int, last_ms: int) -> None:
        """Count requests that were refused to a party. Of more than :data:`MOST_CODES` codes the last pass for one."""
        if party not in self._counted and party[1] != ANY:
            if self._told < self._most:
                self._told += 1
            else:
                party = (party[0], ANY, "", "")
        if party not in self._counted and party[1] == ANY and len(self._counted) - self._told >= MOST_CODES:
            party = ("other", ANY, "", "")
        known, first, last = self._counted.get(party, (0, first_ms, last_ms))
        self._counted[party] = known + count, min(first, first_ms), max(last, last_ms)

    def add_all(self, refusals: Iterable[Refusal]) -> None:
        """Count what was counted before."""
        for each in refusals:
            self.add(each.party, each.count, each.first_ms, each.last_ms)

    def told(self) -> tuple[Refusal, ...]:
        """Return what was counted, in the order in which each was first seen."""
        return tuple(Refusal(*party, *counted) for party, counted in self._counted.items())


def address_key(key: bytes, address: str) -> str:
    """Return by what an address is known in the trail: 16 hexadecimal digits that tell nothing without ``key``.

    Of IPv6 the first 64 bits count, since whoever has one address of such a network has all of them.
    """
    return hmac.digest(key, client_key(address).encode("utf-8", "replace"), "sha256").hex()[:ADDRESS_DIGITS]


def hour_of(moment: datetime) -> str:
    """Return the key of the stream that holds an hour (UTC)."""
    return moment.strftime(HOUR)


def check_hand_over(hour: str, refusals: Iterable[Refusal], now: datetime) -> None:
    """Raise unless this is what a gateway hands over. It is checked here too, since what is stored stays for ever.

    Raises:
        InvalidRequestError: no such hour, or one to come; or a refusal that is not as :class:`Refusal` says.
    """
    try:
        begins = datetime.strptime(hour, HOUR).replace(tzinfo=now.tzinfo)
    except ValueError:
        begins = None
    if begins is None or hour_of(begins) != hour or begins > now + AHEAD:
        raise InvalidRequestError(f"hour: {hour[:40]!r} is not an hour that has begun, as {hour_of(now)} is")
    kept = list(refusals)
    if len(kept) > MOST_TOLD + MOST_CODES + 1:
        raise InvalidRequestError(f"refusals: {len(kept)} are more than {MOST_TOLD} to tell apart")
    for each in kept:
        texts = (each.route, each.user, each.address)
        if not CODE.fullmatch(each.code) or any(len(t) > MOST_CHARACTERS or not t.isprintable() for t in texts):
            raise InvalidRequestError("refusals: one has a code, route, user or address that no gateway gives it")
        if each.count < 1 or each.first_ms > each.last_ms:
            raise InvalidRequestError(f"refusals: {each.count} between {each.first_ms} and {each.last_ms} is no count")


def _begin_or_go_on(event: Any, audit: Any) -> Any:
    """Return the hour with one more event; None: it is the first one, and makes the aggregate."""
    init = CanInitAggregate.mutate if audit is None else CanMutateAggregate.mutate
    return init(event, audit)


@aggregate
class Audit(Aggregate, created_event_name="Refused"):
    """The refusals of an hour; the stream is ``audit-2026-11-22T04``. Appended by the auth service only."""

    TOPIC = "audit"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "audit.event"

    class Refused(Event, Creation):
        """A gateway refused requests, and counted them. The first such event of an hour begins the stream."""

        TOPIC: ClassVar[str] = "audit.refused"
        refusals: tuple[Refusal, ...]

        def mutate(self, audit: Any) -> Any:
            return _begin_or_go_on(self, audit)

        def apply(self, audit: Audit) -> None:
            audit.told += sum(1 for each in self.refusals if each.route != ANY)
            audit.count += sum(each.count for each in self.refusals)

    class LetterRetried(Event, Creation):
        """The operator sent a dead letter again. Like every event of an hour it may begin the stream.

        Attributes:
            letter: its id.
            service, name: who had given up, and on what.
            subject: where it came from, and went again.
            by: the operator.
        """

        TOPIC: ClassVar[str] = "audit.letter_retried"
        letter: int
        service: str
        name: str
        subject: str
        by: str

        def mutate(self, audit: Any) -> Any:
            return _begin_or_go_on(self, audit)

        def apply(self, audit: Audit) -> None:
            """Nothing to do: it is for the trail."""

    class LetterDropped(Event, Creation):
        """The operator dropped a dead letter. ``reason``: in the operator's words."""

        TOPIC: ClassVar[str] = "audit.letter_dropped"
        letter: int
        service: str
        name: str
        subject: str
        by: str
        reason: str

        def mutate(self, audit: Any) -> Any:
            return _begin_or_go_on(self, audit)

        def apply(self, audit: Audit) -> None:
            """Nothing to do: it is for the trail."""

    def __init__(self) -> None:
        self.told = 0  # refusals that are told apart
        self.count = 0  # requests that were refused

    @property
    def room(self) -> int:
        """How many more may be told apart in this hour."""
        return max(0, MOST_AN_HOUR - self.told)

    @classmethod
    def begin(cls, hour: str, refusals: Iterable[Refusal], now: datetime) -> Audit:
        """Note the first refusals of an hour."""
        return cls.create(Audit.Refused, hour, now, refusals=bounded(refusals, MOST_AN_HOUR))

    @classmethod
    def settle_letter(
        cls, audit: Audit | None, hour: str, letter: Letter, by: str, dropped: str | None, now: datetime
    ) -> Audit:
        """Note what the operator did with a dead letter, in the hour's stream, or with ``audit`` None as its first
        event. ``dropped``: why; None: it was sent again."""
        facts = {"letter": letter.id, "service": letter.service, "name": letter.name, "subject": letter.subject}
        facts |= {"by": by} if dropped is None else {"by": by, "reason": dropped[:MOST_CHARACTERS]}
        event: type[Creation] = Audit.LetterRetried if dropped is None else Audit.LetterDropped
        if audit is None:
            return cls.create(event, hour, now, **facts)
        audit.record(event, now, originator_topic=Audit.TOPIC, **facts)
        return audit

    def note(self, refusals: Iterable[Refusal], now: datetime) -> None:
        """Note further refusals."""
        self.record(Audit.Refused, now, originator_topic=Audit.TOPIC, refusals=bounded(refusals, self.room))


def bounded(refusals: Iterable[Refusal], most: int) -> tuple[Refusal, ...]:
    """Return refusals with at most ``most`` told apart."""
    tally = Tally(most)
    tally.add_all(refusals)
    return tally.told()
