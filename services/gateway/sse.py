"""The live stream: one hub per process feeds every client of every run, in the order of positions.

A run's stream holds the events of the run and, from the moment they are planned, of the steps it needs. What a client
missed comes from a ring of encoded frames, older things from the event store; both are cut at the same position, so
that nothing is lost or doubled where they meet.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Collection, Container, Sequence
from typing import Any

import orjson

from artdag_common import metrics
from artdag_common.codec import ENVELOPE
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.eventstore.port import EventStore
from services.gateway.projections.fact import Fact, fact
from services.gateway.sessions import Session

RING = 5000
BACKLOG = 1000
PING_SECONDS = 15.0
PING = b": ping\n\n"
ENDINGS = (Run.Completed, Run.Failed, Run.Cancelled, Run.Deleted)


def facts_of(event: DomainEvent) -> dict[str, Any]:
    """Return what an event says beside its envelope, by field name."""
    fields = dataclasses.fields(event)  # type: ignore[arg-type]  # events become dataclasses by their metaclass
    return {f.name: getattr(event, f.name) for f in fields if f.name not in ENVELOPE}


def cloud_event(fact: Fact) -> dict[str, Any]:
    """Return an event as a CloudEvent in JSON terms; ``position`` is an extension attribute."""
    recorded = fact.recorded
    return {
        "specversion": "1.0",
        "id": str(recorded.event_id),
        "source": "/artdag",
        "type": f"artdag.v1.{recorded.type}",
        "subject": recorded.stream,
        "time": recorded.recorded_at.isoformat(),
        "datacontenttype": "application/json",
        "position": recorded.position,
        "data": facts_of(fact.event) if fact.event else {},
    }


def frame(fact: Fact) -> bytes:
    """Return an event as it is sent: ``id`` is its position, ``event`` its type."""
    body = orjson.dumps(cloud_event(fact))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (fact.position, fact.recorded.type.encode(), body)


def progress_frame(node: str, step: int, done: int, total: int) -> bytes:
    """Return a step's progress as it is sent: without ``id``, since it is not stored."""
    body = orjson.dumps({"node": node, "step": step, "done": done, "total": total})
    return b"event: progress\ndata: %s\n\n" % body


class Subscriber:
    """One client: what it has yet to be sent. ``session``: what it is signed in by; None: it is not."""

    def __init__(self, session: Session | None = None) -> None:
        self.session = session
        self._frames: deque[bytes] = deque()
        self._more = asyncio.Event()
        self.closed = False
        self.cut = False

    def push(self, frames: Sequence[bytes]) -> None:
        """Give frames to send; a client that is too far behind is cut instead, and resumes by Last-Event-ID."""
        if len(self._frames) > BACKLOG:
            self.cut = True
            self.close()
        elif not self.closed:
            self._frames.extend(frames)
            self._more.set()

    def sign_out(self) -> None:
        """End the stream at once: what it is signed in by counts no more."""
        self.cut = True
        self.close()

    def left(self, seconds: float) -> float:
        """Return how long the session lasts, up to ``seconds``; ends the stream if it is over."""
        if self.session is None or not self.session.expires_at:
            return seconds
        rest = self.session.expires_at - time.time()
        if rest <= 0:
            self.sign_out()
        return max(0.0, min(seconds, rest))

    def close(self) -> None:
        """Let the stream end after what it holds; at once if the client was cut."""
        if self.cut:
            self._frames.clear()
        self.closed = True
        self._more.set()

    async def next(self, timeout: float) -> bytes:
        """Return all frames that wait, joined; a ping after ``timeout`` seconds; nothing at the end."""
        if not self._frames and not self.closed:
            try:
                await asyncio.wait_for(self._more.wait(), timeout)
            except TimeoutError:
                return PING
        self._more.clear()
        joined = b"".join(self._frames)
        self._frames.clear()
        return joined


class Channel:
    """One run's stream while somebody listens.

    Attributes:
        planned: cache ids of the steps whose events belong to the run from now on, in order.
        elsewhere: the run was imported: what happens here to steps of the same cache ids is not its.
        floor: all frames after this position are in the ring.
        ended: position of the event that ends the stream, 0 before.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.stream = Run.stream(run_id)
        self.planned: dict[str, None] = {}
        self.elsewhere = False
        self.ring: deque[tuple[int, bytes]] = deque()
        self.floor = 0
        self.ended = 0
        self.subscribers: set[Subscriber] = set()
        self.held: list[Fact] | None = []  # events that came while the past was being read
        self.loading: asyncio.Task[None] | None = None
        self.users = 0

    def take(self, facts: Sequence[Fact]) -> list[str]:
        """Take the next events in, send those that belong to the run, and return the cache ids it newly needs."""
        if self.held is not None:
            self.held.extend(facts)
            return []
        frames: list[bytes] = []
        known = len(self.planned)
        for each in facts:
            if not self.ended and self.accepts(each):
                encoded = frame(each)
                frames.append(encoded)
                self.ring.append((each.position, encoded))
        while len(self.ring) > RING:
            self.floor = self.ring.popleft()[0]
        for subscriber in self.subscribers:
            if frames:
                subscriber.push(frames)
            if self.ended:
                subscriber.close()
        return list(self.planned)[known:]

    def accepts(self, fact: Fact) -> bool:
        """Return whether an event belongs to the run; has to see the run's events in order."""
        if fact.event is None:
            return False
        if fact.stream != self.stream:
            return fact.key in self.planned
        if isinstance(fact.event, Run.Requested):
            self.elsewhere = bool(fact.event.imported_from)
        elif isinstance(fact.event, Run.StepsPlanned) and not self.elsewhere:
            for step in fact.event.steps:
                self.planned[step.cache_id] = None
        elif isinstance(fact.event, ENDINGS):
            self.ended = fact.position
        return True


class Hub:
    """All live streams of this process."""

    def __init__(self, store: EventStore, revoked: Container[str] = ()) -> None:
        """``revoked``: hashes of tokens that were revoked lately."""
        self._store = store
        self._revoked = revoked
        self._channels: dict[str, Channel] = {}
        self._needs: defaultdict[str, set[Channel]] = defaultdict(set)
        self._position = 0
        self.closed = False
        metrics.SSE_CLIENTS.of().set_function(self.clients)

    def clients(self) -> int:
        """Return how many watch."""
        return sum(channel.users for channel in self._channels.values())

    @property
    def position(self) -> int:
        """The position that the read models show."""
        return self._position

    def begin(self, position: int) -> None:
        """Note the position that the read models stand at before the first batch."""
        self._position = position

    async def publish(self, facts: Sequence[Fact]) -> None:
        """Send events that the read models show by now."""
        wanted: defaultdict[Channel, list[Fact]] = defaultdict(list)
        holding = [channel for channel in self._channels.values() if channel.held is not None]
        for each in facts:
            kind, _, key = each.stream.partition("-")
            if kind == Run.TOPIC and key in self._channels:
                channel = self._channels[key]
                wanted[channel].append(each)
                if isinstance(each.event, Run.StepsPlanned) and channel.held is None:
                    for step in each.event.steps:  # steps may begin later in this very batch
                        self._needs[step.cache_id].add(channel)
            elif kind == Step.TOPIC:
                for channel in (*self._needs.get(key, ()), *holding):
                    wanted[channel].append(each)
        self._position = facts[-1].position
        for channel, mine in wanted.items():
            self._know(channel, channel.take(mine))

    def progress(self, run_id: str, step: int, node: str, done: int, total: int) -> None:
        """Send how far a step is to whoever watches the run."""
        channel = self._channels.get(run_id)
        if channel is not None and not channel.ended:
            encoded = progress_frame(node, step, done, total)
            for subscriber in channel.subscribers:
                subscriber.push([encoded])

    async def ended_at(self, run_id: str) -> int:
        """Return the position of the event that ends a run's stream; 0: it goes on."""
        history = [fact(each) for each in await self._store.load(Run.stream(run_id))]
        return next((each.position for each in history if isinstance(each.event, ENDINGS)), 0)

    def sign_out(self, token_hashes: Collection[str]) -> None:
        """End the streams of clients that are signed in by these tokens."""
        for channel in self._channels.values():
            for subscriber in channel.subscribers:
                if subscriber.session and subscriber.session.token_hash in token_hashes:
                    subscriber.sign_out()

    def ends(self, session: Session | None) -> bool:
        """Return whether a client's stream has to end: all do, or what it is signed in by counts no more."""
        if self.closed or session is None:
            return self.closed
        return session.token_hash in self._revoked or 0 < session.expires_at <= time.time()

    async def follow(self, run_id: str, after: int, session: Session | None = None) -> AsyncIterator[bytes]:
        """Yield a run's frames after position ``after``, old and new, until its end; a ping now and then.

        Args:
            session: what the client is signed in by; the stream ends with it.
        """
        channel = self._enter(run_id)
        subscriber = Subscriber(session)
        try:
            if channel.loading:
                await asyncio.shield(channel.loading)
            # From here to the first await the ring, its floor and the subscription belong together.
            frames = [encoded for position, encoded in channel.ring if position > after]
            floor = channel.floor
            channel.subscribers.add(subscriber)
            if channel.ended or self.closed:
                subscriber.close()
            if session and session.token_hash in self._revoked:  # since it was looked at
                return
            yield b": the events of a run\n\n"
            if after < floor:
                async for old in self._history(run_id, floor):
                    if subscriber.cut:
                        return
                    if old.position > after:
                        yield frame(old)
            if frames and not subscriber.cut:
                yield b"".join(frames)
            while chunk := await subscriber.next(subscriber.left(PING_SECONDS)):
                yield chunk
        finally:
            channel.subscribers.discard(subscriber)
            self._leave(channel)

    async def close(self) -> None:
        """End all streams."""
        self.closed = True
        for channel in self._channels.values():
            for subscriber in channel.subscribers:
                subscriber.close()

    def _enter(self, run_id: str) -> Channel:
        channel = self._channels.get(run_id)
        if channel is None:
            channel = self._channels[run_id] = Channel(run_id)
            channel.loading = asyncio.create_task(self._load(channel, self._position), name=f"load {run_id}")
        channel.users += 1
        return channel

    def _leave(self, channel: Channel) -> None:
        channel.users -= 1
        if not channel.users:
            if self._channels.get(channel.run_id) is channel:
                del self._channels[channel.run_id]
            if channel.loading:
                channel.loading.cancel()
            for cache_id in channel.planned:
                self._needs[cache_id].discard(channel)
                if not self._needs[cache_id]:
                    del self._needs[cache_id]

    async def _load(self, channel: Channel, upto: int) -> None:
        """Fill a new channel with its past up to a position; what came meanwhile follows."""
        try:
            past = [each async for each in self._history(channel.run_id, upto)]
        except BaseException:
            if self._channels.get(channel.run_id) is channel:
                del self._channels[channel.run_id]
            raise
        held, channel.held = channel.held or [], None
        self._know(channel, channel.take(past))
        self._know(channel, channel.take(held))

    def _know(self, channel: Channel, cache_ids: Sequence[str]) -> None:
        if channel.users:
            for cache_id in cache_ids:
                self._needs[cache_id].add(channel)

    async def _history(self, run_id: str, upto: int) -> AsyncIterator[Fact]:
        """Yield the events of a run's stream up to a position, in order."""
        reader = Channel(run_id)
        own = [fact(each) for each in await self._store.load(reader.stream, upto)]
        if not own:
            return
        streams = {reader.stream}
        for each in own:
            if isinstance(each.event, Run.StepsPlanned):
                streams.update(Step.stream(step.cache_id) for step in each.event.steps)
        async for recorded in self._store.since(list(streams), own[0].position - 1):
            each = fact(recorded)
            if each.position > upto or reader.ended:
                return
            if reader.accepts(each):
                yield each
