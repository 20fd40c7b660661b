"""Builds the cache service's adapters and passes them in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import nats

from artdag_common.application import Application
from artdag_common.blobs.endpoints import HOSTS_SETTING, Hosts
from artdag_common.blobs.layered import LayeredBlobStore, Place
from artdag_common.blobs.node import Membership, node_id
from artdag_common.blobs.peer import Peers
from artdag_common.blobs.wiring import layered_blobs
from artdag_common.config import Settings
from artdag_common.errors import ConfigurationError, ServiceUnavailableError
from artdag_common.eventstore import postgres
from artdag_common.eventstore.holds import Holds
from artdag_common.federation.documents import Documents
from artdag_common.federation.l2 import L2
from artdag_common.federation.signatures import public_pem, read_key
from artdag_common.measuring import Measured
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.messaging.follower import Follower
from artdag_common.messaging.presence import Announcement
from artdag_common.people import People
from artdag_common.probing import Parts, backing
from artdag_common.process import Close, cleanup
from artdag_common.sealing import Sealer
from artdag_common.serving import listen, serving
from artdag_common.turning import Loop, all_turn
from services.cache import replication, telling, webhook_calls
from services.cache.app import address, create_app
from services.cache.deletion import Deletion
from services.cache.delivery import Decisions, Deliverer, Identity
from services.cache.delivery_queue import DeliveryQueue
from services.cache.figures import Figures
from services.cache.garbage import DAY, Garbage
from services.cache.handlers import CONSUMER, FOLLOWED, Books
from services.cache.keeping import Keeping, drain
from services.cache.limit import Limit
from services.cache.makers import makers
from services.cache.neighbours import Neighbours
from services.cache.opening import Opening
from services.cache.places import Places
from services.cache.queue import CopyQueue
from services.cache.replication import Replicator
from services.cache.step_logs import OldStepLogs
from services.cache.storage import Providers
from services.cache.telling import Teller
from services.cache.webhook_calls import Caller
from services.cache.webhook_queue import WebhookQueue
from services.cache.webhooks import Webhooks

ALL = "all"


def hosts(text: str, setting: str) -> Hosts:
    """Which hosts users may name, besides public ones.

    Raises:
        ConfigurationError: the setting cannot be read.
    """
    try:
        return Hosts.parse(text, setting)
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {error}") from error


def places(settings: Settings) -> Places:
    """What users may name as a place of their own."""
    return Places(makers(settings), hosts(settings.storage_hosts, HOSTS_SETTING), settings.storage_dirs)


def lasting(blobs: LayeredBlobStore) -> list[Place]:
    """Return the places that keep what they have."""
    return [layer for layer in blobs.layers if isinstance(layer, Place)]


@asynccontextmanager
async def neighbourhood(settings: Settings, bus: Bus, blobs: LayeredBlobStore) -> AsyncIterator[Sequence[Loop]]:
    """Be there for the other nodes, where there is a cluster key. Gives what goes on for that."""
    if not settings.cluster_key:
        yield ()
        return
    membership = Membership(settings.cluster_key)
    listener = listen(settings.content_host, settings.content_port, "ARTDAG_CONTENT_")
    async with serving(Measured(create_app(blobs.local, membership)), listener):
        url = address(listener, settings.content_host, settings.content_url)
        (peers,) = (layer for layer in blobs.layers if isinstance(layer, Peers))
        node = node_id(blobs.folder)
        neighbours = Neighbours(bus, blobs.local, node, membership.cluster, url, peers.unheard)
        await neighbours.start()
        try:
            yield (neighbours,)
        finally:
            await neighbours.stop()


def own_identity(settings: Settings) -> Identity | None:
    """As whom this server speaks; None: it has no key, and nobody to speak to.

    Raises:
        ConfigurationError: there is somebody, and no key; or the key cannot be used.
    """
    if settings.actor_key:
        return Identity(Documents(settings.public_url), read_key(settings.actor_key))
    if settings.shared:
        raise ConfigurationError("L2_SERVER is set, so ARTDAG_ACTOR_KEY has to be: a private key, RSA, PEM or a path")
    return None


async def deliverer(
    settings: Settings,
    app: Application,
    pool: asyncpg.Pool,
    blobs: LayeredBlobStore,
    people: People,
    close: Callable[[Close], object],
) -> Deliverer | None:
    """Announce our key; what sends activities, where there is a registry."""
    identity, queue = own_identity(settings), DeliveryQueue(pool)
    if identity is None:
        return None
    await queue.announce_key(public_pem(identity.key))
    if not settings.shared:
        return None
    registry = L2(settings.l2_server, settings.public_url, settings.l2_domain)
    close(registry.close)
    deliveries = Deliverer(app, queue, blobs, registry, identity, people.actor)
    await deliveries.start()
    close(deliveries.stop)
    return deliveries


async def webhooks(
    settings: Settings, app: Application, pool: asyncpg.Pool, bus: Bus, close: Callable[[Close], object]
) -> tuple[Webhooks, Teller, Follower]:
    """What keeps webhooks; what tells them, and what hears of what they are told, both running."""
    queue = WebhookQueue(pool)
    caller = Caller(hosts(settings.webhook_hosts, webhook_calls.HOSTS_SETTING), Sealer(settings.secret_key))

    async def bury(name: str, data: bytes, reason: str, headers: Mapping[str, str]) -> None:
        try:
            await bus.dead_letter(CONSUMER, name, data, reason, dict(headers))
        except (nats.errors.Error, TimeoutError) as error:
            raise ServiceUnavailableError(f"the bus did not take a dead letter: {error}") from error

    teller = Teller(app, queue, caller, bury, settings.public_url)
    await teller.start()
    close(teller.stop)
    ended = Follower(bus, telling.FOLLOWER, telling.FOLLOWED, teller.note_ended)
    await ended.start()
    close(ended.stop)
    return Webhooks(app, queue, caller, teller), teller, ended


async def all_duties(
    settings: Settings,
    bus: Bus,
    blobs: LayeredBlobStore,
    store: postgres.PostgresEventStore,
    pool: asyncpg.Pool,
    garbage: Garbage,
    close: Callable[[Close], object],
) -> Parts:
    """Do what is the whole system's: keep the books, and speak to users' storage, webhooks and the registry."""
    app, holds = Application(store), Holds(pool)
    people = People(pool, settings.l2_domain)
    deliveries = await deliverer(settings, app, pool, blobs, people, close)

    async def federated(owner: str) -> bool:
        return deliveries is not None and bool(await people.actor(owner))

    wake = deliveries.wake if deliveries else lambda: None
    books = Books(app, blobs, holds, settings.quota_bytes, federated, wake)
    deletion = Deletion(app, blobs, holds, books.alone)
    old_logs = OldStepLogs(pool, settings.retention_days * DAY)
    await old_logs.start()
    close(old_logs.stop)
    follower = Follower(bus, CONSUMER, FOLLOWED, books.note_arrivals)
    await follower.start()
    close(follower.stop)
    queue, allowed = CopyQueue(pool), places(settings)
    opening = Opening(allowed, queue, Sealer(settings.secret_key))
    close(opening.close)
    replicator = Replicator(app, queue, blobs, opening, bus.copy_tick)
    await replicator.start()
    close(replicator.stop)
    owned = Follower(bus, replication.FOLLOWER, replication.FOLLOWED, replicator.note_owned)
    await owned.start()
    close(owned.stop)
    providers = Providers(app, queue, allowed, opening, replicator.wake)
    told, teller, ended = await webhooks(settings, app, pool, bus, close)
    handlers = [part.handlers() for part in (books, deletion, garbage, providers, Decisions(app), told)]
    commands = CommandConsumer(bus, store, CONSUMER, {k: v for each in handlers for k, v in each.items()})
    await commands.start()
    close(commands.stop)
    figures = Figures(pool)
    close(figures.stop)
    followers = (follower, owned, ended)
    return Parts(
        ready={
            **backing(bus, pool),
            "commands": lambda: commands.pulling,
            "events": lambda: all(each.pulling for each in followers),
        },
        live={
            "commands": all_turn(commands),
            "events": all_turn(*followers),
            "step_logs": all_turn(old_logs),
            "copies": all_turn(replicator),
            "webhooks": all_turn(teller),
            "registry": all_turn(*filter(None, [deliveries])),
        },
        samples=(figures.show,),
    )


@asynccontextmanager
async def cache(settings: Settings) -> AsyncIterator[Parts]:
    """The cache service, from connected to closed."""
    async with cleanup() as close:
        bus = await Bus.connect(settings.nats_url, "cache", settings.nats_seed)
        close(bus.close)
        blobs = await layered_blobs(settings, bus, close)
        pool = await postgres.connect(settings.database_url)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        garbage = Garbage(Application(store), blobs.local, Holds(pool), settings.retention_days * DAY, blobs.local)
        await garbage.start()
        close(garbage.stop)
        for_all = settings.cache_duties == ALL
        parts = Parts(ready=backing(bus, pool))
        if for_all:
            parts = await all_duties(settings, bus, blobs, store, pool, garbage, close)
        complete = [place for place in lasting(blobs) if place.complete]
        keepings = [Keeping(bus, pool, blobs, place) for place in (None, *complete)]
        for keeping in keepings:
            await keeping.start()
            close(keeping.stop)
        of_node: list[Loop] = [garbage, *keepings]
        if settings.cache_limit:
            limit = Limit(blobs.local, lasting(blobs), pool, settings.cache_limit)
            await limit.start()
            close(limit.stop)
            of_node.append(limit)
        async with neighbourhood(settings, bus, blobs) as serving_others:
            here = Announcement(bus, "cache", folder=blobs.folder)
            await here.start()
            close(here.stop)
            if for_all:
                await bus.answer_pings("cache")
            content = all_turn(*of_node, *serving_others)
            yield replace(parts, live={**parts.live, "content": content})
            await drain(keepings, settings.drain_seconds)
