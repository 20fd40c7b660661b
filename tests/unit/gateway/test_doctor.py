"""Doctor's checks, each on a system that lacks one thing; and what the metrics say of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from artdag_common.config import Settings
from services.gateway.api.doctor import CHECKS, Finding, renewed, report_of
from services.gateway.api.metrics import exposition
from services.gateway.presence import Instance
from services.gateway.standing import SERVICES, Relaying, Standing, Still, places

SINCE = datetime(2026, 11, 22, 4, tzinfo=UTC)


def bus(**changes: Any) -> dict[str, Any]:
    """How the streams of a well system stand."""
    consumers = [
        {"stream": "EVENTS", "name": "planner", "pending": 0, "in_hand": 0, "most_in_hand": 4000, "waiting": 1},
        {"stream": "WORK", "name": "executor-cpu", "pending": 3, "in_hand": 2, "most_in_hand": 2, "waiting": 0},
        {"stream": "WORK", "name": "executor-gpu", "pending": 0, "in_hand": 0, "most_in_hand": 2, "waiting": 0},
    ]
    streams = {name: {"messages": 0, "last": 0, "bytes": 0} for name in ("CMD", "WORK", "EVENTS", "DLQ")}
    return {"letters": {}, "streams": streams, "consumers": consumers, "depth": {"cpu": 5}} | changes


def well(**changes: Any) -> Standing:
    """A system in which nothing is wrong."""
    standing = Standing(
        answering=dict.fromkeys(SERVICES, True),
        postgres=True,
        nats=True,
        redis=True,
        places={"postgres": "db:5432/artdag", "nats": "a:4222, b:4222", "redis": "redis:6379"},
        bus=bus(),
        running=True,
        relaying=Relaying(0, 0.0, 0, 0),
    )
    for name, value in changes.items():
        setattr(standing, name, value)
    return standing


def still(status: str, scheduled: int = 0, waiting: int = 0) -> Still:
    return Still("r1", "u-ada", status, SINCE, 1, 4, scheduled, waiting)


def instance(service: str, **told: Any) -> Instance:
    return Instance(service, f"{service}-1", 0.1, host="node-1", version=told.pop("version", "0.2.0"), **told)


def found(standing: Standing) -> list[tuple[str, Finding]]:
    return [(check.__name__, finding) for check in CHECKS for finding in check(standing)]


def test_a_well_system_has_nothing_to_tell() -> None:
    assert found(well()) == []


FULL = [{"stream": "EVENTS", "name": "cache", "pending": 9, "in_hand": 3900, "most_in_hand": 4000, "waiting": 1}]
UNSERVED = bus(depth={"cpu": 5, "gpu": 2})


@pytest.mark.parametrize(
    ("standing", "check", "what", "wrong"),
    [
        (well(answering=dict.fromkeys(SERVICES, True) | {"cache": False}), "services", "the cache does not", True),
        (well(postgres=False), "postgres", "Postgres does not answer in time at db:5432/artdag", True),
        (
            well(refuses={"postgres": "it is a standby"}),
            "postgres",
            "nothing can be written to Postgres at db:5432/artdag: it is a standby",
            True,
        ),
        (well(nats=False), "nats", "NATS does not answer at a:4222, b:4222", True),
        (well(bus=None), "nats", "how the streams stand cannot be read from NATS at a:4222, b:4222", True),
        (well(redis=False), "redis", "Redis does not answer at redis:6379", True),
        (
            well(refuses={"redis": "READONLY"}),
            "redis",
            "nothing can be written to Redis at redis:6379: READONLY",
            True,
        ),
        (well(bus=bus(streams={"CMD": {}, "EVENTS": {}, "DLQ": {}})), "streams", "the stream WORK is missing", True),
        (well(bus=bus(consumers=[*bus()["consumers"], *FULL])), "streams", "3900 of at most 4000", True),
        (well(running=False), "read_models", "the read models stand still", True),
        (well(passed_over={"RunSung": 2}), "lag", "passed over 2 events RunSung", True),
        (well(relaying=Relaying(7, 30.0, 0, 0)), "lag", "7 committed events", True),
        (well(relaying=Relaying(0, 0.0, 9000, 0)), "lag", "9000 events are not in the stream", True),
        (well(relaying=Relaying(0, 0.0, 3, 0, 11.0)), "lag", "3 events are not in the stream yet, one for 11 s", True),
        (well(relaying=Relaying(0, 0.0, None, 9000)), "lag", "lack 9000 events", True),
        (well(bus=bus(letters={"planner": 1})), "dead_letters", "1 dead letter of the planner", True),
        (well(bus=bus(letters={"planner": 2, "auth": 0})), "dead_letters", "2 dead letters of the planner", True),
        (well(bus=UNSERVED), "classes", "nobody serves the class gpu: 2", True),
        (well(still=[still("paused")]), "runs", "is paused since 2026-11-22T04:00:00", False),
        (well(still=[still("planned")]), "runs", "is planned and held", False),
        (well(still=[still("requested")]), "runs", "is requested since", True),
        (well(still=[still("analyzing", 1)]), "runs", "waits for its turn: 1 steps", False),
        (well(still=[still("running", 3)]), "runs", "waits for its turn: 3 steps", False),
        (well(still=[still("running", 0, 2)]), "runs", "waits to try 2 steps again", False),
        (well(still=[still("running")]), "runs", "stands still since", True),
        (
            well(instances=[instance("planner"), *(instance(name, version="0.1.0") for name in ("cache", "auth"))]),
            "versions",
            "0.1.0: auth, cache; 0.2.0: planner",
            False,
        ),
        (
            well(instances=[instance("planner"), instance("executor", version="")]),
            "versions",
            "one that does not tell: executor",
            False,
        ),
        (well(instances=[instance("planner", ahead_seconds=-7.0)]), "clocks", "of node-1 is 7 s behind", False),
        (
            well(instances=[instance("cache", ahead_seconds=7.0), instance("planner", ahead_seconds=61.0)]),
            "clocks",
            "of node-1 is 61 s ahead",
            True,
        ),
        (
            well(instances=[instance("cache", node="n", disk_free_bytes=2**30, disk_total_bytes=20 * 2**30)]),
            "disks",
            "node-1 has 1024 MiB left of 20 GiB",
            False,
        ),
        (
            well(
                instances=[
                    instance(name, node="n", disk_free_bytes=2**20, disk_total_bytes=20 * 2**30)
                    for name in ("cache", "planner")  # of one node, whose disk is one
                ]
            ),
            "disks",
            "node-1 has 1 MiB left",
            True,
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(standing: Standing, check: str, what: str, wrong: bool) -> None:
    ((name, finding),) = found(standing)
    assert name == check
    assert what in finding.what
    assert finding.wrong is wrong
    assert len(finding.how) > 3


def test_what_is_as_it_should_be_is_not_told() -> None:
    near = instance("planner", ahead_seconds=-1.5)
    roomy = instance("cache", node="n", disk_free_bytes=3 * 2**40, disk_total_bytes=100 * 2**40)
    assert found(well(instances=[near, roomy])) == []


def test_a_run_whose_class_nobody_serves_says_so() -> None:
    (_, of_class), (name, of_run) = found(well(bus=UNSERVED, still=[still("running", 2)]))
    assert name == "runs"
    assert of_run.wrong
    assert of_class.what in of_run.what


def test_where_nothing_answers_there_is_something_to_tell_all_the_same() -> None:
    told = found(Standing(answering=dict.fromkeys(SERVICES, False)))
    assert [name for name, _ in told] == ["postgres", "nats", "redis", "read_models"]
    assert [finding.what for _, finding in told][2] == "Redis does not answer", "where it should be is not known"


def test_services_that_nobody_can_ask_are_not_said_to_be_silent() -> None:
    silent = dict.fromkeys(SERVICES, False)
    assert [name for name, _ in found(well(nats=False, bus=None, answering=silent))] == ["nats"]
    assert [name for name, _ in found(well(bus=None, answering=silent))] == ["services"] * len(SERVICES)


def test_a_report_is_renewed_where_everything_stands_on() -> None:
    gone = report_of(well(redis=False, bus=bus(letters={"planner": 1})))
    assert [each["check"] for each in gone["findings"]] == ["redis", "dead_letters"]
    again = renewed(gone, well())
    assert [each["check"] for each in again["findings"]] == ["dead_letters"]
    assert not again["well"]
    assert renewed(report_of(well(redis=False)), well()) == report_of(well())
    assert renewed(report_of(well()), well(running=False)) == report_of(well(running=False))


def test_where_servers_are_is_told_without_their_accounts() -> None:
    settings = Settings.model_validate(
        {
            "DATABASE_URL": "postgresql://ada:secret@db:5432/artdag?sslmode=require",
            "NATS_URL": "nats://ada:secret@a:4222,b:4222",
            "REDIS_URL": "redis://:secret@redis:6379/5",
        }
    )
    assert places(settings) == {"postgres": "db:5432/artdag", "nats": "a:4222, b:4222", "redis": "redis:6379"}


def lines(standing: Standing, **more: Any) -> list[str]:
    counted = more.get("counted", [("failed", "bad-input", 2)])
    return "".join(exposition(standing, counted, more.get("refused", {}), 41)).splitlines()


def test_metrics_of_a_system_that_does_not_answer_say_that_it_does_not() -> None:
    told = lines(Standing(answering={"planner": False}))
    assert 'artdag_up{part="planner"} 0' in told
    assert 'artdag_up{part="postgres"} 0' in told
    assert not [line for line in told if "dead_letters" in line]  # unknown is not none


def test_metrics_are_numbers_with_labels() -> None:
    told = lines(
        well(bus=bus(letters={"cache": 2}), runs={"running": 3}, repaired={"end-taken-in": 12_345_678}),
        refused={(429, "queue-full"): 4, (503, "system-busy"): 1},
    )
    for line in (
        'artdag_dead_letters{service="planner"} 0',
        'artdag_dead_letters{service="cache"} 2',
        'artdag_queue_depth{class="cpu"} 5',
        'artdag_runs{status="running"} 3',
        'artdag_repairs_total{what="end-taken-in"} 12345678',
        'artdag_step_ends_total{end="failed",kind="bad-input"} 2',
        'artdag_refused_requests_total{status="429",code="queue-full"} 4',
        'artdag_refused_requests_total{status="503",code="system-busy"} 1',
        'artdag_relay_lag_events{to="outbox"} 0',
        "artdag_relay_lag_seconds 0",
        "artdag_projector_lag_events 0",
        "artdag_position 41",
    ):
        assert line in told, line
    assert len({line.split(" ")[2] for line in told if line.startswith("# TYPE")}) == len(
        [line for line in told if line.startswith("# TYPE")]
    )


def test_a_label_with_quotes_and_lines_stays_one_label() -> None:
    told = lines(well(), counted=[("failed", 'a"b\\c\nd', 1)])
    assert 'artdag_step_ends_total{end="failed",kind="a\\"b\\\\c\\nd"} 1' in told
