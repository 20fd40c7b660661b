"""Whether the system works, how much goes on, and what its processes take."""

from __future__ import annotations

from monitoring.dashboards.panels import (
    HALF,
    MOST,
    NEARLY_ALL,
    ON,
    RATE,
    Dashboard,
    Panel,
    Row,
    quantile,
    rates,
    sums,
    times,
    total,
    used,
)

STANDING = Row(
    "Now",
    [
        Panel("Parts that answer", [("min by (part) (artdag_up)", "{{part}}")], kind="stat"),
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
)

REQUESTS = Row(
    "Requests",
    [
        rates("Requests by status", "artdag_http_requests_total", "status", unit="reqps", stacked=True),
        times("Time until an answer begins", "artdag_http_request_seconds", shares=(HALF, MOST, NEARLY_ALL)),
        Panel(
            "Slowest routes, 19 of 20",
            [(f"topk(8, {quantile(0.95, 'artdag_http_request_seconds', 'method', 'route')})", "{{method}} {{route}}")],
            "s",
        ),
        Panel(
            "Refused for want of room",
            [(f"sum by (code) (rate(artdag_refused_requests_total[{RATE}]))", "{{code}}")],
            "reqps",
        ),
        rates("Bytes sent", "artdag_http_sent_bytes_total", "job", unit="Bps"),
        Panel(
            "Open requests and live streams",
            [
                (total("artdag_http_requests_in_progress", "job"), "requests of {{job}}"),
                (total("artdag_sse_clients"), "who watch a run"),
            ],
        ),
    ],
)

PROCESSES = Row(
    "Processes",
    [
        rates(
            "Processor time",
            "process_cpu_seconds_total",
            "job",
            unit="percentunit",
            help_text="1 is one processor; media processes are not in it.",
        ),
        sums(
            "Memory",
            "process_resident_memory_bytes",
            "job",
            unit="bytes",
            help_text="Media processes are not in it.",
        ),
        times("Event loop: late by", "artdag_event_loop_lag_seconds", "job", shares=(NEARLY_ALL,), bad_from=0.5),
        used(
            "Connections to Postgres in use",
            "sum",
            "job",
            ("artdag_postgres_connections_busy", "artdag_postgres_connections_most"),
            bad_from=1,
        ),
        sums(
            "Connections to Postgres that are open",
            "artdag_postgres_connections_open",
            "job",
            help_text="Of the pools; the relay has one more.",
        ),
        Panel(
            "Reconnections to NATS",
            [(f"sum by (account) (increase(artdag_nats_reconnections_total{{{ON}}}[{RATE}]))", "{{account}}")],
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
)

DASHBOARD = Dashboard(
    "Art DAG: overview",
    "Whether it works, how much goes on, and what the processes take.",
    [STANDING, REQUESTS, PROCESSES],
)
