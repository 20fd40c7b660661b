"""Steps of a run: how they stand, why they failed, what they said."""

from __future__ import annotations

from typing import Any, TypedDict

from artdag_client.shapes.common import Links


class Attempt(TypedDict):
    """One attempt at a step."""

    attempt: int
    began_at: str | None
    ended_at: str | None
    status: str
    code: str | None
    kind: str | None
    reason: str | None
    retry_at: str | None


class StepPlace(TypedDict):
    """Which step of a run."""

    step: int
    node: str
    type: str
    label: str


class Frames(TypedDict):
    """How far a step is."""

    done: int
    total: int


class RunningStep(StepPlace):
    """A step that is being computed."""

    attempt: int
    started_at: str
    frames: Frames | None


class WaitingStep(StepPlace):
    """A step between two attempts."""

    reason: str
    attempts: list[Attempt]
    retry_at: str | None


class FailedStep(StepPlace):
    """A step that failed, why, and what to do."""

    code: str
    kind: str
    reason: str
    advice: str
    attempts: list[Attempt]
    links: Links


class StepSummary(TypedDict):
    """A run's steps: how many are in which state, and those that something is to be said of."""

    by_status: dict[str, int]
    running: list[RunningStep]
    waiting: list[WaitingStep]
    failed: list[FailedStep]


class Artifact(StepPlace):
    """What a step of a run without an output gave all the same."""

    cid: str
    url: str


class PlanStep(TypedDict):
    """A step of a plan, with how it stands."""

    index: int
    node: str
    type: str
    label: str
    level: int
    cache_id: str
    config: dict[str, Any]
    inputs: list[int]
    forced: bool
    status: str
    output_cid: str | None
    output_url: str | None
    attempt: int
    attempts: list[Attempt]
    started_at: str | None
    retry_at: str | None
    duration_ms: int | None
    error: str | None
    error_code: str | None
    kind: str | None
    advice: str | None
    links: Links


class LogAttempt(TypedDict):
    """An attempt that has a log."""

    attempt: int
    executor: str
    began_at: str
    ended_at: str | None
    truncated: bool
    url: str


class StepLog(TypedDict):
    """What an attempt at a step said; ``note``: why there is nothing."""

    run_id: str
    step: int
    node: str
    type: str
    cache_id: str
    status: str
    attempt: int | None
    text: str
    truncated: bool
    note: str
    attempts: list[LogAttempt]
