"""Runs: how they stand, their plans, what was found out about their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from artdag_client.shapes.common import Links
from artdag_client.shapes.publications import Publication
from artdag_client.shapes.steps import Artifact, Attempt, PlanStep, StepSummary

RunStatus = Literal["requested", "analyzing", "planned", "running", "paused", "completed", "failed", "cancelled"]
Priority = Literal["interactive", "batch"]
Reference = str
"""A CID, or the name of content."""

Inputs = Sequence[Reference | Sequence[Reference]] | Mapping[str, Reference | Sequence[Reference]]
"""In the order of the recipe's inputs, or by their names."""

Parameters = Mapping[str, Mapping[str, Any]]
"""Node → parameter → value; dots name a parameter inside another: ``params.strength``."""


class Binding(TypedDict):
    """An input of a run."""

    name: str
    cids: list[str]


class Progress(TypedDict):
    """How far a run is; ``fraction``: 0 to 1."""

    total: int
    cached: int
    completed: int
    done: int
    fraction: float


class RunError(TypedDict):
    """Why a run gave no output, and what to do."""

    code: str
    kind: str
    reason: str
    advice: str
    step: int | None
    node: str | None
    links: Links
    type: NotRequired[str | None]
    label: NotRequired[str | None]
    attempts: NotRequired[list[Attempt]]


class ImportedFrom(TypedDict):
    """Where a run was completed that is shown here: its id there, and the content that tells of it."""

    run_id: str
    manifest_cid: str
    events_cid: str
    history_url: str


class Run(TypedDict):
    """One rendering of a recipe."""

    run_id: str
    status: RunStatus
    owner: str
    recipe: str
    recipe_cid: str
    inputs: list[Binding]
    output_name: str
    output_cid: str | None
    output_url: str | None
    provenance_cid: str | None
    provenance_url: str | None
    plan_id: str | None
    plan_cid: str | None
    priority: Priority
    on_failure: str
    forced: Any
    rerun_of: str | None
    imported_from: ImportedFrom | None
    deadline: str | None
    wait_timeout: float | None
    step_timeout: float | None
    error: RunError | None
    progress: Progress
    created_at: str
    updated_at: str
    duration_ms: int
    links: Links


class RunPage(TypedDict):
    """A page of runs; ``next``: the cursor of the following one."""

    runs: list[Run]
    total: int
    next: str | None


class RunDetail(Run):
    """A run, with its steps and its publication."""

    published: Publication | None
    steps: StepSummary
    artifacts: list[Artifact]


class AnotherRun(Run):
    """A run that repeats another; ``differs``: in what."""

    differs: dict[str, Any]


class RecordedEvent(TypedDict):
    """An event of an imported run, as the system stored it where the run was completed."""

    position: int
    time: str
    type: str
    subject: str
    data: dict[str, Any]


class History(TypedDict):
    """A page of an imported run's history; ``next``: ``after`` of the following one."""

    run_id: str
    imported_from: ImportedFrom
    events: list[RecordedEvent]
    next: int | None


class Plan(TypedDict):
    """A run's plan; ``levels``: indices of the steps, level by level."""

    run_id: str
    status: RunStatus
    plan_id: str | None
    plan_cid: str | None
    plan_url: str | None
    recipe: str
    recipe_cid: str
    output: int | None
    levels: list[list[int]]
    steps: list[PlanStep]


class RunWithStep(Run):
    """A run, and a step of it."""

    step: PlanStep


class Analysis(TypedDict):
    """What was found out about an input."""

    node: str
    input_cid: str
    cid: str
    url: str
    result: dict[str, Any]


class Analyses(TypedDict):
    """The analyses that shaped a plan."""

    run_id: str
    status: RunStatus
    analyses: list[Analysis]
