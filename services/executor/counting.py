"""What an executor counts of the attempts at steps."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from nats.aio.msg import Msg

from artdag_common import metrics
from artdag_common.domain.step import Step

PASSED_ON, TAKEN_OVER, FAILED = "passed-on", "taken-over", "failed"
ENDS = {"completed": "completed", "failed": FAILED, "waiting": "retried", "cancelled": "cancelled"}
"""Ends of attempts, by the status in which they leave the step."""


def count_end(step_type: str, end: str) -> None:
    """Count the end of an attempt that took no time."""
    metrics.ATTEMPTS.of(step_type, end).inc()


def count_attempt(step_type: str, end: str, began: float) -> None:
    """Count an attempt, and its time. ``began``: by the monotonic clock."""
    count_end(step_type, end)
    metrics.ATTEMPT_SECONDS.of(step_type).observe(time.monotonic() - began)


def count_failure(kind: str) -> None:
    """Count an attempt that failed."""
    metrics.FAILURES.of(kind).inc()


def count_wait(message: Msg, work_class: str) -> None:
    """Count how long a message waited on the work queue, if it is delivered for the first time."""
    if metrics.counting() and message.metadata.num_delivered == 1:
        waited = datetime.now(UTC) - message.metadata.timestamp
        metrics.QUEUE_SECONDS.of(work_class).observe(max(0.0, waited.total_seconds()))


def end_of(step: Step) -> str:
    """Return the end of an attempt, by what it left the step in."""
    return ENDS[step.status]
