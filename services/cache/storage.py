"""Commands about storage providers: add, edit, switch, test, ask again, remove."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import orjson
import structlog

from artdag_common.application import Application
from artdag_common.commands import (
    AddStorage,
    CheckStorage,
    Command,
    CopyObject,
    EditStorage,
    RemoveStorage,
    SealedSecret,
    SwitchStorage,
)
from artdag_common.domain.copy import Copy
from artdag_common.domain.storage import Storage
from artdag_common.domain.storage_kinds import KINDS, kind_named, read_settings
from artdag_common.errors import (
    ArtdagError,
    ConfigurationError,
    ContentNotFoundError,
    InvalidRequestError,
    ServiceUnavailableError,
    StorageNotFoundError,
    StorageRefusedError,
    VersionConflictError,
)
from artdag_common.eventstore.port import Call
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.cache.opening import Opening
from services.cache.places import Places
from services.cache.queue import CopyQueue, Wanted

CONSUMER = "cache"
MOST_PROVIDERS = 20
CHECK_SECONDS = 20.0
"""How long a test may take: less than the wait after which the command would come again."""

Pace = Literal["", "resume", "again"]

log = structlog.get_logger(__name__)


def change(storage: Storage, pace: Pace = "", secrets: Sequence[SealedSecret] = (), *, forget: bool = False) -> Call:
    """Return the call that keeps the rows of a provider in step with its events.

    Args:
        pace: ``resume``: try it now; ``again``: also what failed there.
        forget: it is gone for good.
    """
    state = "purging" if storage.purging else "enabled" if storage.enabled else "disabled"
    return Call(
        "storage_change",
        (
            (storage.key, "text"),
            (storage.owner, "text"),
            ("" if forget else state, "text"),
            (storage.refusing, "boolean"),
            (pace, "text"),
            ([secret.field for secret in secrets], "text[]"),
            ([secret.sealed for secret in secrets], "bytea[]"),
        ),
    )


async def try_place(opening: Opening, storage: Storage) -> tuple[str, str]:
    """Test a provider, and return the code and the reason of its failure; both empty: it works."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await (await opening.of(storage)).check()
    except (ServiceUnavailableError, StorageRefusedError, ConfigurationError) as error:
        return error.code, error.message
    except ArtdagError as error:  # it answers, and not as it should
        return StorageRefusedError("").code, error.message
    except TimeoutError:
        return ServiceUnavailableError("").code, f"it did not finish a test within {CHECK_SECONDS:g} s"
    return "", ""


class Providers:
    """Keeps the ``storage-`` streams."""

    def __init__(
        self, app: Application, queue: CopyQueue, places: Places, opening: Opening, wake: Callable[[], None]
    ) -> None:
        """``wake`` is called when copies may be due."""
        self._app = app
        self._queue = queue
        self._places = places
        self._opening = opening
        self._wake = wake

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {
            AddStorage: self.add,
            EditStorage: self.edit,
            SwitchStorage: self.switch,
            RemoveStorage: self.remove,
            CheckStorage: self.check,
            CopyObject: self.copy,
        }

    async def add(self, command: AddStorage, command_id: str) -> Outcome:
        """Add a provider. What its owner has already is copied there in the background."""
        await self._validate(command.kind, command.settings, {secret.field for secret in command.secrets})
        storage = await self._app.find(Storage, command.storage_id)
        if storage is not None:
            raise VersionConflictError(f"storage provider {command.storage_id} is there already")
        if await self._queue.providers_of(command.owner) >= MOST_PROVIDERS:
            raise InvalidRequestError(
                f"you have {MOST_PROVIDERS} storage providers, as many as one may have; remove one first", problems=[]
            )
        storage = Storage.create(
            Storage.Added,
            command.storage_id,
            self._app.clock(),
            owner=command.owner,
            kind=command.kind,
            name=command.name,
            settings=command.settings,
            secrets=tuple(secret.field for secret in command.secrets),
            capacity_bytes=command.capacity_bytes,
        )
        return await self._keep(storage, command_id, change(storage, "again", command.secrets))

    async def edit(self, command: EditStorage, command_id: str) -> Outcome:
        """Change a provider; what failed there is tried again."""
        storage = await self._wanted(command.storage_id, command.owner)
        given = {secret.field for secret in command.secrets if secret.sealed}
        dropped = {secret.field for secret in command.secrets if not secret.sealed}
        await self._validate(storage.kind, command.settings, {*storage.secrets, *given} - dropped)
        storage.edit(
            command.name,
            command.settings,
            tuple(given),
            tuple(dropped),
            command.capacity_bytes,
            self._app.clock(),
        )
        pace: Pace = "again" if storage.pending_events else ""
        return await self._keep(storage, command_id, change(storage, pace, command.secrets))

    async def switch(self, command: SwitchStorage, command_id: str) -> Outcome:
        """Let a provider have copies, or no more for now."""
        storage = await self._wanted(command.storage_id, command.owner)
        storage.switch(command.enabled, self._app.clock())
        pace: Pace = "again" if storage.pending_events and command.enabled else ""
        return await self._keep(storage, command_id, change(storage, pace))

    async def remove(self, command: RemoveStorage, command_id: str) -> Outcome:
        """Forget a provider and what opens it, at once, or when our copies there are removed."""
        storage = await self._wanted(command.storage_id, command.owner)
        storage.remove(command.purge, self._app.clock(), command.by)
        return await self._keep(storage, command_id, change(storage, "resume", forget=not command.purge))

    async def check(self, command: CheckStorage, command_id: str) -> Outcome:
        """Test a provider. One that works is tried again at once; where it did not before, also what failed there."""
        storage = await self._wanted(command.storage_id, command.owner)
        known_bad = bool(storage.code)
        code, reason = await try_place(self._opening, storage)
        storage.check(code, reason, self._app.clock())
        pace: Pace = "" if code else "again" if known_bad else "resume"
        return await self._keep(storage, command_id, change(storage, pace), ok=not code, code=code, reason=reason)

    async def copy(self, command: CopyObject, command_id: str) -> Outcome:
        """Ask for one copy again, or for all that failed at a provider; one that refused is tested first."""
        storage = await self._wanted(command.storage_id, command.owner)
        if storage.refusing:
            storage.check(*await try_place(self._opening, storage), self._app.clock())
        if not command.cid:
            return await self._keep(storage, command_id, change(storage, "again"))
        copy = await self._app.find(Copy, Copy.key_of(storage.key, command.cid))
        if copy is None:
            raise ContentNotFoundError(f"{command.cid} is not among the copies of {storage.name!r}", cid=command.cid)
        copy.ask_again(self._app.clock())
        await self._app.save(copy, command_id)
        await self._queue.enqueue([Wanted(storage.key, storage.owner, command.cid)])
        return await self._keep(storage, command_id, change(storage, "resume"))

    async def _validate(self, kind: str, settings: str, secrets: set[str]) -> None:
        """Make sure that settings are those of a place that may be named here; the gateway did so too."""
        found = kind_named(kind)
        if unknown := sorted(secrets - set(found.secrets)):
            raise InvalidRequestError(f"{unknown[0]!r} is no secret of {found.name}", problems=[])
        values, _ = read_settings(KINDS[kind], orjson.loads(settings), frozenset(secrets))
        try:
            await self._places.permit(kind, values)
        except ServiceUnavailableError as error:  # looked at again at each connection
            log.info("endpoint is not checked yet", reason=error.message)

    async def _wanted(self, storage_id: str, owner: str) -> Storage:
        storage = await self._app.find(Storage, storage_id)
        if storage is None or storage.removed or storage.owner != owner:
            raise StorageNotFoundError(f"no storage provider {storage_id}", storage=storage_id)
        return storage

    async def _keep(self, storage: Storage, command_id: str, also: Call, **values: object) -> Outcome:
        outcome = Outcome.of(storage_id=storage.key, version=storage.version, **values)
        result = await self._app.append(storage, command_id, CONSUMER, outcome.encode(), also, inbox=True)
        if result == "conflict":
            raise VersionConflictError(f"{storage.id} changed meanwhile", stream=storage.id)
        self._wake()
        return outcome
