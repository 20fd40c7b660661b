"""Where bytes are, where they come from, and what still has to go out."""

from __future__ import annotations

from monitoring.dashboards.panels import MOST, ON, Dashboard, Panel, Row, known, part, rates, times, used

KEPT = Row(
    "Kept",
    [
        known(
            "Content",
            "artdag_content_bytes",
            "where",
            unit="bytes",
            help_text="books: all content of the system, each once; places: copies at people's own places.",
        ),
        used(
            "Free on the disk",
            "min",
            "instance",
            ("artdag_content_disk_free_bytes", "artdag_content_disk_size_bytes"),
        ),
        rates("Written, by where to", "artdag_content_stored_bytes_total", "backend", unit="Bps", stacked=True),
        known("Waits to go out", "artdag_outgoing_waiting", "to"),
    ],
)

READ = Row(
    "Read",
    [
        rates("Reads by where found", "artdag_content_reads_total", "found", stacked=True),
        part("Found here", "artdag_content_reads_total", 'found="local"', "of all reads"),
        rates("Fetched, by where from", "artdag_content_fetched_bytes_total", "source", unit="Bps", stacked=True),
        times("Time of fetching", "artdag_content_fetch_seconds", "source", shares=(MOST,)),
        Panel(
            "Wrong bytes",
            [(f"sum by (source) (increase(artdag_content_wrong_total{{{ON}}}[1h]))", "{{source}}")],
            bad_from=1,
        ),
        rates(
            "Bytes served",
            "artdag_http_sent_bytes_total",
            "job",
            unit="Bps",
            help_text="gateway: to people; cache: to other nodes.",
        ),
    ],
)

DASHBOARD = Dashboard(
    "Art DAG: content",
    "Where bytes are, where they come from, and what still has to go out.",
    [KEPT, READ],
)
