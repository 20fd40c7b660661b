"""A run as one CAR file: a folder of ``run.json``, ``events.jsonl`` and ``content/<last two characters>/<cid>``.

``run.json`` names everything that is in the file, and what should be and is not: content that was deleted, or step
outputs that were. ``events.jsonl`` has the stored events of the run, its steps and its recipe, in the order of the log,
as :mod:`artdag_common.eventstore.excerpt` writes them. Any IPFS tool can import the file and show the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from artdag_common.application import decode
from artdag_common.domain.plan import canonical_json
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.effects.named import effects_named
from artdag_common.errors import BrokenHistoryError
from artdag_common.eventstore.port import Recorded

FORMAT = "artdag-run-1"
MANIFEST, EVENTS, CONTENT = "run.json", "events.jsonl", "content"


@dataclass(frozen=True, slots=True)
class Item:
    """Content that a run names. ``size_bytes`` is None for what is not in the file."""

    cid: str
    roles: tuple[str, ...]
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``run.json`` says.

    Attributes:
        state: the run as the read model shows it: status, output_cid, provenance_cid, plan_cid, steps.
        position: of the last event in the file.
        head: the hash chain there, hexadecimal.
    """

    run_id: str
    state: dict[str, Any]
    position: int
    head: str
    content: tuple[Item, ...]

    def write(self) -> bytes:
        """Return it as canonical JSON."""
        document = {
            "format": FORMAT,
            "run_id": self.run_id,
            "state": self.state,
            "history": {"position": self.position, "head": self.head},
            "content": [
                {"cid": item.cid, "roles": list(item.roles), "size_bytes": item.size_bytes} for item in self.content
            ],
        }
        return canonical_json(document)


def read_manifest(data: bytes) -> Manifest:
    """Return what a ``run.json`` says.

    Raises:
        BrokenHistoryError: it is none.
    """
    try:
        document = orjson.loads(data)
        if document["format"] != FORMAT:
            raise BrokenHistoryError(f"{MANIFEST} has format {document['format']!r}; this version reads {FORMAT!r}")
        items = tuple(
            Item(str(item["cid"]), tuple(map(str, item["roles"])), item["size_bytes"]) for item in document["content"]
        )
        history = document["history"]
        said = [str(document["run_id"]), *(role for item in items for role in item.roles)]
        if not all(text.isprintable() for text in said):  # people's terminals show them
            raise BrokenHistoryError(f"{MANIFEST} has names with characters that cannot be printed")
        return Manifest(said[0], dict(document["state"]), int(history["position"]), str(history["head"]), items)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenHistoryError(f"{MANIFEST} is not what it has to be: {error!r}") from error


def content_path(cid: str) -> str:
    """Return where content is in the folder."""
    return f"{CONTENT}/{cid[-2:]}/{cid}"


def streams(run: Run) -> list[str]:
    """Return the streams whose events made a run: its own, its recipe's, its steps'."""
    steps = {Step.stream(step.cache_id) for step in run.steps if not step.is_source}
    return [run.id, Recipe.stream(run.recipe_cid), *sorted(steps)]


def named_content(run: Run, recipe_source: str, provenance: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """Return all content that a run names, by CID, with what it is to the run; in the order of the run.

    Args:
        recipe_source: CID of the recipe as its author wrote it; empty: unknown.
        provenance: the run's provenance record, where there is one.

    Raises:
        BrokenHistoryError: the record is none.
    """
    pairs = [(cid, f"input {binding.name}") for binding in run.inputs for cid in binding.cids]
    pairs += [(run.recipe_cid, "recipe"), (recipe_source, "recipe source"), (run.plan_cid, "plan")]
    pairs += [(analysis.cid, f"analysis {analysis.node}") for analysis in run.analyses]
    pairs += [(cid, f"step {step.node}") for step, cid in zip(run.steps, run.outputs, strict=True)]
    pairs += [(cid, "effect") for cid in sorted(effects_named(step.config for step in run.steps))]
    pairs += [(run.output_cid, "output"), (run.provenance_cid, "provenance")]
    if provenance is not None:
        pairs += provenance_content(provenance)
    roles: dict[str, dict[str, None]] = {}
    for cid, role in pairs:
        if cid:
            roles.setdefault(cid, {})[role] = None
    return {cid: tuple(its) for cid, its in roles.items()}


def provenance_content(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the content that a provenance record names: CID, and what it is to the run.

    Raises:
        BrokenHistoryError: it is no provenance record.
    """
    try:
        made_with = record["infrastructure"]
        return [
            (str(record["output"]["cid"]), "output"),
            *((str(each["cid"]), f"input {each['name']}") for each in record["inputs"]),
            (str(record["recipe_cid"]), "recipe"),
            (str(record["plan_cid"]), "plan"),
            *((str(each["cid"]), "analysis") for each in record["analyses"]),
            *((str(each["cid"]), f"effect {each['name']}") for each in record["effects"]),
            (str(made_with["software"]["cid"]), "software"),
            (str(made_with["hardware"]["cid"]), "hardware"),
        ]
    except (KeyError, TypeError) as error:
        raise BrokenHistoryError(f"the provenance record is not what it has to be: {error!r}") from error


def sources_of(events: Iterable[Recorded]) -> set[str]:
    """Return the CIDs of the recipe's text, in the words of each who registered it."""
    registered = (decode(r) for r in events if r.type in ("RecipeRegistered", "RecipeClaimed", "RecipeRestored"))
    return {
        event.source_cid
        for event in registered
        if isinstance(event, Recipe.Registered | Recipe.Claimed | Recipe.Restored) and event.source_cid
    }


def read_json(cid: str, data: bytes) -> Any:
    """Return content that is JSON: a provenance record, an analysis.

    Raises:
        BrokenHistoryError: it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BrokenHistoryError(f"{cid} is no JSON: {error}") from error


def check_names(
    manifest: Manifest, run: Run, sources: Collection[str], record: Mapping[str, Any] | None
) -> dict[str, tuple[str, ...]]:
    """Make sure that all content which run and provenance record name is listed, and that they name the same.

    Args:
        run: as its events made it.
        sources: CIDs of the recipe's text that its events name; the run's owner sees one of them.
        record: the run's provenance record, where there is one.

    Returns:
        The content that the run names, as :func:`named_content`.

    Raises:
        BrokenHistoryError: says what does not fit.
    """
    if record is not None:
        named = {cid for cid, _ in provenance_content(record)}
        for name, said, is_so in (
            ("task_id", record.get("task_id"), manifest.run_id),
            ("output", record["output"]["cid"], run.output_cid),
            ("recipe_cid", record["recipe_cid"], run.recipe_cid),
            ("plan_cid", record["plan_cid"], run.plan_cid),
        ):
            if said != is_so:
                raise BrokenHistoryError(f"the provenance record says {name} {said!r}, the events {is_so!r}")
        inputs = {cid for binding in run.inputs for cid in binding.cids}
        if not inputs <= named:
            raise BrokenHistoryError(f"the provenance record does not name the input {min(inputs - named)}")
    listed = {item.cid for item in manifest.content}
    source = min((cid for cid in sources if cid in listed), default=min(sources, default=""))
    wanted = named_content(run, source, record)
    if listed != set(wanted):
        odd = min(listed ^ set(wanted))
        raise BrokenHistoryError(f"{MANIFEST} and the run do not agree on content {odd}")
    return wanted


def differences(stated: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Sequence[str]:
    """Return in what two states of a run differ; empty: in nothing."""
    found = [
        f"{name}: stated {stated.get(name)!r}, rebuilt {rebuilt[name]!r}"
        for name in rebuilt
        if name != "steps" and stated.get(name) != rebuilt[name]
    ]
    pairs = list(zip(stated.get("steps") or (), rebuilt["steps"], strict=False))
    if len(stated.get("steps") or ()) != len(rebuilt["steps"]):
        found.append(f"steps: stated {len(stated.get('steps') or ())}, rebuilt {len(rebuilt['steps'])}")
    found += [f"step {ours['node']}: stated {theirs}, rebuilt {ours}" for theirs, ours in pairs if theirs != ours]
    return found
