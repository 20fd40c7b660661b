"""What the operator is shown of what was found: values in, values out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from services.gateway.api.doctor import renewed, report_of
from services.gateway.api.ops import SHOWN
from services.gateway.api.shapes import whole
from services.gateway.overview import EXECUTORS, INSTANCES, RUNNING, Seen, view
from services.gateway.presence import SILENT_SECONDS, Held, Instance
from services.gateway.standing import Relaying, Standing
from services.gateway.throughput import SPANS, Rates
from services.gateway.web.ops import Tile, chart, disk_tone, elapsed, rate, tiles
from services.gateway.work import Place, Work
from tests.unit.gateway.test_doctor import bus, well

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
GB = 10**9


def executor(name: str, heard: float = 0.3, **hands: int) -> Instance:
    return Instance("executor", name, heard, "node-1", 11, "0.1.0", AT - timedelta(hours=2), hands=hands)


def seen(**changes: Any) -> Seen:
    """A system of two executors, of which one works on two steps."""
    standing = changes.get("standing", well(runs={"running": 2}))
    return replace(
        Seen(
            at=AT,
            gateway="node-1-7",
            names_all=True,
            standing=standing,
            report=report_of(standing),
            instances=[
                Instance("auth", "node-1-3", 0.1, "node-1", 3, "0.1.0", AT, duties=("relay",)),
                executor("node-1-11", cpu=2, gpu=1),
                executor("node-2-5", heard=SILENT_SECONDS + 1, cpu=2),
                Instance(
                    "planner",
                    "node-1-4",
                    0.1,
                    "node-1",
                    4,
                    "0.1.0",
                    AT,
                    node="n1",
                    disk_free_bytes=GB,
                    disk_total_bytes=4 * GB,
                ),
                Instance(
                    "planner",
                    "node-2-4",
                    1.1,
                    "node-2",
                    4,
                    "0.2.0",
                    AT,
                    node="n2",
                    disk_free_bytes=GB,
                    disk_total_bytes=2 * GB * 10,
                ),
                Instance(
                    "cache",
                    "node-2-9",
                    0.2,
                    "node-2",
                    9,
                    "0.2.0",
                    AT,
                    node="n2",
                    disk_free_bytes=GB,
                    disk_total_bytes=20 * GB,
                ),
            ],
            held=[Held("node-1-11", "cpu", "c1"), Held("node-1-11", "inline", "x"), Held("node-1-11", "gpu", "c2")],
            work=Work(
                places={
                    "c1": Place("EFFECT", "apply_dog", AT - timedelta(seconds=9), 2, "r1", 3, 2, "owner"),
                    "c2": Place("PART", "part[2/9]", None, 1),
                },
                run_count=2,
                user_count=1,
                steps_left=7,
                handles={"owner": "@owner@localhost", "u-ada": "@ada@l2.example", "derived": "@derived@localhost"},
            ),
            rates=Rates((0,) * (SPANS - 3) + (10, 20, 1), (0,) * (SPANS - 2) + (3, 0), int(AT.timestamp()), 3.0, 90.0),
            position=41,
            letters=[],
            progress={"c1": (30, 120)}.get,
        ),
        **changes,
    )


def test_what_is_shown_is_what_the_documentation_promises() -> None:
    jsonschema.Draft202012Validator(whole(SHOWN)).validate(view(seen()))


def test_running_steps_say_whose_they_are_where_and_how_far() -> None:
    shown = view(seen())
    first, part = shown["running"]["items"]
    assert shown["running"]["count"] == 2
    assert (first["node"], first["executor"], first["class"], first["run_id"]) == (
        "apply_dog",
        "node-1-11",
        "cpu",
        "r1",
    )
    assert (first["done"], first["total"], first["attempt"], first["runs"]) == (30, 120, 2, 2)
    assert first["links"] == {"run": "/run/r1", "step": "/run/r1/steps/3", "log": "/api/run/r1/steps/3/log"}
    assert (part["type"], part["node"], part["since"], part["run_id"], part["done"]) == (
        "PART",
        "part[2/9]",
        None,
        None,
        None,
    )
    assert part["links"] == {"run": None, "step": None, "log": None}
    busy, silent = shown["executors"]["items"]
    assert busy["classes"] == [{"class": "cpu", "hands": 2, "busy": 1}, {"class": "gpu", "hands": 1, "busy": 1}]
    assert (busy["inline"], [each["cache_id"] for each in busy["steps"]]) == (1, ["c1", "c2"])
    assert (busy["state"], silent["state"], silent["steps"]) == ("ready", "silent", [])
    assert (shown["executors"]["hands"], shown["executors"]["busy"], shown["executors"]["silent"]) == (3, 2, 1)


@pytest.mark.parametrize(
    ("owner", "published", "alone", "named"),
    [
        ("u-ada", False, False, False),
        ("u-ada", True, False, True),
        ("owner", False, False, True),
        ("derived", False, True, False),
    ],
)
def test_what_others_call_their_things_is_not_told(owner: str, published: bool, alone: bool, named: bool) -> None:
    """Where several people use a server its operator sees their runs by id, as everywhere."""
    row = {"run_id": "r9", "owner": owner, "published": published, "recipe_name": "secret", "output_name": ""}
    failed = row | {
        "error_code": "step-input",
        "error": "too short",
        "error_step": 1,
        "error_node": "secret",
        "type": "SEGMENT",
        "updated_at": AT,
    }
    going = row | {"status": "running", "total": 4, "cached": 1, "completed": 1, "created_at": AT}
    found = replace(
        seen().work,
        places={"c1": Place("EFFECT", "secret", AT, 1, "r9", 3, 1, owner, published)},
        runs=[going],
        failures=[failed],
        failed_count=1,
    )
    shown = view(seen(work=found, names_all=alone))
    (failure,), (run,) = shown["failures"]["items"], shown["runs"]["items"]
    step = next(each for each in shown["running"]["items"] if each["cache_id"] == "c1")
    assert ("secret" in str(shown)) is named
    for each in (failure, run, step):
        assert each["run_id"] == "r9"
        assert (each["links"]["run"] is not None) is named
    assert (failure["type"], failure["kind"], failure["handle"]) == ("SEGMENT", "bad-input", found.handles[owner])
    assert (run["done"], run["total"]) == (2, 4)


def test_every_service_is_listed_and_who_has_no_process_too() -> None:
    shown = {each["service"]: each for each in view(seen())["services"]}
    assert list(shown) == ["auth", "cache", "planner", "executor", "gateway"]
    assert shown["planner"]["count"] == 2
    assert shown["planner"]["versions"] == ["0.1.0", "0.2.0"]
    assert shown["auth"]["instances"][0]["duties"] == ["relay"]
    assert (shown["gateway"]["count"], shown["gateway"]["answers"]) == (0, True)
    silent = view(seen(standing=well(answering={"planner": False})))
    assert not next(each for each in silent["services"] if each["service"] == "planner")["answers"]


def test_classes_say_what_waits_and_who_is_there_for_it() -> None:
    standing = well(bus=bus(depth={"cpu": 5, "highmem": 2}))
    shown = {each["class"]: each for each in view(seen(standing=standing))["queues"]["classes"]}
    assert shown["cpu"] == {
        "class": "cpu",
        "depth": 5,
        "waiting": 3,
        "in_hand": 2,
        "asked_for": 0,
        "hands": 2,
        "busy": 1,
        "executors": 1,
    }
    assert (shown["highmem"]["waiting"], shown["highmem"]["executors"]) == (2, 0), "nobody made its consumer yet"
    assert (shown["inline"]["hands"], shown["inline"]["executors"]) == (None, 1)
    assert list(shown)[-1] == "inline"


def test_a_disk_is_listed_once_for_all_processes_of_its_node_and_the_fullest_first() -> None:
    shown = view(seen())["disks"]
    assert [(each["node"], each["hosts"], each["used"]) for each in shown] == [
        ("n2", ["node-2"], 0.95),
        ("n1", ["node-1"], 0.75),
    ]


def test_lists_are_bounded_and_counted() -> None:
    many = [executor(f"e-{number:04}", cpu=1) for number in range(EXECUTORS + 5)]
    held = [Held(each.name, "cpu", f"c-{each.name}") for each in many]
    shown = view(seen(instances=many, held=held))
    assert shown["executors"]["count"] == shown["running"]["count"] == EXECUTORS + 5
    assert len(shown["executors"]["items"]) == EXECUTORS
    assert len(shown["running"]["items"]) == RUNNING
    assert len(next(each for each in shown["services"] if each["service"] == "executor")["instances"]) == INSTANCES


def test_where_nobody_answers_it_says_so_and_what_is_known_is_shown() -> None:
    standing = Standing(answering=dict.fromkeys(("planner", "executor", "cache", "auth"), False), redis=True)
    shown = view(seen(standing=standing, work=Work(known=False), letters=None))
    assert not shown["well"]
    assert shown["backing"] == {"postgres": False, "nats": False, "redis": True, "read_models": False}
    assert shown["dead_letters"]["count"] is None
    assert shown["lag"]["outbox_events"] is None
    assert shown["running"]["count"] == 2
    assert (shown["runs"]["count"], shown["runs"]["steps_left"], shown["runs"]["users"]["count"]) == (None, None, None)
    assert shown["failures"]["count"] is None
    assert {each["answers"] for each in shown["services"]} == {None, True}, "only the gateway knows of itself"
    assert {each["waiting"] for each in shown["queues"]["classes"]} == {None}
    jsonschema.Draft202012Validator(whole(SHOWN)).validate(shown)
    labels = {tile.label: tile for tile in tiles(shown)}
    for unknown in ("Dead letters", "On the queue", "Runs going on", "Hands at work"):
        assert labels[unknown].value == "?", unknown


@pytest.mark.parametrize("away", ["postgres", "nats", "redis"])
def test_all_is_not_well_without_what_everything_stands_on(away: str) -> None:
    assert view(seen())["well"]
    shown = view(seen(standing=well(**{away: False})))
    assert not shown["well"]
    assert [name for name, there in shown["backing"].items() if not there] == [away]
    (finding,) = shown["doctor"]["findings"]
    assert finding["wrong"]
    assert finding["check"] == away


def test_who_does_not_answer_is_told_once_before_doctor_has_looked_and_after() -> None:
    standing = well(postgres=False, running=False)
    for report in (report_of(well()), report_of(standing)):
        doctor = view(seen(standing=standing, report=renewed(report, standing)))["doctor"]
        assert [each["check"] for each in doctor["findings"]] == ["postgres", "read_models"]
        assert doctor["checked"] == report["checked"]


def test_lag_is_as_it_was_found() -> None:
    shown = view(seen(standing=well(relaying=Relaying(3, 1.25, None, 9))))["lag"]
    assert shown["outbox_events"] == 3
    assert shown["outbox_seconds"] == 1.25
    assert shown["stream_events"] is None
    assert (shown["read_model_events"], shown["position"]) == (9, 41)


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_tiles_say_what_is_wrong() -> None:
    found = {tile.label: tile for tile in tiles(view(seen(standing=well(bus=bus(letters={"cache": 2})))))}
    assert found["Steps a second"].value == "3.0"
    assert found["Hands at work"] == Tile("Hands at work", "2 / 3", "of 1 executor, 1 silent", "executors", "wait")
    assert found["Dead letters"] == Tile("Dead letters", "2", "wait for you", "letters", "bad")
    assert (found["Fullest disk"].value, found["Fullest disk"].tone) == ("95 %", "bad")
    assert found["On the queue"].value == "3"
    nobody = {tile.label: tile for tile in tiles(view(seen(instances=[], held=[])))}
    assert (nobody["Hands at work"].tone, nobody["Fullest disk"].value) == ("bad", "?")


def test_the_chart_has_a_bar_a_span_and_failures_on_top() -> None:
    found = chart({"completed": [0, 10, 30], "failed": [0, 10, 0], "span_seconds": 5})
    assert found.width == 30
    assert [(bar.x, bar.completed, bar.failed) for bar in found.bars] == [(0, 0, 0), (10, 33.3, 33.3), (20, 100, 0)]
    assert (found.peak, found.failed) == (6.0, 10)
    empty = chart({"completed": [0, 0], "failed": [0, 0], "span_seconds": 5})
    assert {bar.completed for bar in empty.bars} == {0}
    assert empty.peak == 0


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (0.04, "0.0"), (2.43, "2.4"), (99.94, "99.9"), (1234.5, "1\u202f234")]
)
def test_rates_are_short(value: float, said: str) -> None:
    assert rate(value) == said


def test_a_time_that_is_not_known_lasts_for_no_known_time() -> None:
    assert elapsed("2026-11-22T12:00:09Z", None) is None
    assert elapsed("2026-11-22T12:00:09Z", "2026-11-22T12:00:00.500000Z") == 8.5
    assert elapsed("2026-11-22T12:00:00Z", "2026-11-22T12:00:09Z") == 0, "clocks differ a little"


@pytest.mark.parametrize(("used", "tone"), [(0.1, ""), (0.8, "wait"), (0.919, "wait"), (0.92, "bad"), (1.0, "bad")])
def test_a_disk_that_is_nearly_full_is_told_in_time(used: float, tone: str) -> None:
    assert disk_tone(used) == tone
