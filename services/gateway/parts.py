"""What the routes of the gateway work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import asyncpg
import redis.asyncio
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from artdag_common.blobs.port import BlobStore
from artdag_common.config import Settings
from artdag_common.eventstore.port import EventStore
from artdag_common.messaging.bus import Bus
from artdag_common.sealing import Sealer
from services.gateway.access import Access
from services.gateway.copying import Copying
from services.gateway.issuing import Issuer
from services.gateway.naming import Names
from services.gateway.projections.projector import Projector
from services.gateway.sse import Hub
from services.gateway.ticks import Ticks


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway's parts, built by the wiring."""

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
    issuer: Issuer
    names: Names
    sealer: Sealer
    copying: Copying


def _parts(request: Request) -> Gateway:
    parts: Gateway = request.app.state.gateway
    return parts


Parts = Annotated[Gateway, Depends(_parts)]

BEARER = HTTPBearer(auto_error=False, description="The token that `artdag token` prints", scheme_name="token")


async def _signed_in(request: Request, parts: Parts, shown: Annotated[object, Depends(BEARER)]) -> str:
    return await parts.access.user(request)  # ``shown`` only documents how to sign in


User = Annotated[str, Depends(_signed_in)]
"""Who is signed in; routes that take it refuse everybody else."""
