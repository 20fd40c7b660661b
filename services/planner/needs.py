"""What a run or a recipe needs of content, read off its events; see :mod:`artdag_common.domain.retention`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from artdag_common.cid import is_cid, parse_cid
from artdag_common.commands import StartRun
from artdag_common.domain.graph import Graph
from artdag_common.domain.plan import canonical_json
from artdag_common.domain.provenance import Infrastructure
from artdag_common.domain.retention import (
    ANALYSIS,
    DERIVED,
    EFFECT,
    FACTS,
    INPUT,
    OUTPUT,
    PICTURE,
    PLAN,
    PROVENANCE,
    RECIPE,
    SOURCE,
    STEP,
)
from artdag_common.domain.run import Run
from artdag_common.errors import ArtdagError
from artdag_common.eventstore.holds import Need, columns
from artdag_common.eventstore.port import Call
from artdag_common.steps.bind import BIND
from artdag_common.steps.mapping import MAP
from artdag_common.steps.registry import find_step_type
from services.planner.expansion import SOURCES, fixed_cids


def recipe_needs(graph: Graph, recipe_cid: str, source_cid: str) -> list[Need]:
    """Return what a recipe needs for as long as it is on the list."""
    return [Need(recipe_cid, RECIPE), Need(source_cid, RECIPE), *_named_in(graph)]


def run_needs(graph: Graph, command: StartRun, inputs: Iterable[str]) -> list[Need]:
    """Return what a run needs from its first moment on: ``inputs`` are bound to it, all else its recipe names."""
    needs = [Need(command.recipe_cid, RECIPE), *_named_in(graph), *(Need(parse_cid(cid), INPUT) for cid in inputs)]
    return _as_owned(command.owner, "", needs)


def _named_in(graph: Graph) -> list[Need]:
    """Return the content that a recipe itself names: at its sources, as defaults of its inputs, as effects."""
    fixed = [cid for node in graph.nodes for cid in fixed_cids(node)]
    fixed += [variable.default for variable in graph.variables if is_cid(variable.default)]
    needs = [Need(parse_cid(cid), SOURCE) for cid in fixed]
    for node in graph.nodes:
        kind, config = node.type, node.config
        if kind == MAP:
            kind, config = config["operation"], config["config"]
        if kind not in SOURCES:
            plain = {key: value for key, value in config.items() if key != BIND}
            with contextlib.suppress(ArtdagError, ValidationError):  # planning tells more of it
                used = find_step_type(kind).effects_used(canonical_json(plain).decode())
                needs += [Need(effect.cid, EFFECT) for effect in used]
    return needs


ROLES = {
    "input": INPUT,
    "recipe": RECIPE,
    "plan": PLAN,
    "analysis": ANALYSIS,
    "effect": EFFECT,
    "output": OUTPUT,
    "provenance": PROVENANCE,
    "software": PROVENANCE,
    "hardware": PROVENANCE,
}
"""As what a run needs content, by the first word of what it is to the run."""


def import_needs(run: Run, named: Mapping[str, Sequence[str]]) -> list[Need]:
    """Return what a run that was completed elsewhere needs: what any run that is over does, and its own record.

    Args:
        named: the content that it names, with what it is to it; see :func:`run_archive.named_content`.
    """
    needs = [Need(cid, PROVENANCE) for cid in (run.imported_from, run.imported_events)]
    needs += [Need(step.output_cid, SOURCE) for step in run.steps if step.is_source]
    for cid, roles in named.items():
        needs += [Need(cid, ROLES[word]) for word in {role.partition(" ")[0] for role in roles} if word in ROLES]
    return needs


def needed(run: Run, infrastructure: Infrastructure) -> list[Need]:
    """Return what a run needs since its new events; for one that was imported, see :func:`import_needs`."""
    needs: list[Need] = []
    if run.imported_from:
        return needs
    for event in run.pending_events:
        match event:
            case Run.StepsPlanned():
                needs += [Need(s.output_cid, STEP) for s in event.steps if s.output_cid and not s.is_source]
            case Run.StepsSatisfied():
                needs += [Need(satisfied.output_cid, STEP) for satisfied in event.steps]
            case Run.InputsAnalyzed():
                needs += [Need(analysis.cid, ANALYSIS) for analysis in event.analyses]
            case Run.Planned():
                needs.append(Need(event.plan_cid, PLAN))
            case Run.Completed():
                recorded = (event.provenance_cid, infrastructure.software_cid, infrastructure.hardware_cid)
                needs += [Need(event.output_cid, OUTPUT), *(Need(cid, PROVENANCE) for cid in recorded)]
    return _as_owned(run.owner, run.recipe_name, needs)


def _as_owned(owner: str, recipe: str, needs: Sequence[Need]) -> list[Need]:
    """Return needs as those of this owner.

    A run that makes a picture of content keeps nothing from being deleted: the picture is made again, or not missed.
    What was found out about content stays.
    """
    if owner != DERIVED:
        return list(needs)
    kinds = {OUTPUT: ANALYSIS if recipe == FACTS else PICTURE, PLAN: PICTURE, PROVENANCE: PICTURE, ANALYSIS: PICTURE}
    return [replace(need, kind=kinds[need.kind]) for need in needs if need.kind in kinds]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator lets people have; 0: no limit.

    Attributes:
        quota_bytes: of one user's uploads and outputs.
        user_runs, runs: how many may go on at once, of one user and altogether.
    """

    quota_bytes: int = 0
    user_runs: int = 0
    runs: int = 0


UNLIMITED = Limits()


def change_call(run: Run, needs: Iterable[Need], limits: Limits) -> Call:
    """Return what a run's new events change in the planner's tables: who waits, who is active, who needs what."""
    waits: list[str] = []
    got: list[str] = []
    paused: bool | None = None
    for event in run.pending_events:
        match event:
            case Run.StepsScheduled():
                waits += [scheduled.cache_id for scheduled in event.steps]
            case Run.StepsSatisfied():
                got += [run.steps[satisfied.step].cache_id for satisfied in event.steps]
            case Run.StepsFailed():  # where the run does without a step, another of it may be the same one
                given_up = [run.steps[failed.step].cache_id for failed in event.steps]
                got += [cache_id for cache_id in given_up if not run.awaits(cache_id)]
            case Run.Paused():
                paused = True
            case Run.Resumed():
                paused = False
    cids, kinds, stamps, sizes = columns(needs)
    return Call(
        "planner_change",
        (
            (run.key, "text"),
            (not run.imported_from and any(isinstance(e, Run.Requested) for e in run.pending_events), "boolean"),
            (waits, "text[]"),
            (got, "text[]"),
            (run.finished, "boolean"),
            ("" if run.owner == DERIVED else run.owner, "text"),
            (limits.quota_bytes, "bigint"),
            (cids, "text[]"),
            (kinds, "text[]"),
            (stamps, "bigint[]"),
            (sizes, "bigint[]"),
            ([STEP] if run.finished else [], "text[]"),
            (run.deleted, "boolean"),
            (run.output_cid, "text"),
            (run.deadline, "timestamptz"),
            (run.timed, "boolean"),
            (paused, "boolean"),
            (limits.user_runs, "bigint"),
            (limits.runs, "bigint"),
        ),
    )
