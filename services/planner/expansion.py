"""A node of a recipe → its steps: one, one for each item of a list, or one for each interval of a piece of music."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any

import orjson
from pydantic import ValidationError

from artdag_common.domain.graph import Node
from artdag_common.domain.plan import canonical_json
from artdag_common.errors import InvalidInputsError, StepConfigError, StepInputError
from artdag_common.media.beat_grid import beat_frames, length_in_frames
from artdag_common.media.curves import duration, event_times
from artdag_common.steps import analysis  # noqa: F401  # a step type that only plans have
from artdag_common.steps.analyze import AnalyzeParams, per_feature
from artdag_common.steps.bind import BIND, Binding, most_inputs
from artdag_common.steps.entries import check_entries
from artdag_common.steps.mapping import MAP, SLICED
from artdag_common.steps.registry import StepType, find_step_type
from artdag_common.steps.slices import TimedParams
from services.planner.draft import Analysed, Draft

ACCOMPANIED = "BEAT_SYNC"
ANALYZE, ANALYSIS = "ANALYZE", "ANALYSIS"
SOURCES = ("SOURCE", "SOURCE_LIST")
MAX_SLICES = 10_000
MILLION = 10**6


def place(draft: Draft, node: Node, bound: Mapping[str, tuple[str, ...]], analyses: Mapping[str, Any]) -> None:
    """Add the steps of a node whose inputs have theirs.

    BEAT_SYNC takes along the media that its analysis describes, so that the result can be heard, unless its third input
    is one already, and no further analysis.

    Args:
        bound: CIDs of the sources that the run binds.
        analyses: documents of the analyses that time slices, by node.

    Raises:
        InvalidInputsError: too few or too many inputs, or an analysis that does not say what is needed.
        StepConfigError: a parameter breaks a rule.
    """
    if node.type in SOURCES:
        draft.places[node.id] = _sources(draft, node, bound.get(node.id) or fixed_cids(node))
        return
    kind = find_step_type(node.type)
    if node.type in SLICED:
        draft.places[node.id] = _slices(draft, node, kind, analyses[node.config["timing"]])
        return
    if node.type != MAP:
        inputs = [step for name in _read(node) for step in draft.places[name]]
        draft.places[node.id] = (_step(draft, node.id, kind, node.config, inputs),)
        return
    operation = find_step_type(node.config["operation"])
    draft.places[node.id] = tuple(
        _step(draft, node.id, operation, node.config["config"], [item], f"[{i}]")
        for i, item in enumerate(step for name in node.config["items"] for step in draft.places[name])
    )


def fixed_cids(node: Node) -> tuple[str, ...]:
    """Return the content that the recipe itself names at a source; none where a run binds it."""
    if node.type not in SOURCES:
        return ()
    return tuple(node.config["cids"]) if "cids" in node.config else tuple(filter(None, [node.config.get("cid")]))


def _read(node: Node) -> tuple[str, ...]:
    """Return the nodes in a node's slots: its inputs, without the analyses of its bound parameters at their end."""
    analyses = {each[BIND].partition(".")[0] for each in node.config.get(BIND, {}).values()}
    return node.inputs[: len(node.inputs) - len(analyses)]


def _sources(draft: Draft, node: Node, cids: Sequence[str]) -> tuple[int, ...]:
    kind = find_step_type("SOURCE")
    return tuple(
        draft.add(
            node.id,
            kind,
            canonical_json({"cid": cid}).decode(),
            (),
            part="" if len(cids) == 1 else f"[{i}]",
            output_cid=cid,
        )
        for i, cid in enumerate(cids)
    )


def _step(
    draft: Draft, name: str, kind: StepType, config: Mapping[str, Any], inputs: Sequence[int], part: str = ""
) -> int:
    """Add a step; of an analysis of several features, one for each and the one that joins them."""
    plain = {key: value for key, value in config.items() if key != BIND}
    canonical = _canonical(name, kind, plain)
    high = most_inputs(kind, canonical)
    if len(inputs) < kind.min_inputs or (high is not None and len(inputs) > high):
        most = "" if high is None else f" and at most {high}"
        raise InvalidInputsError(
            f"{name} ({kind.name}) takes at least {kind.min_inputs}{most} inputs, and the lists bound here give it"
            f" {len(inputs)}",
            node=name,
        )
    try:
        check_entries(kind, canonical, len(inputs))
    except StepConfigError as error:
        raise StepConfigError(f"{name} ({kind.name}): {error.message}", node=name, **error.values) from error
    if kind.name == ANALYZE:
        return _analyse(draft, name, kind, canonical, inputs[0], part)
    read = list(inputs)
    if (
        kind.name == ACCOMPANIED
        and len(read) > 1
        and read[1] in draft.analyses
        and draft.analyses.keys() >= {*read[2:]}
    ):
        read.insert(2, draft.analyses[read[1]].media)
    if BIND in config:
        bindings = {
            parameter: _bound(draft, Binding.model_validate(written), read, len(inputs))
            for parameter, written in sorted(config[BIND].items())
        }
        canonical = canonical_json({**orjson.loads(canonical), BIND: bindings}).decode()
    deliver = name == draft.delivered and part in ("", "[0]")
    return draft.add(name, kind, canonical, read, part=part, deliver=deliver)


def _canonical(name: str, kind: StepType, config: dict[str, Any]) -> str:
    try:
        return kind.canonical_config(config)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))} {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise StepConfigError(f"{name} ({kind.name}): {'; '.join(problems)}", node=name) from error


def _bound(draft: Draft, binding: Binding, inputs: list[int], pictures: int) -> dict[str, Any]:
    """Return a binding as the step carries it; its analysis joins ``inputs``, only the one feature where that is all.

    So a step does not change when its analysis is asked for more. The first ``pictures`` of the inputs are no analyses.
    """
    analysed = draft.analyses[draft.places[binding.node][0]]
    features = binding.analyzed
    source = analysed.parts.get(next(iter(features)), analysed.whole) if len(features) == 1 else analysed.whole
    if source not in inputs[pictures:]:
        inputs.append(source)
    return binding.bound(inputs.index(source, pictures))


# --- analyses ---


def _analyse(draft: Draft, name: str, kind: StepType, config: str, media: int, part: str) -> int:
    features = per_feature(AnalyzeParams.model_validate_json(config))
    if len(features) == 1:
        whole = draft.add(name, kind, config, [media], part=part)
        parts = {features[0][0]: whole}
    else:
        parts = {
            feature: draft.add(name, kind, kind.canonical_config(own), [media], part=f"{part}[{feature}]")
            for feature, own in features
        }
        whole = draft.add(name, find_step_type(ANALYSIS), "{}", list(parts.values()), part=part)
    draft.analyses[whole] = Analysed(media, whole, parts)
    return whole


# --- slices ---


def _slices(draft: Draft, node: Node, kind: StepType, document: Any) -> tuple[int, ...]:
    """Add one SLICE for each interval between the events of an analysis, and before the first and after the last.

    With the events ``b₀ < b₁ < …``, every ``every``-th of them counting, and ``r`` frames a second, an interval begins
    at frame ``⌊b·r + ½⌋``; the first begins at 0, the last ends at ``⌊duration·r + ½⌋``, and those without a frame are
    left out. So the slices together are as long as what was analysed, to the frame, and no beat is off by more than
    half of one.

    Which footage an interval shows: in turn (``cycle``), or any but the one before (``random``). From where on:
    RANDOM_SLICE from anywhere; SLICE_ON from the interval's own time, as if all the footage ran along and somebody
    switched between it. What is left to chance is decided by SHA-256 of what the footage and the timed thing are, of
    ``seed``, and of the interval's number: names do not enter, and the same things give the same slices.
    """
    config = node.config
    own = {key: value for key, value in config.items() if key not in ("items", "timing", "seed_from")}
    params = kind.params.model_validate_json(_canonical(node.id, kind, own))
    assert isinstance(params, TimedParams)
    rate = Fraction(params.rate)
    try:
        length = length_in_frames(duration(document, params.feature), rate)
        events = sorted(set(event_times(document, params.feature)))[:: params.every]
    except StepInputError as error:
        raise InvalidInputsError(f"{node.id} ({kind.name}), timing {config['timing']}: {error.message}") from error
    grid = beat_frames(events, rate, length)
    if len(grid) > MAX_SLICES:
        raise InvalidInputsError(
            f"{node.id} ({kind.name}): {len(grid) - 1} intervals, but at most {MAX_SLICES - 1} are cut;"
            " raise 'every', or analyse a shorter piece",
            node=node.id,
        )
    footage = [step for name in config["items"] for step in draft.places[name]]
    timed = draft.analyses[draft.places[config["timing"]][0]].media
    seeds = draft.places[config["seed_from"]] if config["seed_from"] else (timed,)
    seed = canonical_json(
        ["artdag-slices-1", [_name(draft, i) for i in footage], [_name(draft, i) for i in seeds], params.seed]
    )
    slice_type = find_step_type("SLICE")
    found: list[int] = []
    pick = -1
    for i, begin in enumerate(grid[:-1]):
        digest = sha256(seed + i.to_bytes(8)).digest()
        pick = _next(params.order, pick, i, len(footage), int.from_bytes(digest[:8]))
        where: dict[str, float] = {"start": begin}
        if kind.name == "RANDOM_SLICE":
            where = {"position": (int.from_bytes(digest[8:16]) * MILLION >> 64) / MILLION}
        settings = {**where, "frames": grid[i + 1] - begin, "rate": params.rate}
        deliver = node.id == draft.delivered and not i
        canonical = slice_type.canonical_config(settings)
        found.append(draft.add(node.id, slice_type, canonical, [footage[pick]], part=f"[{i}]", deliver=deliver))
    return tuple(found)


def _next(order: str, before: int, i: int, count: int, drawn: int) -> int:
    """Return whose turn it is, among ``count``; ``before``: whose it was, -1 at the beginning."""
    if order == "cycle" or count == 1:
        return i % count
    if before < 0:
        return drawn % count
    other = drawn % (count - 1)
    return other + (other >= before)


def _name(draft: Draft, step: int) -> str:
    """Return what a step's output is, whoever asks: its CID where it was given, else its cache id."""
    analysed = draft.analyses.get(step)
    found = draft.steps[analysed.media if analysed else step]
    return found.output_cid or found.cache_id
