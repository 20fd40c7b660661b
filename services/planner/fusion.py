"""Frame-wise steps that nobody needs one by one → one CHAIN, run in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson

from artdag_common.domain.plan import PlannedStep
from artdag_common.steps.registry import find_step_type
from services.planner.draft import identity, level, plain_config

CHAIN = "CHAIN"


def fuse(
    steps: Sequence[PlannedStep], first: int, output: int, cluster_key: str
) -> tuple[tuple[PlannedStep, ...], int]:
    """Fuse the longest possible chains.

    A step takes in the one before it if both work frame by frame, it has it as its first input, and nothing else reads
    it: no other step, not this one a second time, not the run's output. What else a step reads, pictures to lay above
    the first or analyses, become inputs of the chain; they stay steps of their own, even those that work frame by
    frame, since a chain has one line of pictures only. Steps that hand on their input stay as they are, and so do the
    first ones, which the analysis of the inputs needs. A chain stands where its last step stood, and bears its node.

    A chain is keyed by its links, since it loses nothing between them, which files in between would. Steps that read
    no chain, not even through others, keep their cache ids; those that do have the id of what they really read.

    Args:
        first: index of the first step that may be fused.
        output: index of the step that gives the run's output.

    Returns:
        The steps, and the index of the output among them.
    """
    chains = _chains(steps, first, output)
    inner = {i for chain in chains.values() for i in chain[:-1]}
    fused: list[PlannedStep] = []
    moved: dict[int, int] = {}
    for i, step in enumerate(steps):
        if i in inner:
            continue
        moved[i] = len(fused)
        made = _chain([steps[link] for link in chains[i]]) if i in chains else step
        inputs = tuple(moved[source] for source in made.inputs)
        read = [fused[source] for source in inputs]
        known = made is step and [r.cache_id for r in read] == [steps[source].cache_id for source in step.inputs]
        key = step.cache_id if known else identity(cluster_key, made.type, made.config, made.deliver, read)
        forced = made.forced or any(source.forced for source in read)
        fused.append(replace(made, inputs=inputs, cache_id=key, level=level(read), forced=forced))
    return tuple(fused), moved[output]


def _chains(steps: Sequence[PlannedStep], first: int, output: int) -> dict[int, list[int]]:
    """Return the steps of each chain, two at least, by its last step."""
    readers: list[int] = [0] * len(steps)
    for step in steps:
        for source in step.inputs:
            readers[source] += 1
    able = [i >= first and _works_by_frame(step) for i, step in enumerate(steps)]
    chains: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        if not able[i]:
            continue
        source = step.inputs[0]
        if able[source] and readers[source] == 1 and source != output:
            chains[i] = [*chains.pop(source, [source]), i]
    return chains


def _works_by_frame(step: PlannedStep) -> bool:
    kind = find_step_type(step.type)
    if kind.stage is None or not step.inputs:
        return False
    params = kind.params.model_validate_json(plain_config(step.config))
    return kind.frame_wise(params) and kind.passes(params) is None


def _chain(links: Sequence[PlannedStep]) -> PlannedStep:
    """Return the chain of these steps; its inputs are still those of the steps."""
    inputs = [links[0].inputs[0]]
    written = []
    for link in links:
        others = link.inputs[1:]
        inputs += [source for source in dict.fromkeys(others) if source not in inputs[1:]]
        written.append(
            {
                "type": link.type,
                "config": orjson.loads(link.config),
                "implementation": find_step_type(link.type).implementation(plain_config(link.config)),
                "inputs": [inputs.index(source, 1) for source in others],
            }
        )
    last = links[-1]
    front, _, what = last.label.rpartition(".")
    return replace(
        last,
        type=CHAIN,
        config=find_step_type(CHAIN).canonical_config({"links": written}),
        inputs=tuple(inputs),
        label=f"{front}.{CHAIN.lower()}{what[len(last.type) :]}",
        forced=any(link.forced for link in links),
    )
