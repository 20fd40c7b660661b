"""What the rules and the dashboards in ``monitoring/`` ask Prometheus for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml
from promql_parser import AggregateExpr, Call, Expr, StringLiteral, VectorSelector

ROOT = Path(__file__).resolve().parents[1]
MONITORING = ROOT / "monitoring"
RULES = MONITORING / "alerts.yml"
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))

FOR_GRAFANA = {"$__rate_interval": "5m", "$job": ".+", "$instance": ".+"}
TARGETS = frozenset({"job", "instance"})
"""Labels that Prometheus gives each sample."""


class Asked(NamedTuple):
    """An expression, and where it stands."""

    where: str
    expression: str


def rules() -> list[dict[str, Any]]:
    """Return all alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> Iterator[Asked]:
    """Yield all expressions of rules, panels and choices."""
    for rule in rules():
        yield Asked(f"alert {rule['alert']}", rule["expr"])
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield Asked(f"{path.stem}: {panel['title']}", _without_variables(target["expr"]))
        for variable in dashboard["templating"]["list"]:
            if match := re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", "")):
                yield Asked(f"{path.stem}: ${variable['name']}", f"count by ({match[2]}) ({match[1]})")


def _without_variables(expression: str) -> str:
    for name, value in FOR_GRAFANA.items():
        expression = expression.replace(name, value)
    return expression


def asked_for(expression: str) -> dict[str, set[str]]:
    """Return the names of metrics in an expression, each with the labels that it is expected to have.

    Labels of an aggregation are expected of all metrics in it: what is joined here has the same.

    Raises:
        ValueError: it is no PromQL.
    """
    found: dict[str, set[str]] = {}
    _gather(promql_parser.parse(_without_variables(expression)), set(), found)
    return found


def _gather(expression: Expr, labels: set[str], found: dict[str, set[str]]) -> None:
    if isinstance(expression, VectorSelector):
        assert expression.name, "every selector names its metric"
        mine = {matcher.name for matcher in expression.matchers.matchers}
        found.setdefault(expression.name, set()).update(labels, mine)
        return
    if isinstance(expression, AggregateExpr) and expression.modifier:
        labels = labels | set(expression.modifier.labels)
    if isinstance(expression, Call) and expression.func.name == "label_replace":
        made, _, source, _ = [each.val for each in expression.args if isinstance(each, StringLiteral)]
        labels = labels - {made} | {source}
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if isinstance(inner := getattr(expression, name, None), Expr):
            _gather(inner, labels, found)
    for argument in getattr(expression, "args", ()):
        if isinstance(argument, Expr):
            _gather(argument, labels, found)
