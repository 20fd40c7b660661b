"""Builds the auth service's adapters and passes them in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from artdag_common.application import Application
from artdag_common.caching import open_cache
from artdag_common.config import Settings
from artdag_common.eventstore import postgres
from artdag_common.federation.l2 import L2
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.messaging.presence import Announcement
from artdag_common.messaging.relay import Relay
from artdag_common.messaging.subjects import RELAY
from artdag_common.people import People
from artdag_common.probing import Parts, backing
from artdag_common.process import Close, cleanup
from artdag_common.turning import all_turn
from services.auth.answering import Answering
from services.auth.audit import Trail
from services.auth.erasing import Erasing
from services.auth.forgetting import Forgetting
from services.auth.grants import Grants
from services.auth.handlers import CONSUMER, Tokens
from services.auth.letters import Letters
from services.auth.revocation import Revocation
from services.auth.verification import Verification


async def relaying(settings: Settings, close: Callable[[Close], object]) -> Relay:
    """Be a candidate for the relay, under its accounts: they are given to this service, and to no other."""
    bus = await Bus.connect(settings.nats_url, RELAY, settings.relay_nats_seed, settings.nats_replicas)
    close(bus.close)
    relay = Relay(settings.relay_database_url or settings.database_url, bus)
    await relay.start()
    close(relay.stop)
    return relay


@asynccontextmanager
async def auth(settings: Settings) -> AsyncIterator[Parts]:
    """The auth service, from connected to closed. Also a candidate for the relay."""
    async with cleanup() as close:
        relay = await relaying(settings, close)
        bus = await Bus.connect(settings.nats_url, "auth", settings.nats_seed)
        close(bus.close)
        pool = await postgres.connect(settings.database_url, size=8)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        cache = open_cache(settings.redis_url)
        close(cache.aclose)
        app = Application(store)
        revocation = Revocation(bus, pool, cache)
        await revocation.start()
        close(revocation.stop)
        tokens = Tokens(app, pool, revocation)
        await tokens.attach_owner(settings.owner_token_hash)
        l2 = L2(settings.l2_server, settings.public_url, settings.l2_domain) if settings.shared else None
        if l2 is not None:
            close(l2.close)
        verification = Verification(app, pool, tokens, People(pool, settings.l2_domain), l2)
        answering = Answering(bus, verification, tokens, Grants(app, pool, tokens), Letters(bus, app))
        await answering.start()
        close(answering.stop)
        trail, erasing = Trail(app), Erasing(app, pool, revocation)
        handlers = {**tokens.handlers(), **trail.handlers(), **erasing.handlers()}
        commands = CommandConsumer(bus, store, CONSUMER, handlers)
        await commands.start()
        close(commands.stop)
        forgetting = Forgetting(pool)
        await forgetting.start()
        close(forgetting.stop)
        here = Announcement(bus, "auth", duties=lambda: [RELAY] if relay.leading else [])
        await here.start()
        close(here.stop)
        await bus.answer_pings("auth")
        yield Parts(
            ready={**backing(bus, pool), "commands": lambda: commands.pulling},
            live={
                "commands": all_turn(commands),
                "relay": all_turn(relay),
                "revocations": all_turn(revocation),
                "forgetting": all_turn(forgetting),
            },
        )
