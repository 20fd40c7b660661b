"""Rules and dashboards: they can be read, they ask for metrics that are declared, and every alert is tested.

That a running system shows these metrics: ``tests/integration/seeing/test_metrics.py``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from artdag_common import metrics
from tests.promql import DASHBOARDS, MONITORING, ROOT, TARGETS, Asked, asked_for, expressions, rules

SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("",), "gauge": ("",)}
OURS = {
    metric.name + suffix: set(metric.labels) | ({"le"} if suffix == "_bucket" else set())
    for metric in metrics.declared()
    for suffix in SUFFIXES[metric.kind]
}
PROMTOOL = shutil.which("promtool")


def fresh(*command: str) -> None:
    """Check that what a program of ours makes is what is there."""
    done = subprocess.run([sys.executable, *command, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_metrics_is_fresh() -> None:
    fresh("docs/build_metrics.py")


def test_the_dashboards_are_fresh() -> None:
    fresh("monitoring/build.py")


@pytest.mark.parametrize("asked", list(expressions()), ids=lambda asked: str(asked.where))
def test_what_is_asked_for_is_declared(asked: Asked) -> None:
    for name, labels in asked_for(asked.expression).items():
        if name in OURS:
            assert labels - TARGETS <= OURS[name], f"{name} has no such labels"


def test_every_metric_that_is_declared_is_shown_somewhere() -> None:
    shown = {name for asked in expressions() for name in asked_for(asked.expression)}
    for metric in metrics.declared():
        assert shown & {metric.name + suffix for suffix in SUFFIXES[metric.kind]}, f"no panel or rule has {metric.name}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_tells_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "action", "runbook"}
    page, _, section = told["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert not section or section in anchors, f"{page} has no such section"


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load((MONITORING / "alerts.test.yml").read_text())["tests"]
    fires: set[str] = set()
    does_not: set[str] = set()
    for test in tests:
        for each in test["promql_expr_test"]:
            name = re.findall(r'alertname="(\w+)"', each["expr"])[0]
            (fires if each["exp_samples"] else does_not).add(name)
    names = {rule["alert"] for rule in rules()}
    assert len(names) == len(rules())
    assert fires == does_not == names


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.stem))
def test_a_dashboard_has_its_panels_side_by_side(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))
    assert all(
        target["datasource"]["uid"] == "${datasource}" for p in dashboard["panels"] for target in p.get("targets", ())
    )


def test_every_service_is_scraped() -> None:
    jobs = {
        job["job_name"]: job for job in yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    }
    assert set(jobs) == {*metrics.SERVICES, "system"}
    for service in metrics.SERVICES:
        (found,) = jobs[service]["dns_sd_configs"]
        assert (found["names"], found["port"]) == ([service], 9100)


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not there: apt-get download prometheus && dpkg -x prometheus_*.deb ."
)
@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    done = subprocess.run([str(PROMTOOL), *command], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
