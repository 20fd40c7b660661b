"""Metrics: what they are called, that they cost nothing until somebody counts, and that none grows without bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families as families

from artdag_common import metrics
from artdag_common.metrics import NOTHING, Counter, Gauge, Histogram


@pytest.fixture
def exposition() -> Iterator[Callable[[], bytes]]:
    """Count, as an executor does, and give the text."""
    yield metrics.begin("executor")
    metrics.end()


def values(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a name, by the values of their labels in the order of those."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.parametrize("metric", metrics.declared(), ids=lambda metric: str(metric.name))
def test_a_metric_is_called_by_the_rules(metric: metrics.Metric) -> None:
    assert re.fullmatch("artdag_[a-z_]+", metric.name)
    assert metric.help_text.endswith(".")
    assert set(metric.services) <= set(metrics.SERVICES)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
    assert not {"user", "run", "run_id", "cid", "path", "cache_id", "address"} & set(metric.labels)


def test_names_are_given_once() -> None:
    names = [metric.name for metric in metrics.declared()]
    assert len(names) == len(set(names))


def test_nothing_is_counted_before_somebody_asks_for_it() -> None:
    assert not metrics.counting()
    for metric in metrics.declared():
        assert metric._child(("x",) * len(metric.labels)) is NOTHING


def test_what_is_counted_is_shown(exposition: Callable[[], bytes]) -> None:
    metrics.ATTEMPTS.of("TRIM", "completed").inc()
    metrics.ATTEMPTS.of("TRIM", "completed").inc(2)
    metrics.WORKERS.of().set(4)
    metrics.WORKERS_BUSY.of().set_function(lambda: 3.0)
    metrics.ATTEMPT_SECONDS.of("TRIM").observe(0.3)
    text = exposition()
    assert values(text, "artdag_step_attempts_total") == {("completed", "TRIM"): 3}
    assert values(text, "artdag_media_workers") == {(): 4}
    assert values(text, "artdag_media_workers_busy") == {(): 3}
    buckets = values(text, "artdag_step_attempt_seconds_bucket")
    assert (buckets["0.1", "TRIM"], buckets["0.5", "TRIM"], buckets["+Inf", "TRIM"]) == (0, 1, 1)
    assert values(text, "artdag_build_info") != {}
    assert values(text, "process_resident_memory_bytes") != {}
    assert not re.search(rb"_created\b", text)


def test_a_process_shows_what_concerns_it_alone(exposition: Callable[[], bytes]) -> None:
    shown = {family.name for family in families(exposition().decode())}
    assert metrics.WORKERS.name in shown
    assert metrics.RELAY_LEADS.name not in shown
    assert metrics.RELAY_LEADS.of() is NOTHING


def test_a_metric_has_so_many_children_and_no_more() -> None:
    counter = Counter("tried_total", "Of a test.", ("what",))
    counter.begin(CollectorRegistry())
    for number in range(metrics.MOST + 10):
        counter.of(str(number)).inc()
    assert counter.of("new") is counter.of("newer")
    assert counter.of("0") is not counter.of("new")
    assert len(counter._children) == metrics.MOST
    assert len(counter._family._metrics) == metrics.MOST + 1


@pytest.mark.parametrize("metric", [Counter("a_total", "."), Gauge("b", "."), Histogram("c_seconds", ".")])
def test_an_end_ends_it(metric: Counter | Gauge | Histogram) -> None:
    metric.begin(CollectorRegistry())
    child: object = metric.of()
    assert child is not NOTHING
    metric.end()
    child = metric.of()
    assert child is NOTHING
