"""How commands and events get to whom they concern."""

from __future__ import annotations

from monitoring.dashboards.panels import (
    HALF,
    MOST,
    NEARLY_ALL,
    ON,
    WIDTH,
    Dashboard,
    Panel,
    Row,
    known,
    of_system,
    rate,
    rates,
    times,
)

ENDS = (HALF, NEARLY_ALL)

EVENTS = Row(
    "Events",
    [
        rates("Events committed", "artdag_events_appended_total", "type", stacked=True),
        times("Time of a commit", "artdag_commit_seconds", "job", shares=ENDS),
        rates("Appends by result", "artdag_appends_total", "job", "result"),
        rates("Commits asked again", "artdag_commit_retries_total", "job", "why"),
    ],
)

RELAY = Row(
    "Relay",
    [
        Panel("Relays that lead", [("sum(artdag_relay_leads)", "relays")], kind="stat", width=6),
        Panel(
            "Oldest event that waits",
            [
                (of_system("artdag_relay_lag_seconds"), "waits for its place"),
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
                (of_system("artdag_relay_lag_events", "to"), "to the {{to}}"),
                (of_system("artdag_projector_lag_events"), "to the read models"),
            ],
        ),
        times("Time of a published batch", "artdag_relay_publish_seconds", shares=ENDS),
        rates("Trouble of the relay", "artdag_relay_failures_total", "why"),
    ],
)

READ_MODELS = Row(
    "Read models",
    [
        times("From commit to page", "artdag_projector_delay_seconds", "instance", shares=ENDS),
        rates("Events taken in", "artdag_projector_events_total", "instance"),
        times("Time of a batch", "artdag_projector_batch_seconds", "instance", shares=(NEARLY_ALL,)),
        Panel(
            "Events heard and not taken in",
            [
                (f"artdag_projector_waiting_events{{{ON}}}", "{{instance}}"),
                (f"artdag_projector_running{{{ON}}}", "{{instance}} runs"),
            ],
        ),
        Panel("Position", [(of_system("artdag_position"), "of the read models")], kind="stat", width=WIDTH),
    ],
)

CONSUMERS = Row(
    "Consumers",
    [
        known("Messages not given out", "artdag_consumer_pending", "stream", "consumer"),
        known("Messages in hand", "artdag_consumer_in_hand", "stream", "consumer"),
        rates("Messages taken", "artdag_messages_total", "consumer"),
        rates("Messages taken again", "artdag_redeliveries_total", "consumer"),
        rates("Events followed", "artdag_followed_events_total", "consumer", "outcome"),
    ],
)

COMMANDS = Row(
    "Commands",
    [
        rates(
            "Commands by outcome",
            "artdag_commands_total",
            "outcome",
            help_text="repeated: the inbox knew what had become of it.",
            stacked=True,
        ),
        times("Time of a command", "artdag_command_seconds", "command", shares=(MOST,)),
        known("Dead letters", "artdag_dead_letters", "service", bad_from=1),
        Panel("Stuck loops", [(f"artdag_loops_stuck{{{ON}}}", "{{job}} {{instance}}")], bad_from=1),
    ],
)

DASHBOARD = Dashboard(
    "Art DAG: bus and relay",
    "How commands and events get to whom they concern.",
    [EVENTS, RELAY, READ_MODELS, CONSUMERS, COMMANDS],
)
