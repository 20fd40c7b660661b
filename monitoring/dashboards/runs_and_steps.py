"""What is planned, what waits, what executes and what fails."""

from __future__ import annotations

from monitoring.dashboards.panels import (
    MOST,
    ON,
    Dashboard,
    Panel,
    Row,
    known,
    of_system,
    part,
    rates,
    sums,
    times,
    total,
)

RUNS = Row(
    "Runs",
    [
        known("Runs that go on", "artdag_runs", "status", stacked=True),
        rates("Commands to planners", "artdag_commands_total", "command", "outcome", where=f'job="planner", {ON}'),
        rates("Steps planned", "artdag_steps_planned_total", "how", stacked=True),
        part("Cache hit ratio", "artdag_steps_planned_total", 'how="cached"', "steps whose output was there"),
        times("Time of planning", "artdag_plan_seconds"),
        sums("Runs in the planners' memory", "artdag_planner_runs", "instance"),
    ],
)

QUEUE = Row(
    "Queue",
    [
        Panel(
            "Steps that wait",
            [
                (total("artdag_planner_steps_waiting", "class"), "{{class}}, kept back"),
                (of_system("artdag_queue_depth", "class"), "{{class}}, on the queue (messages)"),
            ],
        ),
        times("Time on the queue", "artdag_step_queue_seconds", "class"),
        sums("Steps that are out", "artdag_planner_steps_out", "class"),
        Panel("Executors", [(f"max(artdag_planner_executors{{{ON}}})", "heard by a planner")]),
    ],
)

EXECUTION = Row(
    "Execution",
    [
        rates("Attempts by end", "artdag_step_attempts_total", "end", stacked=True),
        rates("Attempts by type", "artdag_step_attempts_total", "type", stacked=True),
        times("Time of an attempt", "artdag_step_attempt_seconds", "type", shares=(MOST,)),
        rates("Failures by kind", "artdag_step_failures_total", "kind", stacked=True),
        Panel(
            "Media processes",
            [
                (total("artdag_media_workers_busy", "instance"), "{{instance}}"),
                (total("artdag_media_workers"), "there could be"),
            ],
        ),
        sums("Steps being executed", "artdag_steps_running", "instance"),
        Panel(
            "The step that has gone on for longest",
            [(f"max by (instance) (artdag_steps_oldest_seconds{{{ON}}})", "{{instance}}")],
            "s",
            "With all that it waits for; a film made in parts waits for these.",
        ),
        known("Ends of steps since the beginning", "artdag_step_ends_total", "end", "kind", kind="table"),
        Panel(
            "Repairs",
            [("max by (what) (increase(artdag_repairs_total[1h]))", "{{what}}")],
            help_text="In the hour before. Where nothing is lost there are none.",
        ),
    ],
)

DASHBOARD = Dashboard(
    "Art DAG: runs and steps",
    "What is planned, what waits, what executes and what fails.",
    [RUNS, QUEUE, EXECUTION],
)
