"""A run that was completed on another system, read from its manifest and its events to be shown here.

Whoever brings them may have written them: nothing is folded or believed before it is bounded and fits together. What
cannot be known here is whether the steps gave what they are said to have given, so nothing else is ever concluded from
such a run: its steps have no events here, and no other run finds their outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Any, NoReturn

import orjson
from pydantic import AwareDatetime, BaseModel, ValidationError

from artdag_common.application import decode
from artdag_common.cid import is_cid, parse_cid
from artdag_common.codec import encode_event
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.plan import PlannedStep, canonical_json, plan_document
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import AnalysisResult, Run
from artdag_common.domain.step import Step
from artdag_common.errors import BrokenHistoryError, MalformedMessageError, UnknownEventTypeError
from artdag_common.eventstore.excerpt import LINE_BYTES, Chained, checked, read_line
from artdag_common.eventstore.port import Recorded
from artdag_common.run_archive import (
    EVENTS,
    MANIFEST,
    Manifest,
    check_names,
    differences,
    read_json,
    read_manifest,
    sources_of,
)

MANIFEST_BYTES = 16 << 20
EVENTS_BYTES = 64 << 20
DOCUMENT_BYTES = 64 << 20
"""Of a plan, and of a provenance record."""

STEPS = 100_000
EDGES = 1_000_000
"""Inputs of all steps together."""

NAME_CHARACTERS = 1000
EVENT_BYTES = 900_000
"""Of an event that is to travel on the bus, which takes 1 MB."""

LAST_POSITION = 2**62
HEXADECIMAL = frozenset("0123456789abcdef")
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""In JSON; a database takes none."""

PASSING = (Run.Released, Run.StepsScheduled, Run.Paused, Run.Resumed)
"""What a run goes through without any of it being left when it is completed."""


class Named(BaseModel):
    """Content that a provenance record calls something."""

    name: str
    cid: str


class Analysis(BaseModel):
    """What was found out about content."""

    input: str
    cid: str


class Infrastructure(BaseModel):
    """What rendered it."""

    software: Named
    hardware: Named


class Record(BaseModel):
    """A provenance record as pages show it, and publications tell of it; see :func:`provenance_record`."""

    task_id: str
    rendered_at: AwareDatetime
    rendered_by: str
    output: Named
    inputs: list[Named]
    effects: list[Named]
    recipe: str
    recipe_cid: str
    plan_cid: str
    analyses: list[Analysis]
    infrastructure: Infrastructure


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """What a run's events say of it, once they fit together.

    Attributes:
        manifest: what the file says of itself.
        steps: with the outputs that they gave.
        sources: CIDs of the text of its recipe.
    """

    manifest: Manifest
    requested: Run.Requested
    steps: tuple[PlannedStep, ...]
    analyses: tuple[AnalysisResult, ...]
    planned: Run.Planned
    completed: Run.Completed
    sources: frozenset[str]

    @property
    def output_name(self) -> str:
        """What the output is called, on one line: people may have called it anything."""
        return " ".join(self.requested.output_name.split())

    def record(
        self, run_id: str, owner: str, manifest_cid: str, events_cid: str, now: datetime, traceparent: str = ""
    ) -> Run:
        """Return the run that shows it here, as ``owner``'s, with the events that make it.

        Raises:
            BrokenHistoryError: an event is too large for the bus.
        """
        run = Run.create(
            Run.Requested,
            run_id,
            now,
            recipe_cid=self.requested.recipe_cid,
            recipe_name=self.requested.recipe_name,
            owner=owner,
            inputs=self.requested.inputs,
            output_name=self.output_name,
            traceparent=traceparent,
            imported_from=manifest_cid,
            imported_events=events_cid,
            imported_run=self.manifest.run_id,
        )
        run.plan_steps(self.steps, now)
        if self.analyses:
            run.record(Run.InputsAnalyzed, now, analyses=self.analyses)
        run.complete_plan(self.planned.plan_cid, self.planned.plan_id, self.planned.output, now)
        run.complete(self.completed.provenance_cid, now)
        for event in run.pending_events:
            assert isinstance(event, DomainEvent)
            if len(encode_event(event)) > EVENT_BYTES:
                _refuse(f"the run has steps, or inputs, of which one alone says more than {EVENT_BYTES} bytes")
        return run


def read_completed(manifest: bytes, events: IO[bytes]) -> CompletedRun:
    """Return the run that a manifest and a file of events tell of.

    Raises:
        BrokenHistoryError: they do not fit together, or the run was not completed; the message says what to do.
    """
    stated = read_manifest(manifest)
    if stated.state.get("status") != "completed":
        status = str(stated.state.get("status"))[:40]
        _refuse(
            f"run {stated.run_id} is {status!r}; only completed runs can be imported. Retry it where it ran, and export"
            " the run that completes"
        )
    for item in stated.content:
        if not is_cid(item.cid) or parse_cid(item.cid) != item.cid:
            _refuse(f"{MANIFEST} lists {item.cid[:80]!r}, which is no CID")
    recorded, last = _recorded(events)
    if last is None or (last.event.position, last.hash.hex()) != (stated.position, stated.head):
        _refuse(f"{EVENTS} does not end at position {stated.position}, as {MANIFEST} states")
    if recorded[0].position < 1 or last.event.position > LAST_POSITION:
        _refuse(f"{EVENTS} has an event at a position that there is not")
    own = [each for each in recorded if each.stream == Run.stream(stated.run_id)]
    found = _read(stated, [_event(each) for each in own], recorded)
    listed = {item.cid for item in stated.content}
    if unlisted := {found.planned.plan_cid, found.completed.provenance_cid} - listed:  # these are read next
        _refuse(f"{MANIFEST} does not list {min(unlisted)[:80]!r}, the run's plan or provenance record")
    for each in recorded:  # people look at them: each has to be one
        _event(each)
    return found


def check_content(found: CompletedRun, run: Run, plan: bytes, provenance: bytes) -> dict[str, tuple[str, ...]]:
    """Compare a run with its plan and its provenance record, and its manifest with what all of these name.

    Args:
        run: as :meth:`CompletedRun.record` made it.
        plan, provenance: the content that it names as such.

    Returns:
        The content that the run names, with what it is to it.

    Raises:
        BrokenHistoryError: says what does not fit.
    """
    planned = found.planned
    document = plan_document(planned.plan_id, found.requested.recipe_cid, found.steps, planned.output)
    if read_json(planned.plan_cid, plan) != document:
        _refuse(f"the plan {planned.plan_cid} is not that of the run's events")
    record = read_json(found.completed.provenance_cid, provenance)
    try:
        Record.model_validate(record, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise BrokenHistoryError(
            f"the provenance record {found.completed.provenance_cid} is not what it has to be: {place}: {first['msg']}"
        ) from error
    named = check_names(found.manifest, run, found.sources, record)
    for cid in named:
        if not is_cid(cid) or parse_cid(cid) != cid:
            _refuse(f"the run names {cid[:80]!r}, which is no CID")
    return named


def _refuse(reason: str) -> NoReturn:
    raise BrokenHistoryError(reason)


def _recorded(events: IO[bytes]) -> tuple[list[Recorded], Chained | None]:
    last: list[Chained] = []

    def lines() -> Iterator[Chained]:
        while line := events.readline(LINE_BYTES):
            last[:] = [read_line(line)]
            yield last[0]

    return checked(lines()), last[0] if last else None


def _event(recorded: Recorded) -> DomainEvent:
    try:
        return decode(recorded)
    except (UnknownEventTypeError, MalformedMessageError) as error:
        place = f"event {recorded.version} of {recorded.stream[:80]}"
        raise BrokenHistoryError(f"{EVENTS}: {place} cannot be read by this version: {error}") from error


def _read(manifest: Manifest, own: Sequence[DomainEvent], recorded: Sequence[Recorded]) -> CompletedRun:
    """Read a run's own events, each once and in the order in which a run is made."""
    requested = own[0] if own else None
    if not isinstance(requested, Run.Requested):
        _refuse(f"{EVENTS} does not begin with the request of run {manifest.run_id}")
    if requested.imported_from:
        _refuse(f"run {manifest.run_id} is itself an import; export it again, which gives the file that it came from")
    steps: list[PlannedStep] = []
    outputs: list[str] = []
    states: list[str] = []
    analyses: tuple[AnalysisResult, ...] = ()
    planned: Run.Planned | None = None
    completed: Run.Completed | None = None
    edges = 0
    for event in own[1:]:
        if completed is not None:
            _refuse(f"{EVENTS} goes on after the run was completed")
        match event:
            case Run.StepsPlanned():
                edges += sum(len(step.inputs) for step in event.steps)
                if planned or len(steps) + len(event.steps) > STEPS or edges > EDGES:
                    _refuse(f"{EVENTS}: more steps than {STEPS}, with more inputs than {EDGES}, or after the plan")
                for step in event.steps:
                    _check_step(step, len(steps))
                    steps.append(step)
                    outputs.append(step.output_cid)
                    states.append("cached" if step.output_cid else "pending")
            case Run.InputsAnalyzed():
                analyses = event.analyses
            case Run.Planned() if planned is None and 0 <= event.output < len(steps):
                planned = event
            case Run.StepsSatisfied():
                for each in event.steps:
                    if not 0 <= each.step < len(steps) or outputs[each.step] or not each.output_cid:
                        _refuse(f"{EVENTS}: step {each.step} gives an output that it cannot give")
                    outputs[each.step], states[each.step] = each.output_cid, "completed"
            case Run.Completed() if planned and all(outputs) and event.output_cid == outputs[planned.output]:
                completed = event
            case _ if isinstance(event, PASSING):
                continue
            case _:
                _refuse(f"{EVENTS}: {type(event).__name__} does not belong into a run that was completed")
    if planned is None or completed is None:
        _refuse(f"{EVENTS} does not lead to the end of run {manifest.run_id}")
    _check_twins(steps, outputs)
    given = [replace(step, output_cid=cid, forced=False) for step, cid in zip(steps, outputs, strict=True)]
    found = CompletedRun(
        manifest, requested, tuple(given), analyses, planned, completed, frozenset(sources_of(recorded))
    )
    _check_names_printable(found)
    _check_state(found, states)
    _check_streams(found, recorded)
    return found


def _check_step(step: PlannedStep, index: int) -> None:
    if not all(0 <= source < index for source in step.inputs):
        _refuse(f"{EVENTS}: step {index} reads a step that is not before it")
    if not 0 <= step.level <= index:
        _refuse(f"{EVENTS}: step {index} is on level {step.level}, which it cannot be")
    if len(step.cache_id) != 64 or not HEXADECIMAL.issuperset(step.cache_id):
        _refuse(f"{EVENTS}: step {index} has the cache id {step.cache_id[:80]!r}, which is none")
    try:
        config = orjson.loads(step.config)
    except orjson.JSONDecodeError:
        config = None
    if not isinstance(config, dict) or canonical_json(config) != step.config.encode() or NUL.search(step.config):
        _refuse(f"{EVENTS}: step {index} has parameters that are not written as they are in a plan")
    if step.is_source and (step.inputs or not step.output_cid):
        _refuse(f"{EVENTS}: step {index} is a source that is not given")


def _check_twins(steps: Sequence[PlannedStep], outputs: Sequence[str]) -> None:
    """Make sure that a cache id stands for one computation with one output."""
    known: dict[str, tuple[Any, ...]] = {}
    for index, step in enumerate(steps):
        what = (step.type, step.config, tuple(steps[i].cache_id for i in step.inputs), outputs[index])
        if known.setdefault(step.cache_id, what) != what:
            _refuse(f"{EVENTS}: step {index} has the cache id of another computation, {step.cache_id}")


def _check_names_printable(found: CompletedRun) -> None:
    """Make sure that what people and databases are shown is text of a sensible length."""

    def said() -> Iterator[str]:
        yield from (found.requested.recipe_name, found.output_name, found.planned.plan_id)
        yield from (found.manifest.run_id, *(binding.name for binding in found.requested.inputs))
        yield from (analysis.node for analysis in found.analyses)
        for step in found.steps:
            yield from (step.node, step.type, step.label)

    if odd := next((text for text in said() if not text.isprintable() or len(text) > NAME_CHARACTERS), None):
        _refuse(f"{EVENTS}: {odd[:80]!r} is too long for a name, or has characters that cannot be printed")


def _check_state(found: CompletedRun, states: Iterable[str]) -> None:
    summary = {
        "status": "completed",
        "output_cid": found.completed.output_cid,
        "provenance_cid": found.completed.provenance_cid,
        "plan_cid": found.planned.plan_cid,
        "steps": [
            {"node": step.node, "status": state, "output_cid": step.output_cid}
            for step, state in zip(found.steps, states, strict=True)
        ],
    }
    try:
        odd = differences(found.manifest.state, summary)
    except (TypeError, AttributeError) as error:
        raise BrokenHistoryError(f"{MANIFEST} states no steps: {error}") from error
    if odd:
        _refuse(f"the events lead to another state than {MANIFEST} states: {'; '.join(odd[:3])[:1000]}")


def _check_streams(found: CompletedRun, recorded: Iterable[Recorded]) -> None:
    steps = {step.cache_id for step in found.steps if not step.is_source}
    known = {Run.stream(found.manifest.run_id), Recipe.stream(found.requested.recipe_cid), *map(Step.stream, steps)}
    if strange := {each.stream for each in recorded} - known:
        _refuse(f"{EVENTS} has events that are not the run's: {min(strange)[:120]}")
