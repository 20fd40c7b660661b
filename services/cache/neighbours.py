"""Tells the other nodes of the cluster that this one is there, and which content it has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import nats
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.peer import ANNOUNCE_SECONDS
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import ContentAnswer, ContentQuestion
from artdag_common.turning import Loop


class Neighbours(Loop):
    """This node's side of :class:`artdag_common.blobs.peer.Peers`."""

    def __init__(
        self,
        bus: Bus,
        blobs: LocalBlobStore,
        node: str,
        cluster: str,
        url: str,
        unheard: Callable[[], Mapping[str, float]],
    ) -> None:
        """
        Args:
            url: where this node serves content.
            unheard: gives the other nodes, and for how many seconds each was not heard of.
        """
        self._bus = bus
        self._blobs = blobs
        self._node = node
        self._cluster = cluster
        self._url = url
        self._unheard = unheard

    async def start(self) -> None:
        """Answer, and announce in the background."""
        # Cache services of one node share the questions: one answer says it all.
        await self._bus.nc.subscribe(subjects.content(self._cluster), queue=f"node-{self._node}", cb=self._answer)
        self._begin_loop(self._announce(), "announce the node")

    async def stop(self) -> None:
        """Say good-bye."""
        await super().stop()
        await self._tell("")

    async def _announce(self) -> None:
        while True:
            await self._tell(self._url)
            await asyncio.sleep(ANNOUNCE_SECONDS)

    async def _tell(self, url: str) -> None:
        with contextlib.suppress(nats.errors.Error):  # the bus may be back the next time
            await self._bus.nc.publish(
                subjects.nodes(self._cluster), ContentAnswer(node=self._node, url=url).SerializeToString()
            )

    async def _answer(self, message: Msg) -> None:
        try:
            question = ContentQuestion.FromString(message.data)
        except DecodeError:
            return
        # A service of this node has its content; whom we know of it has to learn as any other that begins.
        if not message.reply or (question.node == self._node and question.cids):
            return
        found = await self._blobs.stamps(question.cids)
        answer = ContentAnswer(node=self._node, url=self._url, cids=found.keys(), stamps=found.values())
        if not question.cids:
            others = self._unheard()
            answer.others.extend(others)
            answer.unheard_ms.extend(int(1000 * seconds) for seconds in others.values())
        with contextlib.suppress(nats.errors.Error):  # whoever asks takes us for silent
            await message.respond(answer.SerializeToString())
