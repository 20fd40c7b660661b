"""When a request is worth sending again, and after how long.

A write carries a key by which the server knows it again (``Idempotency-Key``), so that whatever was lost on the way, it
is done once.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from artdag_client.errors import RefusedError

READING = frozenset({"GET", "HEAD", "OPTIONS"})
KEY = "Idempotency-Key"
LATER = frozenset({409, 429, 503})
"""Statuses that a server may answer with ``Retry-After`` where the same request will be answered otherwise then."""

NOT_HERE = frozenset({502, 503, 504})
"""Statuses by which a proxy says that there is no server behind it, as it is for a moment while one is replaced."""

UPLOAD_BUSY = 423
"""The server has not noticed yet that the connection is lost by which an upload came."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How much a client puts up with.

    Attributes:
        request_seconds: how long a request that was not answered is sent again.
        again_seconds: between two attempts, where the server does not say.
        losses: connections in a row that brought nothing, after which a stream or an upload is given up.
        pending_seconds: how long a write that the server keeps for later is waited for, and an upload to be stored.
    """

    request_seconds: float = 10.0
    again_seconds: float = 0.5
    losses: int = 20
    pending_seconds: float = 120.0


PATIENT = Patience()


def new_key() -> str:
    """Return a key for a write that nobody has used."""
    return str(uuid4())


def wait_after(refused: RefusedError, usual_seconds: float) -> float | None:
    """Return after how many seconds a request is worth sending again as it is; None: its answer is the last word.

    Args:
        usual_seconds: where nobody says how long.
    """
    if refused.status in LATER and refused.retry_after is not None:
        return refused.retry_after
    return usual_seconds if refused.by_proxy and refused.status in NOT_HERE else None


def is_pending(status: int, answer: object) -> bool:
    """Return whether an answer says that the write is kept, and not handled yet."""
    return status == 202 and isinstance(answer, dict) and answer.get("status") == "pending"
