"""Makes the dashboards in monitoring/grafana/dashboards from the lists below.

python monitoring/build.py           write them
python monitoring/build.py --check   say whether they are stale; exit 1 if they are
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
HEIGHT = 8
RATE = "$__rate_interval"
ON = 'job=~"$job", instance=~"$instance"'
"""What the choices at the top of a dashboard leave."""


OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name", "graphMode": "none"},
    "table": {},
}


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


def quantile(share: float, metric: str, by: str = "", where: str = ON) -> str:
    """Return the expression for a quantile of a histogram."""
    labels = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{where}}}[{RATE}])))"


def rate(metric: str, by: str = "", where: str = ON) -> str:
    """Return the expression for how often something happens in a second."""
    return f"sum by ({by}) (rate({metric}{{{where}}}[{RATE}]))" if by else f"sum(rate({metric}{{{where}}}[{RATE}]))"


def part_of(metric: str, where: str) -> str:
    """Return the expression for how much of what happens has these labels."""
    return f"{rate(metric, where=f'{where}, {ON}')} / {rate(metric)}"


def share(how: str, part: str, whole: str) -> str:
    """Return the expression for how much of a thing is used. ``how``: an aggregation, of both."""
    return f"{how} ({part}{{{ON}}}) / {how} ({whole}{{{ON}}})"


DASHBOARDS: dict[str, tuple[str, str, Sequence[Row]]] = {
    "overview": (
        "Art DAG: overview",
        "Whether it works, how much goes on, and what the processes take.",
        [
            Row(
                "Now",
                [
                    Panel("Parts that answer", [("min by (part) (artdag_up)", "{{part}}")], kind="stat", width=12),
                    Panel("Runs that go on", [("sum(max by (status) (artdag_runs))", "runs")], kind="stat", width=4),
                    Panel(
                        "Dead letters",
                        [("sum(max by (service) (artdag_dead_letters))", "letters")],
                        kind="stat",
                        width=4,
                        bad_from=1,
                    ),
                    Panel("Executors", [("max(artdag_planner_executors)", "executors")], kind="stat", width=4),
                ],
            ),
            Row(
                "Requests",
                [
                    Panel(
                        "Requests by status",
                        [(rate("artdag_http_requests_total", "status"), "{{status}}")],
                        "reqps",
                        stacked=True,
                    ),
                    Panel(
                        "Time until an answer begins",
                        [
                            (quantile(0.5, "artdag_http_request_seconds"), "half"),
                            (quantile(0.95, "artdag_http_request_seconds"), "19 of 20"),
                            (quantile(0.99, "artdag_http_request_seconds"), "99 of 100"),
                        ],
                        "s",
                    ),
                    Panel(
                        "Slowest routes, 19 of 20",
                        [
                            (
                                f"topk(8, {quantile(0.95, 'artdag_http_request_seconds', 'method, route')})",
                                "{{method}} {{route}}",
                            )
                        ],
                        "s",
                    ),
                    Panel(
                        "Refused for want of room",
                        [(f"sum by (code) (rate(artdag_refused_requests_total[{RATE}]))", "{{code}}")],
                        "reqps",
                    ),
                    Panel("Bytes sent", [(rate("artdag_http_sent_bytes_total", "job"), "{{job}}")], "Bps"),
                    Panel(
                        "Open requests and live streams",
                        [
                            (f"sum by (job) (artdag_http_requests_in_progress{{{ON}}})", "requests of {{job}}"),
                            (f"sum(artdag_sse_clients{{{ON}}})", "who watch a run"),
                        ],
                    ),
                ],
            ),
            Row(
                "Processes",
                [
                    Panel(
                        "Processor time",
                        [(rate("process_cpu_seconds_total", "job"), "{{job}}")],
                        "percentunit",
                        "1 is one processor; media processes are not in it.",
                    ),
                    Panel(
                        "Memory",
                        [(f"sum by (job) (process_resident_memory_bytes{{{ON}}})", "{{job}}")],
                        "bytes",
                        "Media processes are not in it.",
                    ),
                    Panel(
                        "Event loop: late by, 99 of 100",
                        [(quantile(0.99, "artdag_event_loop_lag_seconds", "job"), "{{job}}")],
                        "s",
                        bad_from=0.5,
                    ),
                    Panel(
                        "Connections to Postgres in use",
                        [
                            (
                                share(
                                    "sum by (job)",
                                    "artdag_postgres_connections_busy",
                                    "artdag_postgres_connections_most",
                                ),
                                "{{job}}",
                            )
                        ],
                        "percentunit",
                        bad_from=1,
                    ),
                    Panel(
                        "Connections to Postgres that are open",
                        [(f"sum by (job) (artdag_postgres_connections_open{{{ON}}})", "{{job}}")],
                        help_text="Of the pools; the relay has one more.",
                    ),
                    Panel(
                        "Reconnections to NATS",
                        [
                            (
                                f"sum by (account) (increase(artdag_nats_reconnections_total{{{ON}}}[{RATE}]))",
                                "{{account}}",
                            )
                        ],
                    ),
                    Panel(
                        "Started",
                        [(f"process_start_time_seconds{{{ON}}} * 1000", "{{job}} {{instance}}")],
                        "dateTimeFromNow",
                        kind="stat",
                    ),
                    Panel(
                        "Versions",
                        [
                            (
                                f"count by (service, version, python) (artdag_build_info{{{ON}}})",
                                "{{service}} {{version}}, Python {{python}}",
                            )
                        ],
                        kind="stat",
                        width=24,
                    ),
                ],
            ),
        ],
    ),
    "runs-and-steps": (
        "Art DAG: runs and steps",
        "What is planned, what waits, what executes and what fails.",
        [
            Row(
                "Runs",
                [
                    Panel("Runs that go on", [("max by (status) (artdag_runs)", "{{status}}")], stacked=True),
                    Panel(
                        "Commands to planners",
                        [
                            (
                                rate("artdag_commands_total", "command, outcome", f'job="planner", {ON}'),
                                "{{command}} {{outcome}}",
                            )
                        ],
                        "ops",
                    ),
                    Panel(
                        "Steps planned", [(rate("artdag_steps_planned_total", "how"), "{{how}}")], "ops", stacked=True
                    ),
                    Panel(
                        "Cache hit ratio",
                        [
                            (
                                part_of("artdag_steps_planned_total", 'how="cached"'),
                                "steps whose output was there",
                            )
                        ],
                        "percentunit",
                    ),
                    Panel(
                        "Time of planning",
                        [
                            (quantile(0.5, "artdag_plan_seconds"), "half"),
                            (quantile(0.95, "artdag_plan_seconds"), "19 of 20"),
                        ],
                        "s",
                    ),
                    Panel(
                        "Runs in the planners' memory",
                        [(f"sum by (instance) (artdag_planner_runs{{{ON}}})", "{{instance}}")],
                    ),
                ],
            ),
            Row(
                "Queue",
                [
                    Panel(
                        "Steps that wait",
                        [
                            (f"sum by (class) (artdag_planner_steps_waiting{{{ON}}})", "{{class}}, kept back"),
                            ("max by (class) (artdag_queue_depth)", "{{class}}, on the queue (messages)"),
                        ],
                    ),
                    Panel(
                        "Time on the queue",
                        [
                            (quantile(0.5, "artdag_step_queue_seconds", "class"), "{{class}}: half"),
                            (quantile(0.95, "artdag_step_queue_seconds", "class"), "{{class}}: 19 of 20"),
                        ],
                        "s",
                    ),
                    Panel("Steps that are out", [(f"sum by (class) (artdag_planner_steps_out{{{ON}}})", "{{class}}")]),
                    Panel("Executors", [(f"max(artdag_planner_executors{{{ON}}})", "heard by a planner")]),
                ],
            ),
            Row(
                "Execution",
                [
                    Panel(
                        "Attempts by end", [(rate("artdag_step_attempts_total", "end"), "{{end}}")], "ops", stacked=True
                    ),
                    Panel(
                        "Attempts by type",
                        [(rate("artdag_step_attempts_total", "type"), "{{type}}")],
                        "ops",
                        stacked=True,
                    ),
                    Panel(
                        "Time of an attempt, 19 of 20",
                        [(quantile(0.95, "artdag_step_attempt_seconds", "type"), "{{type}}")],
                        "s",
                    ),
                    Panel(
                        "Failures by kind",
                        [(rate("artdag_step_failures_total", "kind"), "{{kind}}")],
                        "ops",
                        stacked=True,
                    ),
                    Panel(
                        "Media processes",
                        [
                            (f"sum by (instance) (artdag_media_workers_busy{{{ON}}})", "{{instance}}"),
                            (f"sum(artdag_media_workers{{{ON}}})", "there could be"),
                        ],
                    ),
                    Panel(
                        "Steps being executed", [(f"sum by (instance) (artdag_steps_running{{{ON}}})", "{{instance}}")]
                    ),
                    Panel(
                        "Ends of steps since the beginning",
                        [("max by (end, kind) (artdag_step_ends_total)", "{{end}} {{kind}}")],
                        kind="table",
                    ),
                    Panel(
                        "Repairs",
                        [("max by (what) (increase(artdag_repairs_total[1h]))", "{{what}}")],
                        help_text="In the hour before. Where nothing is lost there are none.",
                    ),
                ],
            ),
        ],
    ),
    "bus-and-relay": (
        "Art DAG: bus and relay",
        "How commands and events get to whom they concern.",
        [
            Row(
                "Events",
                [
                    Panel(
                        "Events committed",
                        [(rate("artdag_events_appended_total", "type"), "{{type}}")],
                        "ops",
                        stacked=True,
                    ),
                    Panel(
                        "Time of a commit",
                        [
                            (quantile(0.5, "artdag_commit_seconds", "job"), "{{job}}: half"),
                            (quantile(0.99, "artdag_commit_seconds", "job"), "{{job}}: 99 of 100"),
                        ],
                        "s",
                    ),
                    Panel(
                        "Appends by result",
                        [(rate("artdag_appends_total", "job, result"), "{{job}} {{result}}")],
                        "ops",
                    ),
                    Panel(
                        "Commits asked again",
                        [(rate("artdag_commit_retries_total", "job, why"), "{{job}} {{why}}")],
                        "ops",
                    ),
                ],
            ),
            Row(
                "Relay",
                [
                    Panel("Relays that lead", [("sum(artdag_relay_leads)", "relays")], kind="stat", width=6),
                    Panel(
                        "Oldest event that waits",
                        [
                            ("max(artdag_relay_lag_seconds)", "waits for its place"),
                            ("max(artdag_relay_horizon_age_seconds)", "for an older transaction"),
                        ],
                        "s",
                        width=18,
                        bad_from=10,
                    ),
                    Panel(
                        "Events through the relay",
                        [
                            (rate("artdag_relay_sequenced_total"), "given their place"),
                            (rate("artdag_relay_published_total"), "published"),
                        ],
                        "ops",
                    ),
                    Panel(
                        "Events on their way",
                        [
                            ("max by (to) (artdag_relay_lag_events)", "to the {{to}}"),
                            ("max(artdag_projector_lag_events)", "to the read models"),
                        ],
                    ),
                    Panel(
                        "Time of a published batch",
                        [
                            (quantile(0.5, "artdag_relay_publish_seconds"), "half"),
                            (quantile(0.99, "artdag_relay_publish_seconds"), "99 of 100"),
                        ],
                        "s",
                    ),
                    Panel("Trouble of the relay", [(rate("artdag_relay_failures_total", "why"), "{{why}}")], "ops"),
                ],
            ),
            Row(
                "Read models",
                [
                    Panel(
                        "From commit to page",
                        [
                            (quantile(0.5, "artdag_projector_delay_seconds", "instance"), "{{instance}}: half"),
                            (quantile(0.99, "artdag_projector_delay_seconds", "instance"), "{{instance}}: 99 of 100"),
                        ],
                        "s",
                    ),
                    Panel(
                        "Events taken in", [(rate("artdag_projector_events_total", "instance"), "{{instance}}")], "ops"
                    ),
                    Panel(
                        "Time of a batch, 99 of 100",
                        [(quantile(0.99, "artdag_projector_batch_seconds", "instance"), "{{instance}}")],
                        "s",
                    ),
                    Panel(
                        "Events heard and not taken in",
                        [
                            (f"artdag_projector_waiting_events{{{ON}}}", "{{instance}}"),
                            (f"artdag_projector_running{{{ON}}}", "{{instance}} runs"),
                        ],
                    ),
                    Panel("Position", [("max(artdag_position)", "of the read models")], kind="stat", width=24),
                ],
            ),
            Row(
                "Consumers",
                [
                    Panel(
                        "Messages not given out",
                        [("max by (stream, consumer) (artdag_consumer_pending)", "{{stream}} {{consumer}}")],
                    ),
                    Panel(
                        "Messages in hand",
                        [("max by (stream, consumer) (artdag_consumer_in_hand)", "{{stream}} {{consumer}}")],
                    ),
                    Panel("Messages taken", [(rate("artdag_messages_total", "consumer"), "{{consumer}}")], "ops"),
                    Panel(
                        "Messages taken again", [(rate("artdag_redeliveries_total", "consumer"), "{{consumer}}")], "ops"
                    ),
                    Panel(
                        "Events followed",
                        [(rate("artdag_followed_events_total", "consumer, outcome"), "{{consumer}} {{outcome}}")],
                        "ops",
                    ),
                ],
            ),
            Row(
                "Commands",
                [
                    Panel(
                        "Commands by outcome",
                        [(rate("artdag_commands_total", "outcome"), "{{outcome}}")],
                        "ops",
                        "repeated: the inbox knew what had become of it.",
                        stacked=True,
                    ),
                    Panel(
                        "Time of a command, 19 of 20",
                        [(quantile(0.95, "artdag_command_seconds", "command"), "{{command}}")],
                        "s",
                    ),
                    Panel("Dead letters", [("max by (service) (artdag_dead_letters)", "{{service}}")], bad_from=1),
                    Panel("Stuck loops", [(f"artdag_loops_stuck{{{ON}}}", "{{job}} {{instance}}")], bad_from=1),
                ],
            ),
        ],
    ),
    "content": (
        "Art DAG: content",
        "Where bytes are, where they come from, and what still has to go out.",
        [
            Row(
                "Kept",
                [
                    Panel(
                        "Content",
                        [("max by (where) (artdag_content_bytes)", "{{where}}")],
                        "bytes",
                        "books: all content of the system, each once; places: copies at people's own places.",
                    ),
                    Panel(
                        "Free on the disk",
                        [
                            (
                                share(
                                    "min by (instance)",
                                    "artdag_content_disk_free_bytes",
                                    "artdag_content_disk_size_bytes",
                                ),
                                "{{instance}}",
                            )
                        ],
                        "percentunit",
                    ),
                    Panel(
                        "Written, by where to",
                        [(rate("artdag_content_stored_bytes_total", "backend"), "{{backend}}")],
                        "Bps",
                        stacked=True,
                    ),
                    Panel("Waits to go out", [("max by (to) (artdag_outgoing_waiting)", "{{to}}")]),
                ],
            ),
            Row(
                "Read",
                [
                    Panel(
                        "Reads by where found",
                        [(rate("artdag_content_reads_total", "found"), "{{found}}")],
                        "ops",
                        stacked=True,
                    ),
                    Panel(
                        "Found here",
                        [
                            (
                                part_of("artdag_content_reads_total", 'found="local"'),
                                "of all reads",
                            )
                        ],
                        "percentunit",
                    ),
                    Panel(
                        "Fetched, by where from",
                        [(rate("artdag_content_fetched_bytes_total", "source"), "{{source}}")],
                        "Bps",
                        stacked=True,
                    ),
                    Panel(
                        "Time of fetching, 19 of 20",
                        [(quantile(0.95, "artdag_content_fetch_seconds", "source"), "{{source}}")],
                        "s",
                    ),
                    Panel(
                        "Wrong bytes",
                        [(f"sum by (source) (increase(artdag_content_wrong_total{{{ON}}}[1h]))", "{{source}}")],
                        bad_from=1,
                    ),
                    Panel(
                        "Bytes served",
                        [(rate("artdag_http_sent_bytes_total", "job"), "{{job}}")],
                        "Bps",
                        "gateway: to people; cache: to other nodes.",
                    ),
                ],
            ),
        ],
    ),
}


def variables() -> list[dict[str, Any]]:
    """Return the choices at the top: the data source, and of which processes."""
    chosen = {"text": "All", "value": "$__all"}
    query = [
        ("job", "label_values(artdag_build_info, job)"),
        ("instance", 'label_values(artdag_build_info{job=~"$job"}, instance)'),
    ]
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        *(
            {
                "name": name,
                "type": "query",
                "datasource": SOURCE,
                "definition": definition,
                "query": {"query": definition, "refId": name},
                "includeAll": True,
                "multi": True,
                "current": chosen,
                "refresh": 2,
                "sort": 1,
            }
            for name, definition in query
        ),
    ]


def panel(it: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return a panel as Grafana has it."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if it.bad_from is not None:
        steps.append({"color": "red", "value": it.bad_from})
    custom: dict[str, Any] = {}
    if it.kind == "timeseries":
        custom = {"fillOpacity": 20 if it.stacked else 0, "showPoints": "never"}
        custom["stacking"] = {"mode": "normal" if it.stacked else "none"}
    as_table: dict[str, Any] = {"instant": True, "format": "table"} if it.kind == "table" else {}
    targets = [
        {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": name, "datasource": SOURCE} | as_table
        for place, (expression, name) in enumerate(it.lines)
    ]
    return {
        "id": number,
        "type": it.kind,
        "title": it.title,
        "description": it.help_text,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": it.width, "h": HEIGHT if it.kind != "stat" else HEIGHT // 2},
        "fieldConfig": {
            "defaults": {
                "unit": it.unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": OPTIONS[it.kind],
        "targets": targets,
    }


def panels(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return rows and panels, placed from left to right and from top to bottom."""
    numbers, y, placed = count(1), 0, []
    for row in rows:
        heading = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        placed.append({"id": next(numbers), "type": "row", "title": row.title, "gridPos": heading, "panels": []})
        x, y, tallest = 0, y + 1, 0
        for each in row.panels:
            if x + each.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            made = panel(each, next(numbers), x, y)
            placed.append(made)
            x, tallest = x + each.width, max(tallest, made["gridPos"]["h"])
        y += tallest
    return placed


def dashboard(name: str) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    title, about, rows = DASHBOARDS[name]
    return {
        "uid": f"artdag-{name}",
        "title": title,
        "description": about,
        "tags": ["artdag"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "tags": ["artdag"], "title": "Art DAG", "asDropdown": True}],
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "panels": panels(rows),
    }


def main() -> None:
    """Write the dashboards, or say which are stale."""
    stale = []
    for name in DASHBOARDS:
        path, text = FOLDER / f"{name}.json", json.dumps(dashboard(name), indent=1) + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text)
    if stale and "--check" in sys.argv[1:]:
        raise SystemExit(f"stale: {', '.join(stale)}; run python monitoring/build.py")


if __name__ == "__main__":
    main()
