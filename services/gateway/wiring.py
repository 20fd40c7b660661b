"""Builds the gateway's adapters and passes them in."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artdag_common.addresses import LOOPBACK
from artdag_common.blobs.local import stored_in
from artdag_common.blobs.wiring import layered_blobs
from artdag_common.caching import open_cache
from artdag_common.config import Settings
from artdag_common.connections import ConnectionLimits
from artdag_common.effects import uploaded
from artdag_common.eventstore import postgres
from artdag_common.eventstore.holds import Holds
from artdag_common.federation.l2 import L2
from artdag_common.federation.redis import RedisReplays
from artdag_common.measuring import Measured
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.presence import Announcement
from artdag_common.observability import is_pretty
from artdag_common.people import People
from artdag_common.probing import Parts, backing
from artdag_common.process import cleanup
from artdag_common.sealing import Sealer
from artdag_common.serving import listen, serving
from artdag_common.turning import all_turn
from services.gateway.access import Addresses
from services.gateway.app import create_app
from services.gateway.asking import AuthService
from services.gateway.auditing import Auditing
from services.gateway.copying import Copying
from services.gateway.issuing import Issuer
from services.gateway.limits import CountedAccess, RateLimiter
from services.gateway.naming import Names
from services.gateway.observing import Observed
from services.gateway.parts import Gateway
from services.gateway.presence import Presence
from services.gateway.projections.projector import Projector
from services.gateway.revoked import Revoked
from services.gateway.sessions import Sessions
from services.gateway.sse import Hub
from services.gateway.throughput import Throughput
from services.gateway.ticks import Ticks

POOL = 12
SWITCH_SECONDS = 0.001
"""After how long a thread that computes lets others have the interpreter. A large recipe takes a second to read, in a
thread; at Python's own 5 ms each answer of Postgres would wait so long, and the read models fell behind meanwhile."""


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Parts]:
    """The gateway, from connected to closed."""
    sys.setswitchinterval(SWITCH_SECONDS)
    async with cleanup() as close:
        bus = await Bus.connect(settings.nats_url, "gateway", settings.nats_seed)
        close(bus.close)
        blobs = await layered_blobs(settings, bus, close)
        uploaded.look_in(stored_in(blobs.folder))
        pool = await postgres.connect(settings.database_url, POOL)
        close(pool.close)
        blobs.local.announce = Holds(pool).announce
        cache = open_cache(settings.redis_url)
        close(cache.aclose)
        store = postgres.PostgresEventStore(pool)
        close(store.close)
        revoked = Revoked(pool, cache)
        hub = Hub(store, revoked)
        revoked.on_revoked(hub.sign_out)
        close(revoked.stop)
        await revoked.listen(bus)
        throughput = Throughput()
        projector = Projector(bus, pool, (revoked.follow, hub.publish, throughput.follow))
        await projector.start()
        close(projector.stop)
        hub.begin(projector.position)
        ticks = Ticks(bus, pool, cache, hub)
        await ticks.start()
        close(ticks.stop)
        auditing = Auditing(bus, pool, Sealer(settings.secret_key), settings.shared)
        await auditing.start()
        close(auditing.stop)
        copying = Copying(bus)
        await copying.start()
        presence = Presence(bus)
        await presence.start()
        l2 = None
        if settings.shared:
            l2 = L2(settings.l2_server, settings.public_url, settings.l2_domain, RedisReplays(cache))
            close(l2.close)
        issuer = Issuer(bus, store, pool)
        await issuer.prepare()
        limiter = RateLimiter.of(settings, cache)
        auth = AuthService(bus)
        sessions = Sessions(pool, cache, revoked, auth if settings.shared else None)
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
            access=CountedAccess(limiter, sessions, Addresses(settings.public_url)),
            auth=auth,
            people=People(pool, settings.l2_domain),
            issuer=issuer,
            names=Names(pool, blobs, settings.shared),
            sealer=Sealer(settings.secret_key),
            copying=copying,
            l2=l2,
            auditing=auditing,
            presence=presence,
            throughput=throughput,
        )
        limits = ConnectionLimits(unlimited=(*LOOPBACK, *settings.trusted_proxies))
        listener = listen(settings.host, settings.port)
        here = Announcement(bus, "gateway", folder=blobs.folder)
        close(here.stop)
        app = Measured(Observed(create_app(parts, limiter), is_pretty(settings)))
        async with serving(app, listener, hub.close, limits):
            await here.start()
            yield Parts(
                ready={**backing(bus, pool), "read_models": lambda: projector.running},
                live={"read_models": all_turn(projector), "progress": all_turn(ticks), "refusals": all_turn(auditing)},
            )
