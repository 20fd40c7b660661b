"""Client of Art DAG's REST API: :class:`Client` for programs that wait, :class:`AsyncClient` for asyncio.

Needs httpx, and nothing else of Art DAG. ``docs/client.md`` shows how it is used.
"""

from artdag_client._async.client import AsyncClient
from artdag_client._sync.client import Client
from artdag_client.cids import cid_of, cid_of_file
from artdag_client.errors import (
    AddressError,
    BusyError,
    ChangedMeanwhileError,
    ClientError,
    ConflictError,
    FileInTheWayError,
    ForbiddenError,
    GoneError,
    InvalidEffectError,
    InvalidError,
    InvalidInputsError,
    InvalidRecipeError,
    NoAnswerError,
    NoRoomError,
    NotFoundError,
    RefusedError,
    RunFailedError,
    ServerError,
    StillPendingError,
    TooLargeError,
    UnauthenticatedError,
    WaitedTooLongError,
    WrongContentError,
)
from artdag_client.events import Event
from artdag_client.repeating import Patience

__all__ = [
    "AddressError",
    "AsyncClient",
    "BusyError",
    "ChangedMeanwhileError",
    "Client",
    "ClientError",
    "ConflictError",
    "Event",
    "FileInTheWayError",
    "ForbiddenError",
    "GoneError",
    "InvalidEffectError",
    "InvalidError",
    "InvalidInputsError",
    "InvalidRecipeError",
    "NoAnswerError",
    "NoRoomError",
    "NotFoundError",
    "Patience",
    "RefusedError",
    "RunFailedError",
    "ServerError",
    "StillPendingError",
    "TooLargeError",
    "UnauthenticatedError",
    "WaitedTooLongError",
    "WrongContentError",
    "cid_of",
    "cid_of_file",
]
