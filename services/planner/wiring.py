"""Builds the planner's adapters and passes them in."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from artdag_common.application import Application
from artdag_common.blobs.local import stored_in
from artdag_common.blobs.port import BlobStore
from artdag_common.blobs.wiring import layered_blobs
from artdag_common.config import Settings
from artdag_common.domain.provenance import Infrastructure, hardware_document, software_document
from artdag_common.domain.retention import PROVENANCE
from artdag_common.effects import uploaded
from artdag_common.eventstore import postgres
from artdag_common.eventstore.holds import Holds, Need
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.messaging.presence import Announcement
from artdag_common.people import People
from artdag_common.probing import Parts, backing
from artdag_common.process import cleanup
from artdag_common.turning import Loop, all_turn
from artdag_common.version import VERSION
from services.planner.classes import Classes
from services.planner.dispatcher import Dispatcher
from services.planner.engine import Engine
from services.planner.following import Following
from services.planner.handlers import CONSUMER, Commands
from services.planner.hands import Hands
from services.planner.needs import Limits
from services.planner.presence import Presence
from services.planner.repairs import Repairs
from services.planner.slots import Looking, Most, PostgresSlots


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


async def keep_described(holds: Holds, blobs: BlobStore, infrastructure: Infrastructure) -> None:
    """Keep the descriptions for the runs to come, each of which names them when it is over."""
    cids = (infrastructure.software_cid, infrastructure.hardware_cid)
    stamps = await blobs.stamps(cids)
    await holds.keep("system-planner", [Need(cid, PROVENANCE, stamps.get(cid, 0)) for cid in cids])


@asynccontextmanager
async def planner(settings: Settings) -> AsyncIterator[Parts]:
    """The planner, from connected to closed."""
    async with cleanup() as close:
        bus = await Bus.connect(settings.nats_url, "planner", settings.nats_seed)
        close(bus.close)
        blobs = await layered_blobs(settings, bus, close)
        uploaded.look_in(stored_in(blobs.folder))
        pool = await postgres.connect(settings.database_url)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        app = Application(store)
        infrastructure = await describe_infrastructure(blobs)
        await keep_described(Holds(pool), blobs, infrastructure)
        hands = Hands(bus)
        most = Most(settings.class_limits, settings.user_limits)
        slots = PostgresSlots(pool, most) if most else None
        repairs = Repairs(pool, store, f"{socket.gethostname()}/{os.getpid()}")
        bus.on_missing(repairs.sent_again)
        await repairs.start()
        close(repairs.stop)
        dispatcher = Dispatcher(
            bus.dispatch,
            hands.window,
            slots=slots,
            weights=settings.user_weights,
            withdraw=bus.withdraw,
            send_again=bus.dispatch_again,
        )
        await hands.start(dispatcher.fill)
        close(hands.stop)
        queue: list[Loop] = [hands]
        if slots:
            looking = Looking(dispatcher.look_after_slots)
            await looking.start()
            close(looking.stop)
            queue.append(looking)
        engine = Engine(
            app,
            pool,
            blobs,
            dispatcher,
            infrastructure,
            settings.cluster_key,
            People(pool, settings.l2_domain),
            bus.withdraw,
            Limits(settings.quota_bytes, settings.max_user_runs, settings.max_runs),
            Classes(settings.step_classes),
            repairs,
            hands.of_a_run,
        )
        following = Following(bus, pool, engine, repairs)
        await following.start()
        close(following.stop)
        commands = CommandConsumer(bus, store, CONSUMER, Commands(app, engine, blobs).handlers())
        commands.on_made_again(repairs.consumer_made)
        await commands.start()
        close(commands.stop)
        presence = Presence(bus, repairs.given_to_others)
        await presence.start()
        close(presence.stop)
        here = Announcement(bus, "planner", folder=blobs.folder)
        await here.start()
        close(here.stop)
        await bus.answer_pings("planner")
        yield Parts(
            ready={
                **backing(bus, pool),
                "commands": lambda: commands.pulling,
                "events": lambda: following.pulling,
            },
            live={
                "commands": all_turn(commands),
                "events": all_turn(following),
                "executors": all_turn(presence),
                "queue": all_turn(*queue),
                "repairs": all_turn(repairs),
            },
            samples=(dispatcher.show,),
        )
