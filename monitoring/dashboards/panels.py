"""Panels of Grafana, and the expressions of Prometheus that they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 24
RATE = "$__rate_interval"
ON = 'job=~"$job", instance=~"$instance"'
"""What the choices at the top of a dashboard leave."""

HALF, MOST, NEARLY_ALL = (0.5, "half"), (0.95, "19 of 20"), (0.99, "99 of 100")
"""How many of what happens are quicker, and how that is called."""


@dataclass(frozen=True)
class Panel:
    """A panel: a title, its lines (an expression, and what each is called), a unit of Grafana's.

    Attributes:
        kind: timeseries, stat or table.
        width: of :data:`WIDTH`.
        stacked: lines add up to something.
        bad_from: value from which it is red.
    """

    title: str
    lines: Sequence[tuple[str, str]]
    unit: str = "short"
    help_text: str = ""
    kind: str = "timeseries"
    width: int = 12
    stacked: bool = False
    bad_from: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """A dashboard: what it is called, what it tells, and its panels from top to bottom."""

    title: str
    about: str
    rows: Sequence[Row]


def rates(title: str, metric: str, *by: str, where: str = ON, unit: str = "ops", **more: Any) -> Panel:
    """Return a panel: how often something happens in a second, by labels. ``more``: of :class:`Panel`."""
    return Panel(title, [(rate(metric, *by, where=where), named(by))], unit, **more)


def times(title: str, metric: str, *by: str, shares: Sequence[tuple[float, str]] = (HALF, MOST), **more: Any) -> Panel:
    """Return a panel: how long things take, by labels. The title names the share of them, if it is one.

    Args:
        shares: of them that take less: 0 to 1, and its name.
        more: of :class:`Panel`.
    """
    if len(shares) == 1:
        ((share, name),) = shares
        return Panel(f"{title}, {name}", [(quantile(share, metric, *by), named(by))], "s", **more)
    before = f"{named(by)}: " if by else ""
    return Panel(title, [(quantile(share, metric, *by), f"{before}{name}") for share, name in shares], "s", **more)


def sums(title: str, metric: str, *by: str, **more: Any) -> Panel:
    """Return a panel: how much there is of something at all processes, by labels. ``more``: of :class:`Panel`."""
    return Panel(title, [(total(metric, *by), named(by))], **more)


def known(title: str, metric: str, *by: str, **more: Any) -> Panel:
    """Return a panel: what every gateway says of the whole system, by labels. ``more``: of :class:`Panel`."""
    return Panel(title, [(of_system(metric, *by), named(by))], **more)


def part(title: str, metric: str, where: str, name: str) -> Panel:
    """Return a panel: how much of what happens has certain labels."""
    return Panel(title, [(f"{rate(metric, where=f'{where}, {ON}')} / {rate(metric)}", name)], "percentunit")


def used(title: str, how: str, by: str, metrics: tuple[str, str], **more: Any) -> Panel:
    """Return a panel: how much of a thing is used. ``how``: the aggregation of both metrics, the part and the whole."""
    of_part, of_whole = (f"{how} by ({by}) ({metric}{{{ON}}})" for metric in metrics)
    return Panel(title, [(f"{of_part} / {of_whole}", named((by,)))], "percentunit", **more)


def named(by: Sequence[str]) -> str:
    """Return how a line is called: the values of its labels."""
    return " ".join(f"{{{{{label}}}}}" for label in by)


def rate(metric: str, *by: str, where: str = ON) -> str:
    """Return the expression for how often something happens in a second."""
    return _summed(f"rate({metric}{{{where}}}[{RATE}])", by)


def total(metric: str, *by: str) -> str:
    """Return the expression for how much there is at all processes."""
    return _summed(f"{metric}{{{ON}}}", by)


def of_system(metric: str, *by: str) -> str:
    """Return the expression for what every gateway tells alike."""
    return f"max by ({', '.join(by)}) ({metric})" if by else f"max({metric})"


def quantile(share: float, metric: str, *by: str) -> str:
    """Return the expression for a quantile of a histogram."""
    return f"histogram_quantile({share}, {_summed(f'rate({metric}_bucket{{{ON}}}[{RATE}])', (*by, 'le'))})"


def _summed(expression: str, by: Sequence[str]) -> str:
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"
