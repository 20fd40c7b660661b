"""What the routes of the gateway work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import asyncpg
import redis.asyncio
from fastapi import Depends, Query, Request
from fastapi.security import HTTPBearer

from artdag_common.blobs.port import BlobStore
from artdag_common.config import Settings
from artdag_common.domain.retention import OPERATOR
from artdag_common.errors import UnauthenticatedError
from artdag_common.eventstore.port import EventStore
from artdag_common.federation.l2 import L2
from artdag_common.messaging.bus import Bus
from artdag_common.people import People
from artdag_common.sealing import Sealer
from services.gateway.access import COOKIE, Access, session_of
from services.gateway.asking import AuthService
from services.gateway.auditing import Auditing
from services.gateway.copying import Copying
from services.gateway.fresh import Fresh
from services.gateway.hashing import Hashing
from services.gateway.issuing import Issuer
from services.gateway.naming import Names
from services.gateway.presence import Presence
from services.gateway.projections.projector import Projector
from services.gateway.sse import Hub
from services.gateway.throughput import Throughput
from services.gateway.ticks import Ticks
from services.gateway.visibility import EVERYBODY

OVERVIEW_SECONDS, REPORT_SECONDS = 0.5, 5.0
"""For how long what operators look at is not looked for again, and what doctor says of it."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway's parts, built by the wiring.

    Attributes:
        l2: the registry; None: there is none.
        overview, report: what operators are shown, and doctor's part of it; the same for all who ask at once.
    """

    settings: Settings
    pool: asyncpg.Pool
    store: EventStore
    blobs: BlobStore
    bus: Bus
    cache: redis.asyncio.Redis
    projector: Projector
    hub: Hub
    ticks: Ticks
    access: Access
    auth: AuthService
    people: People
    issuer: Issuer
    names: Names
    sealer: Sealer
    copying: Copying
    l2: L2 | None
    auditing: Auditing
    presence: Presence
    throughput: Throughput
    overview: Fresh[dict[str, Any]] = field(default_factory=lambda: Fresh(OVERVIEW_SECONDS))
    report: Fresh[dict[str, Any]] = field(default_factory=lambda: Fresh(REPORT_SECONDS))
    hashing: Hashing = field(default_factory=Hashing)


def _parts(request: Request) -> Gateway:
    parts: Gateway = request.app.state.gateway
    return parts


Parts = Annotated[Gateway, Depends(_parts)]

BEARER = HTTPBearer(auto_error=False, description="The token that `artdag token` prints", scheme_name="token")


async def _signed_in(request: Request, parts: Parts, shown: Annotated[object, Depends(BEARER)]) -> str:
    return await parts.access.user(request)  # ``shown`` only documents how to sign in


User = Annotated[str, Depends(_signed_in)]
"""Who is signed in; routes that take it refuse everybody else."""


async def _looking(request: Request, parts: Parts) -> str:
    if "authorization" in request.headers or COOKIE in request.cookies:
        session = await parts.access.session(request)
        if session is not None:
            return session.user
    return EVERYBODY if parts.settings.shared else OPERATOR


Viewer = Annotated[str, Depends(_looking)]
"""Who looks: whoever is signed in, else everybody (``""``); on a personal server, which has one person, its owner."""


async def _whose(
    request: Request,
    viewer: Viewer,
    owner: Annotated[
        str | None, Query(max_length=200, description="`me`: only yours; another: what they published")
    ] = None,
) -> str | None:
    if owner != "me":
        return owner or None
    if session_of(request) is None:
        raise UnauthenticatedError("owner=me needs a token: send Authorization: Bearer <token>")
    return viewer


Whose = Annotated[str | None, Depends(_whose)]
"""The user whose things a list is to show; None: all that the viewer sees."""
