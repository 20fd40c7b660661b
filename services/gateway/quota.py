"""How much room a user has left, before bytes are stored. What counts is decided with the append; see the schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artdag_common.errors import ContentTooLargeError, QuotaExceededError
from artdag_common.eventstore.holds import Holds
from services.gateway.limits import Policy, Standing, note
from services.gateway.parts import Gateway


async def check_room(parts: Gateway, user: str, size_bytes: int) -> None:
    """Refuse what would not fit in a user's quota, as far as is known.

    Raises:
        QuotaExceededError: it would not.
    """
    if quota := parts.settings.quota_bytes:
        used = await Holds(parts.pool).used(user)
        tell_room(used, quota)
        if used + size_bytes > quota:
            raise _beyond(used, size_bytes, quota)


def tell_room(used: int, quota: int) -> None:
    """Have the present answer say how much a user may store, and how much of that is left before it."""
    note(Standing(Policy("storage", quota, 0, "content-bytes"), quota - used, 0.0))


@asynccontextmanager
async def within_quota(parts: Gateway, user: str, least_bytes: int) -> AsyncIterator[int]:
    """Give the most bytes that a file may have: the server's limit, or what is left of the user's quota.

    Args:
        least_bytes: how many come at least, as the request announces.

    Raises:
        QuotaExceededError: more come than that; the block raised :class:`ContentTooLargeError`, and stored nothing.
    """
    most, quota = parts.settings.max_upload_bytes, parts.settings.quota_bytes
    if not quota or least_bytes > most:
        yield most
        return
    await check_room(parts, user, least_bytes)
    used = await Holds(parts.pool).used(user)
    room = max(0, quota - used)
    try:
        yield min(most, room)
    except ContentTooLargeError as error:
        if room >= most:
            raise
        raise _beyond(used, room + 1, quota) from error


def _beyond(used: int, more: int, quota: int) -> QuotaExceededError:
    return QuotaExceededError(
        f"{more} bytes or more do not fit: you use {used} of your {quota}; nothing was stored",
        used_bytes=used,
        more_bytes=more,
        quota_bytes=quota,
    )
