"""What planners read and write about slots, as a model: who waits for steps, how their streams go on, who has slots."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.planner import slots
from services.planner.slots import Claim, Left, Most, Taken

ENDED = ("StepCompleted", "StepFailed")


@dataclass
class Slot:
    """A row of ``planner_slots``; times in seconds."""

    work_class: str
    user: str
    version: int
    wanted: bool
    taken_at: float
    left_at: float | None = None


@dataclass
class Books:
    """What is committed. ``streams``: the types of a step's events."""

    now: float = 0.0
    waits: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    streams: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    slots: dict[str, Slot] = field(default_factory=dict)


class ModelSlots:
    """Slots as :class:`services.planner.slots.Slots` describes them."""

    def __init__(self, books: Books, most: Most) -> None:
        self.books = books
        self.most = most

    async def take(self, work_class: str, claims: Sequence[Claim]) -> Taken:
        """See :class:`services.planner.slots.Slots`."""
        kept = self.books.slots
        for cache_id in [claim.cache_id for claim in claims if claim.cache_id in kept]:
            if self.books.streams[cache_id][kept[cache_id].version :][-1:] in [[kind] for kind in ENDED]:
                del kept[cache_id]
            else:
                kept[cache_id].wanted = bool(self.books.waits[cache_id])
                kept[cache_id].taken_at, kept[cache_id].left_at = self.books.now, None
        taken = {claim.cache_id for claim in claims if claim.cache_id in kept}
        most, of_user = (each.get(work_class, 1 << 30) for each in (self.most.of_class, self.most.of_user))
        out = Counter(slot.user for slot in kept.values() if slot.work_class == work_class)
        for claim in claims:
            if claim.cache_id not in taken and out.total() < most and out[claim.user] < of_user:
                wanted = bool(self.books.waits[claim.cache_id])
                kept[claim.cache_id] = Slot(work_class, claim.user, claim.version, wanted, self.books.now)
                taken.add(claim.cache_id)
                out[claim.user] += 1
        return Taken(frozenset(taken), out.total() >= most)

    async def held(self, cache_ids: Collection[str]) -> dict[str, str]:
        """See :class:`services.planner.slots.Slots`."""
        return {c: self.books.slots[c].user for c in cache_ids if c in self.books.slots}

    async def give_back(self, cache_ids: Collection[str] | None = None, abandoned: bool = False) -> list[Left]:
        """See :class:`services.planner.slots.Slots`."""
        left: list[Left] = []
        for cache_id, slot in sorted(self.books.slots.items()):
            if cache_ids is not None and cache_id not in cache_ids:
                continue
            waited = bool(self.books.waits[cache_id])
            later = self.books.streams[cache_id][slot.version :]
            latest = later[-1] if later else ""
            unseen = self.books.now - slot.taken_at > slots.UNSEEN_SECONDS
            if latest in ENDED:
                del self.books.slots[cache_id]
            elif not waited and (slot.wanted or abandoned or unseen):
                late = slot.left_at is not None and self.books.now - slot.left_at > slots.STOP_SECONDS
                if latest != "StepStarted" or late:
                    del self.books.slots[cache_id]
                elif slot.left_at is None:
                    slot.wanted, slot.left_at = True, self.books.now
                left.append((slot.work_class, cache_id))
            elif waited:
                slot.wanted, slot.left_at = True, None
        return left
