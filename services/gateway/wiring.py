"""Builds the gateway's adapters and passes them in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio

from artdag_common.blobs.local import stored_in
from artdag_common.blobs.wiring import layered_blobs
from artdag_common.config import Settings
from artdag_common.effects import uploaded
from artdag_common.eventstore import postgres
from artdag_common.eventstore.holds import Holds
from artdag_common.messaging.bus import Bus
from artdag_common.process import cleanup
from artdag_common.sealing import Sealer
from artdag_common.serving import listen, serving
from services.gateway.access import Access, Addresses, TokenCheck
from services.gateway.app import create_app
from services.gateway.copying import Copying
from services.gateway.issuing import Issuer
from services.gateway.naming import Names
from services.gateway.parts import Gateway
from services.gateway.projections.projector import Projector
from services.gateway.sse import Hub
from services.gateway.ticks import Ticks

POOL = 12
REDIS_SECONDS = 0.5


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[None]:
    """The gateway, from connected to closed."""
    async with cleanup() as close:
        bus = await Bus.connect(settings.nats_url, "gateway")
        close(bus.close)
        blobs = await layered_blobs(settings, bus, close)
        uploaded.look_in(stored_in(blobs.folder))
        pool = await postgres.connect(settings.database_url, POOL)
        close(pool.close)
        blobs.local.announce = Holds(pool).announce
        cache = redis.asyncio.Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
        )
        close(cache.aclose)
        store = postgres.PostgresEventStore(pool)
        close(store.close)
        hub = Hub(store)
        check = TokenCheck(pool, cache)
        close(check.stop)
        projector = Projector(bus, pool, (check.forget_revoked, hub.publish))
        await projector.start()
        close(projector.stop)
        hub.begin(projector.position)
        ticks = Ticks(bus, pool, cache, hub)
        await ticks.start()
        close(ticks.stop)
        copying = Copying(bus)
        await copying.start()
        issuer = Issuer(bus, store, pool)
        await issuer.prepare()
        parts = Gateway(
            settings=settings,
            pool=pool,
            store=store,
            blobs=blobs,
            bus=bus,
            cache=cache,
            projector=projector,
            hub=hub,
            ticks=ticks,
            access=Access(check, Addresses(settings.public_url)),
            issuer=issuer,
            names=Names(pool, blobs),
            sealer=Sealer(settings.secret_key),
            copying=copying,
        )
        async with serving(create_app(parts), listen(settings.host, settings.port), hub.close):
            yield
