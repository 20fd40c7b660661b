"""The other nodes of the cluster as a layer: asked over NATS who has what, read from over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass

import aiohttp
import nats
import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from artdag_common.blobs.http import BUSY, busy
from artdag_common.blobs.layered import Holders, Source
from artdag_common.blobs.node import Membership
from artdag_common.errors import ContentNotFoundError, ServiceUnavailableError, StorageRefusedError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import ContentAnswer, ContentQuestion

GATHER_SECONDS = 0.15
SURE_SECONDS = 2.0
ANNOUNCE_SECONDS = 10.0
FORGET_SECONDS = 30.0
"""A node that was not heard of for so long and does not answer is gone."""
CIDS_AT_ONCE = 10_000
TIMES = aiohttp.ClientTimeout(total=None, sock_connect=3.0, sock_read=20.0)
BUFFER_BYTES = 1 << 20

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Known:
    """A node: where it serves content, when it was heard of last, and whether it said then that it stops.

    One that stops may be back in a moment, as a new process of the same node. Till it is forgotten nobody waits for its
    answer, and nothing is taken for lost that it may have. The same goes for one that only others have told of.
    """

    url: str
    heard: float
    stops: bool = False


class Peers:
    """All nodes but this one."""

    name = "the other nodes"
    kind = "nodes"

    def __init__(
        self, bus: Bus, node: str, membership: Membership, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``node``: this one."""
        self._bus = bus
        self._node = node
        self._membership = membership
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._began = clock()
        self._greetings = bus.nc.new_inbox()
        self._subscriptions: list[Subscription] = []
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Find the nodes that are there; hear of those that come and go."""

        async def announced(message: Msg) -> None:
            self._note(message)

        self._session = aiohttp.ClientSession(timeout=TIMES, auto_decompress=False, read_bufsize=BUFFER_BYTES)
        for subject in (subjects.nodes(self._membership.cluster), self._greetings):
            self._subscriptions.append(await self._bus.nc.subscribe(subject, cb=announced))
        self._bus.on_reconnect(self._look_around)
        await self._look_around()

    def known(self) -> dict[str, str]:
        """Return where the nodes serve content that are known of, by node."""
        return {node: known.url for node, known in self._known.items() if not known.stops}

    def unheard(self) -> dict[str, float]:
        """Return for how many seconds each node was not heard of, but for those that were forgotten since."""
        now = self._clock()
        since = {node: now - known.heard for node, known in self._known.items()}
        return {node: seconds for node, seconds in since.items() if seconds <= FORGET_SECONDS}

    async def _look_around(self) -> None:
        """Ask who is there, and wait for as long as an answer may take: nobody knows how many there will be.

        What comes later counts too. Who answers tells as well whom it knows of: of a node that is just being replaced
        nobody hears otherwise who begins now.
        """
        question = ContentQuestion(node=self._node).SerializeToString()
        with contextlib.suppress(nats.errors.Error):
            await self._bus.nc.publish(subjects.content(self._membership.cluster), question, reply=self._greetings)
            await asyncio.sleep(GATHER_SECONDS)

    async def holders(self, cids: Iterable[str], *, sure: bool) -> Holders:
        """See :class:`Layer`."""
        wanted = list(cids)
        sources: dict[str, list[Source]] = {}
        stamps: dict[str, int] = {}
        silent: set[str] = set()
        for start in range(0, len(wanted), CIDS_AT_ONCE):
            expected = {node for node, known in self._known.items() if not known.stops}
            silent |= self._known.keys() - expected
            # Who has just begun, and has heard of nobody, cannot know yet that there is nobody.
            if not expected and not (sure and self._clock() - self._began < SURE_SECONDS):
                break
            part = wanted[start : start + CIDS_AT_ONCE]
            asked = set(part)
            answers = await self._gather(part, expected, GATHER_SECONDS, SURE_SECONDS if sure else 0.0)
            silent |= expected - answers.keys()
            for _, answer in sorted(answers.items()):
                assert self._session
                peer = Peer(answer.node, answer.url, self._session, self._membership)
                for cid, stamp in zip(answer.cids, answer.stamps, strict=False):
                    if cid not in asked:
                        continue
                    sources.setdefault(cid, []).append(peer)
                    stamps[cid] = max(stamps.get(cid, 0), stamp)
        for node in silent & self._known.keys():
            if self._clock() - self._known[node].heard > FORGET_SECONDS:
                log.info("node is gone", node=node, url=self._known.pop(node).url)
        return Holders(sources, stamps, [f"node {node}" for node in sorted(silent)])

    async def close(self) -> None:
        """See :class:`Layer`."""
        for subscription in self._subscriptions:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
        if self._session:
            await self._session.close()

    async def _gather(
        self, cids: Collection[str], expected: set[str], seconds: float, longer: float = 0.0
    ) -> dict[str, ContentAnswer]:
        """Ask all nodes; return what those said that answered before all ``expected`` ones had, or time was up.

        Where nobody is expected, who answers first with all content is enough.

        Args:
            longer: what to wait on top, unless all content was found by then.
        """
        answers: dict[str, ContentAnswer] = {}
        missing = set(cids)
        complete = asyncio.Event()

        async def answered(message: Msg) -> None:
            if answer := self._note(message):
                answers[answer.node] = answer
                missing.difference_update(answer.cids)
                if expected <= answers.keys() and (expected or not missing):
                    complete.set()

        question = ContentQuestion(node=self._node, cids=cids).SerializeToString()
        inbox = self._bus.nc.new_inbox()
        try:
            subscription = await self._bus.nc.subscribe(inbox, cb=answered)
            try:
                await self._bus.nc.publish(subjects.content(self._membership.cluster), question, reply=inbox)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(complete.wait(), seconds)
                if missing and longer and not complete.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(complete.wait(), longer)
            finally:
                await subscription.unsubscribe()
        except nats.errors.Error as error:
            raise ServiceUnavailableError(f"the other nodes cannot be asked: {error}") from error
        return answers

    def _note(self, message: Msg) -> ContentAnswer | None:
        try:
            answer = ContentAnswer.FromString(message.data)
        except DecodeError:
            return None
        for node, unheard_ms in zip(answer.others, answer.unheard_ms, strict=False):
            if node != self._node and node not in self._known:
                self._known[node] = Known("", self._clock() - unheard_ms / 1000, stops=True)
        if not answer.node or answer.node == self._node:
            return None
        if answer.url:
            self._known[answer.node] = Known(answer.url, self._clock())
        elif known := self._known.get(answer.node):
            known.heard, known.stops = self._clock(), True
        return answer


class Peer:
    """One other node."""

    def __init__(self, node: str, url: str, session: aiohttp.ClientSession, membership: Membership) -> None:
        self.name = f"node {node} at {url}"
        self._url = url.rstrip("/")
        self._session = session
        self._membership = membership

    async def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """See :class:`Source`."""
        path = f"/content/{cid}"
        headers = {"Authorization": self._membership.prove("GET", path), "Accept-Encoding": "identity"}
        try:
            async with self._session.get(f"{self._url}{path}", headers=headers, allow_redirects=False) as response:
                if response.status == 404:
                    raise ContentNotFoundError(f"{self.name} has no content {cid}", cid=cid)
                if response.status in (401, 403):
                    raise StorageRefusedError(f"{self.name} does not take our cluster key; are the clocks right?")
                if response.status in BUSY:
                    raise busy(f"{self.name} answers {response.status}", response.headers.get("Retry-After"))
                if response.status != 200:
                    raise ServiceUnavailableError(f"{self.name} answers {response.status}")
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is one of OSError's
            raise ServiceUnavailableError(f"{self.name}: {str(error) or type(error).__name__}") from error
