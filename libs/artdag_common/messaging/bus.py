"""The bus of one process: commands, work, hints and ticks over NATS JetStream."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from uuid import uuid4

import nats
import orjson
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, PubAck, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, BadRequestError, NoStreamResponseError, NotFoundError, ServerError

from artdag_common import metrics, tracing
from artdag_common.codec import decode_command, encode_command
from artdag_common.commands import Command, ExecuteSteps
from artdag_common.errors import (
    ArtdagError,
    ConfigurationError,
    InvalidRequestError,
    MalformedMessageError,
    ServiceUnavailableError,
)
from artdag_common.eventstore.port import Append
from artdag_common.messaging import servers, subjects
from artdag_common.messaging.client import QuickClient
from artdag_common.pb.commands_pb2 import CommandOutcome, CopyTick, StepLogText, StepTick
from artdag_common.pb.events_pb2 import EventBatch, StoredEvent

DAY = 86_400.0
TOO_MANY_PER_SUBJECT = 10_077
MOST_REPEATED = 10_000
CONNECT_SECONDS = 10.0

NO_CLUSTER, OTHER_CONFIGURATION = 10_074, 10_058
UNAVAILABLE = 503
PASSING_CODES = (10_008, 10_009, 10_158)
"""Errors of JetStream that end with an election: nobody leads, or not the one who was asked, or what was sent before
under the same id waits until most of the servers have it."""

PASSING = (
    NoStreamResponseError,
    TimeoutError,
    OSError,
    nats.errors.OutboundBufferLimitError,  # between two servers
    nats.errors.ConnectionReconnectingError,
    nats.errors.StaleConnectionError,
)

ELECTION_SECONDS = 15.0
"""How long a message is sent again to a stream of a cluster that has no leader. Where its server was killed, the others
elect one after 4 to 9 s, each group for itself; not all at the first try."""

ELECTION_PAUSE = 0.25

PATIENCE_SECONDS, SOON_SECONDS = 5.0, 2.0
"""How long JetStream may take to answer, and how long in a cluster: what was asked of a server that is gone, or of
nobody, can be asked of another there."""

REPLICATE_AGAIN_SECONDS = 10.0

STREAMS = (
    StreamConfig(
        name=subjects.COMMANDS,
        subjects=["cmd.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_msgs=100_000,
        max_age=7 * DAY,
        duplicate_window=120.0,
    ),
    StreamConfig(
        name=subjects.WORK,
        subjects=["work.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.MEMORY,
        discard=DiscardPolicy.NEW,
        max_msgs=100_000,
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
        duplicate_window=0.1,
    ),
    StreamConfig(
        name=subjects.EVENTS,
        subjects=["evt.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=30 * DAY,
        deny_delete=True,
        deny_purge=True,
        allow_atomic=True,
        allow_direct=True,
        duplicate_window=0.1,
    ),
    StreamConfig(
        name=subjects.DEAD_LETTERS,
        subjects=["dlq.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=90 * DAY,
        duplicate_window=DAY,  # what is tried again for ever is listed once a day, not each time
    ),
)
"""The streams. Everything in WORK can be derived again; its one message per subject makes dispatch idempotent."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command: accepted with what came of it, or refused with the name of the refusal."""

    accepted: bool
    code: str = ""
    message: str = ""
    values: bytes = b"{}"

    @classmethod
    def of(cls, **values: Any) -> Outcome:
        """Accepted, with what the caller may want to know."""
        return cls(True, values=orjson.dumps(values))

    @classmethod
    def refused(cls, error: ArtdagError) -> Outcome:
        """Refused because of ``error``."""
        return cls(False, error.code, error.message, orjson.dumps(error.values, default=str))

    def encode(self) -> bytes:
        """Return it as it travels and as the inbox keeps it."""
        message = CommandOutcome(
            accepted=self.accepted, code=self.code, message=self.message, values=self.values.decode()
        )
        return bytes(message.SerializeToString())

    @classmethod
    def decode(cls, data: bytes) -> Outcome:
        """Read it back."""
        m = CommandOutcome.FromString(data)
        return cls(m.accepted, m.code, m.message, m.values.encode())


class Bus:
    """One process's connection. Reconnects for ever; what was not acknowledged was not sent."""

    def __init__(self, nc: QuickClient, makes_streams: bool = True, replicas: int = 0) -> None:
        """See :meth:`connect`. ``makes_streams``: of those that are missing; False: somebody else does."""
        self.nc = nc
        self._makes_streams = makes_streams
        self._replicas = replicas
        self._replicate_at: dict[str, float] = {}  # stream → not before, since it could not be done
        self.patience = SOON_SECONDS if nc.is_clustered else PATIENCE_SECONDS
        self.js: JetStreamContext = nc.jetstream(timeout=self.patience)
        self._receipts = nc.new_inbox()
        self._repeats = nc.new_inbox()
        self._numbers = count()
        self._repeated: OrderedDict[str, tuple[str, ExecuteSteps]] = OrderedDict()
        self._on_missing: Callable[[str, ExecuteSteps], None] = lambda work_class, work: None
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self._following_up: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, url: str, name: str, seed: str = "", replicas: int = 0) -> Bus:
        """Connect, and make sure that the streams exist, where that is ours to do.

        Args:
            url: of a server, or of several of one cluster; see :mod:`servers`.
            replicas: servers on which each stream is to be kept; one that is there already is changed while it is used.
                0: as they are, new ones on one server.
            seed: nkey seed of the account called ``name`` (see :mod:`permissions`); empty: the account that the URL
                names may do anything. Of the accounts, the relay's makes the streams, and the others wait for them.

        Raises:
            ConfigurationError: the seed is none; or there are to be replicas, and the server is in no cluster.
            ServiceUnavailableError: NATS cannot be reached.
        """

        async def report(error: Exception) -> None:
            log.warning("nats", error=str(error) or type(error).__name__)

        bus: Bus | None = None

        async def reconnected() -> None:
            # In a task of its own: the client takes an error raised here for a reconnection that failed.
            metrics.NATS_RECONNECTIONS.of(name).inc()
            if bus is not None:
                if bus._following_up:
                    bus._following_up.cancel()
                bus._following_up = asyncio.create_task(bus._reconnected(), name="after reconnection")

        nc = QuickClient()
        if seed:
            own = {"nkeys_seed_str": _checked(seed, name), "inbox_prefix": subjects.inbox(name)}
        else:
            own = servers.account(url)
        try:
            connecting = nc.connect(
                servers.addresses(url),
                name=name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds; fractions work
                ping_interval=10,
                pending_size=-1,  # else a publish that raised is delivered later all the same
                error_cb=report,
                reconnected_cb=reconnected,
                connect_timeout=5,
                **own,  # type: ignore[arg-type]
            )
            await asyncio.wait_for(connecting, CONNECT_SECONDS)  # it would try for ever, at the first time too
        except (OSError, nats.errors.Error, TimeoutError) as error:
            await nc.close()  # an attempt that failed half way holds a socket
            place = servers.named(url)
            raise ServiceUnavailableError(f"NATS cannot be reached at {place}: {str(error) or 'no answer'}") from error
        bus = cls(nc, not seed or name == subjects.RELAY, replicas)
        metrics.NATS_RECONNECTIONS.of(name)
        metrics.NATS_CONNECTED.of(name).set_function(lambda: float(nc.is_connected))
        await nc.subscribe(bus._receipts, cb=_note_dispatch)
        await nc.subscribe(f"{bus._repeats}.*", cb=bus._note_repeat)
        try:
            await bus._begin_streams()
        except BaseException:
            await nc.close()
            raise
        return bus

    async def _begin_streams(self) -> None:
        """As :meth:`ensure_streams`; a cluster that is just starting is given time to find its leaders."""
        until = asyncio.get_running_loop().time() + ELECTION_SECONDS
        while True:
            try:
                await self.ensure_streams()
                return
            except (nats.errors.Error, TimeoutError) as error:
                if not self.nc.is_clustered:
                    raise
                if asyncio.get_running_loop().time() > until:
                    raise ServiceUnavailableError(f"NATS does not make the streams: {error or 'no answer'}") from error
                log.info("streams cannot be made yet", error=str(error) or type(error).__name__)
                await asyncio.sleep(ELECTION_PAUSE)

    async def ensure_streams(self, update: bool = True) -> None:
        """Make the streams that are missing, where that is ours to do.

        Args:
            update: also bring those up to date that are there. Who only lost its connection leaves them as they are: a
                newer version may have changed them meanwhile.
        """
        for config in STREAMS if self._makes_streams else ():
            if config.name == subjects.EVENTS:  # the relay's own: made, and made again after a loss, by it alone
                continue
            if update or not await self._has(config):
                await self.ensure_stream(config)

    async def _has(self, config: StreamConfig) -> bool:
        try:
            await self.js.stream_info(str(config.name))
        except NotFoundError:
            return False
        return True

    async def ensure_stream(self, config: StreamConfig) -> StreamInfo:
        """Make a stream if it is missing, or bring the one that is there up to date.

        Raises:
            ConfigurationError: there are to be replicas, and the server is in no cluster.
        """
        try:
            return await self.js.add_stream(replace(config, num_replicas=self._replicas or 1))
        except BadRequestError as error:
            if error.err_code != OTHER_CONFIGURATION:
                raise
        except ServerError as error:
            if error.err_code == NO_CLUSTER:
                raise ConfigurationError(
                    f"ARTDAG_NATS_REPLICAS is {self._replicas}, and the NATS server is in no cluster: it has to be 1"
                ) from error
            raise
        there = await self.js.stream_info(str(config.name))
        info = await self.js.update_stream(replace(config, num_replicas=there.config.num_replicas))
        return await self.replicate(info)

    async def replicate(self, info: StreamInfo) -> StreamInfo:
        """Keep a stream on as many servers as it is to be on; return how it stands.

        It stays as it is where that cannot be done: servers are missing. After a while this may be called again.
        """
        now, name = asyncio.get_running_loop().time(), str(info.config.name)
        if not self._replicas or info.config.num_replicas == self._replicas or now < self._replicate_at.get(name, 0.0):
            return info
        try:
            changed = await self.js.update_stream(replace(info.config, num_replicas=self._replicas))
        except (nats.errors.Error, TimeoutError) as error:
            self._replicate_at[name] = now + REPLICATE_AGAIN_SECONDS
            log.warning(
                "stream cannot be kept on so many servers now",
                stream=name,
                wanted=self._replicas,
                has=info.config.num_replicas,
                error=str(error) or type(error).__name__,
            )
            return info
        log.info("stream is kept on more or fewer servers", stream=name, replicas=self._replicas)
        return changed

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call ``callback`` after each reconnection: memory streams and pull requests may be gone."""
        self._on_reconnect.append(callback)

    async def _reconnected(self) -> None:
        log.info("nats is back")
        while self.nc.is_connected:
            try:
                await self.ensure_streams(update=False)
                break
            except (nats.errors.Error, ConfigurationError, TimeoutError) as error:  # it may still be reading its files
                log.warning("streams cannot be checked", error=str(error))
                await asyncio.sleep(0.2)
        for result in await asyncio.gather(*(callback() for callback in self._on_reconnect), return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a reconnection was not followed up", error=repr(result), exc_info=result)

    async def close(self) -> None:
        """Flush and disconnect."""
        if self._following_up:
            self._following_up.cancel()
        try:
            await asyncio.wait_for(self.nc.drain(), 2)
        except (TimeoutError, nats.errors.Error):
            await self.nc.close()

    # --- commands ---

    async def request(self, command: Command, command_id: str, timeout: float = 5.0) -> Outcome | None:
        """Store a command on the stream and wait for its outcome; None: accepted by the bus, no answer yet.

        Raises:
            ServiceUnavailableError: the bus did not take it; nothing was accepted.
        """
        inbox = self.nc.new_inbox()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        async def answered(message: Msg) -> None:
            if not future.done():
                future.set_result(Outcome.decode(message.data))

        subscription = await self.nc.subscribe(inbox, cb=answered)
        try:
            await self.send(command, command_id, reply_to=inbox)
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return None
        finally:
            await subscription.unsubscribe()

    async def send(self, command: Command, command_id: str, reply_to: str = "") -> None:
        """Store a command on the stream.

        Raises:
            InvalidRequestError: its key can be no part of a subject.
            ServiceUnavailableError: the bus did not take it.
        """
        name = type(command).__name__
        if not subjects.KEY.fullmatch(command.key):
            raise InvalidRequestError(f"{command.key[:80]!r} is nothing's id: letters, digits, - and _ make one")
        headers = {"Nats-Msg-Id": command_id, "Command-Id": command_id, **tracing.headers()}
        if reply_to:
            # A repeated command is not stored twice, but whoever repeats it waits at another address.
            headers["Nats-Msg-Id"] = f"{command_id}/{reply_to}"
            headers["Reply-To"] = reply_to
        subject = subjects.command(command.SERVICE, name, command.key)
        try:
            await self._store(subject, encode_command(command), headers)
        except (nats.errors.Error, APIError, OSError, TimeoutError) as error:
            raise ServiceUnavailableError(f"the bus did not take {name}: {error}", retry_after=2) from error

    async def send_again(self, subject: str, data: bytes, command_id: str, occasion: str) -> None:
        """Store a command again that gave up, as it was: under its first id, so that what did happen is not repeated.

        Args:
            occasion: tells this repetition from others; the same one is stored once.

        Raises:
            ServiceUnavailableError: the bus did not take it.
        """
        headers = {"Nats-Msg-Id": f"{command_id}/{occasion}", "Command-Id": command_id, **tracing.headers()}
        try:
            await self._store(subject, data, headers)
        except (nats.errors.Error, APIError, OSError, TimeoutError) as error:
            raise ServiceUnavailableError(f"the bus did not take {subject}: {error}", retry_after=2) from error

    async def _store(self, subject: str, data: bytes, headers: dict[str, str]) -> PubAck:
        """Publish to a stream, and wait until it is stored.

        In a cluster it is sent again until the others have elected a leader in the place of one that is gone, or a
        server is reached in the place of ours. By ``Nats-Msg-Id`` it is stored once, whatever was lost of it.
        """
        until = asyncio.get_running_loop().time() + ELECTION_SECONDS
        told = False
        while True:
            try:
                return await self.js.publish(subject, data, headers=headers)
            except (nats.errors.Error, OSError, TimeoutError) as error:
                late = asyncio.get_running_loop().time() > until
                if late or not self.nc.is_clustered or not _passes(error):
                    raise
                if not told:
                    log.info("stream takes nothing just now; it is sent again", subject=subject, error=repr(error))
                told = True
            await asyncio.sleep(ELECTION_PAUSE)

    async def answer(self, reply_to: str, outcome: Outcome) -> None:
        """Tell the asker, if there is one, what became of its command.

        What it names as its address is not followed to anything else that we may publish to.
        """
        if reply_to.startswith(subjects.INBOXES):
            await self.nc.publish(reply_to, outcome.encode())

    # --- work ---

    async def dispatch(self, work_class: str, work: ExecuteSteps) -> None:
        """Put steps on the work queue. What is there already is not put there twice.

        Does not wait for the receipt, and never fails: what did not arrive is dispatched again by the reconciler.
        (nats-py's ``publish_async`` never ends a future whose receipt is an error, or lost; at its limit it stops.)
        """
        try:
            await self.nc.publish(subjects.work(work_class, work.key), encode_command(work), reply=self._receipts)
        except nats.errors.Error as error:
            log.warning("dispatch failed; the reconciler repeats it", step=work.steps[0].label, error=str(error))

    async def dispatch_again(self, work_class: str, work: ExecuteSteps) -> None:
        """Put steps on the work queue that should be there; if they were not, :meth:`on_missing` is told.

        Never fails, as :meth:`dispatch`.
        """
        receipt = f"{self._repeats}.{next(self._numbers)}"
        self._repeated[receipt] = work_class, work
        while len(self._repeated) > MOST_REPEATED:  # receipts were lost
            self._repeated.popitem(last=False)
        try:
            await self.nc.publish(subjects.work(work_class, work.key), encode_command(work), reply=receipt)
        except nats.errors.Error as error:
            self._repeated.pop(receipt, None)
            log.warning("dispatch failed; the reconciler repeats it", step=work.steps[0].label, error=str(error))

    def on_missing(self, callback: Callable[[str, ExecuteSteps], None]) -> None:
        """Call ``callback(work class, steps)`` with what was dispatched again and was not on the queue."""
        self._on_missing = callback

    async def _note_repeat(self, receipt: Msg) -> None:
        repeated = self._repeated.pop(receipt.subject, None)
        if repeated and not (receipt.headers or {}).get("Status") and "error" not in orjson.loads(receipt.data):
            self._on_missing(*repeated)
        else:
            await _note_dispatch(receipt)

    async def withdraw(self, work_class: str, cache_id: str) -> None:
        """Take a step that nobody waits for any more off the work queue, and break it off where it is being executed.

        Never fails: a step that is executed all the same leaves a result that may be of use.
        """
        # The queue first: what an executor was given before, it was given before it hears that nobody waits for it.
        for withdrawing in (
            self.js.purge_stream(subjects.WORK, subject=subjects.work(work_class, cache_id)),
            self.nc.publish(subjects.stop(cache_id)),
        ):
            try:
                await withdrawing
            except (nats.errors.Error, APIError, TimeoutError) as error:
                log.info("step was not withdrawn", cache_id=cache_id, error=str(error) or type(error).__name__)

    async def take_back(self, subject: str, sequence: int) -> bytes | None:
        """Take a message off the work queue that somebody else holds, and return it; None: it is not there any more.

        What was put there under the same subject since then stays.

        Raises:
            ServiceUnavailableError: the bus does not answer.
        """
        try:
            found = await self.js.get_msg(subjects.WORK, seq=sequence)
            if found.subject != subject:  # the stream was lost, and counts anew
                return None
            await self.js.purge_stream(subjects.WORK, seq=sequence + 1, subject=subject)
        except NotFoundError:
            return None
        except (nats.errors.Error, APIError, TimeoutError) as error:
            raise ServiceUnavailableError(f"the work queue cannot be read: {error or 'no answer'}") from error
        return found.data

    async def is_there(self, executor: str, timeout: float = 0.5) -> bool | None:
        """Return whether an executor is connected; None: it does not answer, though it may be."""
        try:
            await self.nc.request(subjects.ask_if_here(executor), b"", timeout=timeout)
        except nats.errors.NoRespondersError:
            return False
        except (nats.errors.Error, TimeoutError):
            return None
        return True

    async def put_back(self, subject: str, data: bytes) -> None:
        """Put a message that was taken off the work queue there again, unless another with its subject is there.

        Never fails, as :meth:`dispatch`.
        """
        try:
            await self.nc.publish(subject, data, reply=self._receipts)
        except nats.errors.Error as error:
            log.warning("dispatch failed; the reconciler repeats it", subject=subject, error=str(error))

    # --- core NATS: hints, wake-ups, ticks ---

    async def committed(self, appends: Sequence[Append]) -> None:
        """Tell the others of a commit: the relay is woken, and whoever follows steps need not wait for it."""
        try:
            batch = EventBatch(
                events=[
                    StoredEvent(stream=a.stream, version=a.expected + i, type=e.type, data=e.data)
                    for a in appends
                    if a.stream.startswith("step-")
                    for i, e in enumerate(a.events, 1)
                    if e.type != "StepStarted"
                ]
            )
            if batch.events:
                await self.nc.publish(subjects.STEP_HINTS, batch.SerializeToString())
            await self.nc.publish(subjects.WAKE_RELAY, b"")
        except nats.errors.Error as error:
            log.debug("hint was not sent", error=str(error))  # the relay polls, the stream is the net

    async def hint_again(self, events: Sequence[StoredEvent]) -> None:
        """Repeat stored step events for somebody who may have missed them."""
        with contextlib.suppress(nats.errors.Error):  # the stream is the net
            await self.nc.publish(subjects.STEP_HINTS, EventBatch(events=events).SerializeToString())

    async def tick(self, cache_id: str, done: int, total: int) -> None:
        """Tell how far a step is."""
        message = StepTick(cache_id=cache_id, done=done, total=total)
        with contextlib.suppress(nats.errors.Error):  # no step fails because nobody can watch it
            await self.nc.publish(subjects.tick(cache_id), message.SerializeToString())

    async def say(self, cache_id: str, attempt: int, offset: int, text: str, ended: bool) -> None:
        """Tell what the attempt at a running step says. ``offset``: of ``text``, in characters of all that it said."""
        message = StepLogText(cache_id=cache_id, attempt=attempt, offset=offset, text=text, ended=ended)
        with contextlib.suppress(nats.errors.Error):  # no step fails because nobody can read it
            await self.nc.publish(subjects.step_log(cache_id), message.SerializeToString())

    async def copy_tick(self, storage_id: str, cid: str, done: int, total: int, status: str = "") -> None:
        """Tell how far content is on its way to a storage provider, in bytes; all of them: it is over.

        Args:
            status: what the provider says of it, where it fetches content by itself.
        """
        message = CopyTick(storage_id=storage_id, cid=cid, done=done, total=total, status=status)
        with contextlib.suppress(nats.errors.Error):  # nor does a copy
            await self.nc.publish(subjects.copy_tick(storage_id), message.SerializeToString())

    async def answer_pings(self, service: str) -> None:
        """Tell whoever asks that this service can do work."""

        async def answer(message: Msg) -> None:
            await message.respond(b"")

        await self.nc.subscribe(subjects.ping(service), queue=service, cb=answer)

    async def ping(self, service: str, timeout: float = 1.0) -> bool:
        """Return whether a service answers."""
        try:
            await self.nc.request(subjects.ping(service), b"", timeout=timeout)
        except (nats.errors.Error, TimeoutError):
            return False
        return True

    async def dead_letter(self, service: str, name: str, data: bytes, reason: str, headers: dict[str, str]) -> None:
        """Keep what gave up, with the reason, for the operator.

        Args:
            headers: see :func:`dead_letters.history`.
        """
        told = " ".join(reason.split())[:1000] or "unknown"
        identified = {"Nats-Msg-Id": uuid4().hex, **headers, "Reason": told}
        await self._store(subjects.dead_letter(service, name), data, identified)


def _checked(seed: str, name: str) -> str:
    import nkeys  # loads libsodium, which who has no seed can do without

    try:
        nkeys.from_seed(seed.encode())
    except (nkeys.NkeysError, ValueError) as error:
        raise ConfigurationError(
            f"the seed of the NATS account {name!r} is none: nkey seeds of users begin with SU and have 58 characters"
        ) from error
    return seed


def _passes(error: Exception) -> bool:
    """Return whether a stream that did not take a message may take it after an election, or at another server.

    Of a server that is just losing its lead comes what Raft says, without a number: "raft: not leader".
    """
    if isinstance(error, APIError):
        return error.err_code in PASSING_CODES or (error.code == UNAVAILABLE and not error.err_code)
    return isinstance(error, PASSING)


async def _note_dispatch(receipt: Msg) -> None:
    status = (receipt.headers or {}).get("Status")
    error: dict[str, Any] | None = {"status": status} if status else orjson.loads(receipt.data).get("error")
    if error and error.get("err_code") != TOO_MANY_PER_SUBJECT:
        log.warning("dispatch failed; the reconciler repeats it", **error)


def read_command(message: Msg) -> tuple[Command, str, str]:
    """Return a stored command, its id and where the asker waits.

    Raises:
        MalformedMessageError: it is not one of our commands.
    """
    headers = message.headers or {}
    name = message.subject.split(".")[2]
    command_id = headers.get("Command-Id", "")
    if not command_id:
        raise MalformedMessageError(
            f"{name} carries no Command-Id: what it leads to could not be told apart", name=name
        )
    return decode_command(name, message.data), command_id, headers.get("Reply-To", "")
