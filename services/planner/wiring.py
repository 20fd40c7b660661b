"""Builds the planner's adapters and passes them in."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from artdag_common.application import Application
from artdag_common.blobs.local import LocalBlobStore, stored_in
from artdag_common.blobs.port import BlobStore
from artdag_common.config import Settings
from artdag_common.domain.provenance import Infrastructure, hardware_document, software_document
from artdag_common.effects import uploaded
from artdag_common.eventstore import postgres
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.process import cleanup
from artdag_common.version import VERSION
from services.planner.dispatcher import Dispatcher
from services.planner.engine import Engine
from services.planner.following import Following
from services.planner.handlers import CONSUMER, Commands


async def describe_infrastructure(blobs: BlobStore) -> Infrastructure:
    """Store what renders here as content, and return where it is described."""
    versions = {"artdag": VERSION}
    for name in ("av", "numpy", "eventsourcing"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    host = socket.gethostname()
    software = await blobs.put(software_document(versions))
    hardware = await blobs.put(hardware_document(host, os.cpu_count() or 1))
    return Infrastructure(software.cid, hardware.cid, host)


@asynccontextmanager
async def planner(settings: Settings) -> AsyncIterator[None]:
    """The planner, from connected to closed."""
    async with cleanup() as close:
        blobs = LocalBlobStore(settings.cache_dir)
        uploaded.look_in(stored_in(blobs.folder))
        bus = await Bus.connect(settings.nats_url, "planner")
        close(bus.close)
        pool = await postgres.connect(settings.database_url)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        app = Application(store)
        engine = Engine(
            app,
            pool,
            blobs,
            Dispatcher(bus.dispatch),
            await describe_infrastructure(blobs),
            settings.cluster_key,
            settings.l2_domain or "localhost",
            bus.withdraw,
        )
        following = Following(bus, pool, engine)
        await following.start()
        close(following.stop)
        commands = CommandConsumer(bus, store, CONSUMER, Commands(app, engine, blobs).handlers())
        await commands.start()
        close(commands.stop)
        await bus.answer_pings("planner")
        yield
