"""Slots: how many steps of a work class may be with executors at once, altogether and of each user.

Where a class has limits, a step needs a slot before it goes to the queue. Slots are rows in Postgres, taken in one
transaction for a batch, so that they hold for all planners together, and outlive each of them. A slot is given back
when its step has ended, or when nobody waits for the step any more. Both is read from what was committed, never from
one planner's memory: whoever dies when, the next look of any planner finds it.

A step that waits for its next attempt keeps its slot: it may come back from the queue without asking anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
import structlog

from artdag_common.errors import ArtdagError, ServiceUnavailableError
from artdag_common.eventstore.postgres import LOST
from artdag_common.turning import Loop

LOOK_SECONDS = 1.0
"""Seconds between two looks at slots whose step has ended, or that nobody waits for."""

UNSEEN_SECONDS = 10.0
"""How long a slot is kept for a step that no run was seen to wait for: steps are sent before that is committed."""

STOP_SECONDS = 5.0
"""How long an executor may go on with a step that nobody waits for before its slot is given to another."""

Left = tuple[str, str]
"""The cache id of a step that nobody waits for, after its work class."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Most:
    """How many steps may be with executors at once.

    Attributes:
        of_class: by work class, all users' together.
        of_user: by work class, of each user.
    """

    of_class: Mapping[str, int] = field(default_factory=dict)
    of_user: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.of_class or self.of_user)

    def limits(self, work_class: str) -> bool:
        """Return whether a step of this class needs a slot."""
        return work_class in self.of_class or work_class in self.of_user


@dataclass(frozen=True, slots=True)
class Claim:
    """A step that wants a slot.

    Attributes:
        user: whose turn it is; the slot counts for that user, whoever else waits for the step.
        version: of the step's stream; it has ended once there is an end beyond it.
    """

    cache_id: str
    user: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """The steps that have a slot now; ``full``: the class has none left, for nobody."""

    cache_ids: frozenset[str]
    full: bool = False


class Slots(Protocol):
    """Where slots are kept."""

    @property
    def most(self) -> Most:
        """The limits."""

    async def take(self, work_class: str, claims: Sequence[Claim]) -> Taken:
        """Take slots, in this order, as long as there are some. A step that has one keeps it.

        Raises:
            ServiceUnavailableError: nobody can tell now; none was taken.
        """

    async def held(self, cache_ids: Collection[str]) -> dict[str, str]:
        """Return which of these steps have a slot, and the user that each counts for."""

    async def give_back(self, cache_ids: Collection[str] | None = None, abandoned: bool = False) -> list[Left]:
        """Give back the slots of steps that have ended, or that nobody waits for; return the latter.

        An executor that is at a step keeps its slot until it has stopped, or :data:`STOP_SECONDS`.

        Args:
            cache_ids: only of these.
            abandoned: a run did wait for them, and nobody does now, as the caller just saw.
        """


class NoSlots:
    """Where there are no limits: nothing is asked of anybody."""

    most = Most()

    async def take(self, work_class: str, claims: Sequence[Claim]) -> Taken:
        """Grant everything."""
        return Taken(frozenset(claim.cache_id for claim in claims))

    async def held(self, cache_ids: Collection[str]) -> dict[str, str]:
        """Return nothing: no step needs one."""
        return {}

    async def give_back(self, cache_ids: Collection[str] | None = None, abandoned: bool = False) -> list[Left]:
        """There is nothing to give back."""
        return []


class PostgresSlots:
    """Slots in the table ``planner_slots``."""

    def __init__(self, pool: asyncpg.Pool, most: Most) -> None:
        self._pool = pool
        self.most = most

    async def take(self, work_class: str, claims: Sequence[Claim]) -> Taken:
        """See :class:`Slots`."""
        row = await self._ask(
            "SELECT taken, is_full FROM planner_take($1, $2, $3, $4, $5, $6)",
            work_class,
            [claim.cache_id for claim in claims],
            [claim.user for claim in claims],
            [claim.version for claim in claims],
            self.most.of_class.get(work_class, 0),
            self.most.of_user.get(work_class, 0),
        )
        return Taken(frozenset(row[0]["taken"]), row[0]["is_full"])

    async def held(self, cache_ids: Collection[str]) -> dict[str, str]:
        """See :class:`Slots`."""
        query = "SELECT cache_id, owner FROM planner_slots WHERE cache_id = ANY ($1::text[])"
        return {row["cache_id"]: row["owner"] for row in await self._ask(query, list(cache_ids))}

    async def give_back(self, cache_ids: Collection[str] | None = None, abandoned: bool = False) -> list[Left]:
        """See :class:`Slots`."""
        rows = await self._ask(
            "SELECT of_class, step FROM planner_give_back($1, $2, $3, $4)",
            None if cache_ids is None else list(cache_ids),
            abandoned,
            UNSEEN_SECONDS,
            STOP_SECONDS,
        )
        return [(row["of_class"], row["step"]) for row in rows]

    async def _ask(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            rows: list[asyncpg.Record] = await self._pool.fetch(query, *arguments)
        except (asyncpg.PostgresError, *LOST) as error:
            raise ServiceUnavailableError(f"slots cannot be read: {error}") from error
        return rows


class Looking(Loop):
    """Looks after slots, for whoever held them."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        """``look`` gives back the slots that are over, and sends what there is room for then."""
        self._look = look

    async def start(self) -> None:
        """Begin."""
        self._begin_loop(self._work(), "look after slots")

    async def _work(self) -> None:
        while True:
            try:
                await self._look()
            except ArtdagError as error:
                log.warning("slots are looked at later", error=error.message)
            await asyncio.sleep(LOOK_SECONDS)
