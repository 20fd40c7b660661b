"""The two YAML forms of a recipe, read into one list of nodes: ``registry:`` + ``dag:``, ``inputs:`` + ``steps:``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from artdag_common.cid import is_cid
from artdag_common.domain.graph import Variable
from artdag_common.domain.recipe_document import Located
from artdag_common.domain.recipe_fields import FieldReader
from artdag_common.domain.run import CONTINUE, STOP

SOURCES = ("SOURCE", "SOURCE_LIST")
ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
ID_RULE = "an id is 1 to 64 letters A–Z, digits, '_' and '-', and does not begin with a digit or '-'"
NAME = re.compile(r"[^\s/](?:[^\n\r\t/]{0,98}[^\s/])?")
NAME_RULE = "a name is one line of 1 to 100 characters, without '/'"
MEDIA = ("any", "audio", "data", "image", "video")
TOP = ("name", "version", "description", "owner", "on_failure")
DAG_FORM = ("registry", "dag")
STEPS_FORM = ("registry", "inputs", "steps", "output")
NODE = ("id", "type", "config", "inputs")
VARIABLE = ("input", "name", "description", "type", "default")
DECLARED = ("type", "description", "default", "list")


@dataclass(frozen=True, slots=True)
class Reference:
    """A node named as an input, and the slot it was put in; an empty slot: by position."""

    id: str
    at: Located
    path: str
    slot: str = ""


@dataclass(slots=True)
class DraftNode:
    """A node as written. ``config`` is set for sources, which are complete after reading."""

    id: str
    type: str
    at: Located
    path: str
    written: dict[str, Located] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    inputs: list[Reference] = field(default_factory=list)
    variable: Variable | None = None


@dataclass(slots=True)
class Draft:
    """A recipe as written. ``effects`` are the CIDs by name that its registry gives."""

    name: str = ""
    version: str = ""
    description: str = ""
    owner: str = ""
    nodes: list[DraftNode] = field(default_factory=list)
    effects: dict[str, str] = field(default_factory=dict)
    output: Reference | None = None
    on_failure: str = ""


class FormReader(FieldReader):
    """Reads either form. What is wrong is noted in ``problems``; the draft holds what could be read."""

    def read(self, root: Located) -> Draft:
        """Return the recipe that ``root`` holds."""
        if not isinstance(root.value, dict):
            self.problems.fatal(root, "", "a recipe is a mapping with 'name', 'steps' or 'dag', and more", root.plain())
        top = root.value
        steps_form = "dag" not in top
        form = STEPS_FORM if steps_form else DAG_FORM
        for key in top.keys() & ({*STEPS_FORM, *DAG_FORM} - {*form}):
            self.problems.add(top[key], key, f"a recipe with 'dag' has no {key!r} beside it")
        self.refuse_unknown(root, "", {*TOP, *STEPS_FORM, *DAG_FORM}, {*TOP, *form})
        draft = Draft(
            name=self._name(root),
            version=self.text(top, "version", 100) or "1.0",
            description=self.text(top, "description", 10_000),
            owner=self.text(top, "owner", 200),
            on_failure=self._on_failure(top),
        )
        self.registry(top)
        draft.effects = self.effects
        if steps_form:
            self._declared_inputs(top, draft)
            self._nodes(top.get("steps"), "steps", root, draft)
            draft.output = self._output(top, "output", root)
        else:
            dag = self.mapping(top["dag"], "dag")
            self.refuse_unknown(top["dag"], "dag", {"nodes", "output"})
            self._nodes(dag.get("nodes"), "dag.nodes", top["dag"], draft)
            draft.output = self._output(dag, "dag.output", top["dag"])
        return draft

    # --- top level ---

    def _name(self, root: Located) -> str:
        written = root.value.get("name")
        if written is None:
            self.problems.add(root, "name", "the recipe has no 'name'")
            return ""
        name = self.text(root.value, "name", 100)
        if self.problems.about("name"):
            return ""
        if not NAME.fullmatch(name):
            self.problems.add(written, "name", NAME_RULE, written.plain())
        elif is_cid(name):
            self.problems.add(written, "name", "a recipe is not named like a CID", name)
        return name

    def _on_failure(self, top: Mapping[str, Located]) -> str:
        """Return ``continue``, or nothing where a run ends as soon as a step fails."""
        item = top.get("on_failure")
        if item is None or item.value in (None, STOP):
            return ""
        if item.value != CONTINUE:
            problem = (
                f"'on_failure' is {STOP!r} (a run ends when a step fails) or {CONTINUE!r} (the other branches finish)"
            )
            self.problems.add(item, "on_failure", problem, item.plain(), (STOP, CONTINUE))
            return ""
        return CONTINUE

    def _output(self, mapping: Mapping[str, Located], path: str, parent: Located) -> Reference | None:
        item = mapping.get("output")
        if item is None or item.value is None:
            self.problems.add(item or parent, path, "the 'output' is missing: name the node that gives it")
            return None
        if not isinstance(item.value, str):
            self.problems.add(item, path, "the 'output' is the id of a node", item.plain())
            return None
        return Reference(item.value, item, path)

    # --- nodes ---

    def _nodes(self, items: Located | None, path: str, parent: Located, draft: Draft) -> None:
        what = "nodes" if path.startswith("dag") else "steps"
        if items is None or items.value in (None, []):
            self.problems.add(items or parent, path, f"the recipe has no {what}")
        elif not isinstance(items.value, list):
            self.problems.add(items, path, f"the {what} are a list: begin each with '-'", items.plain())
        else:
            draft.nodes += [self._node(item, f"{path}[{i}]") for i, item in enumerate(items.value)]

    def _node(self, item: Located, path: str) -> DraftNode:
        fields = self.mapping(item, path)
        self.refuse_unknown(item, path, {*NODE})
        node = DraftNode(self._word(fields, "id", item, path), self._word(fields, "type", item, path), item, path)
        if node.id and not ID.fullmatch(node.id):
            self.problems.add(fields["id"], f"{path}.id", ID_RULE, node.id)
        config = fields.get("config")
        if config is not None and config.value is not None:
            node.written = self.mapping(config, f"{path}.config")
        if node.type in SOURCES:
            self._source(node, config or item)
        if "inputs" in fields:
            node.inputs = self._inputs(fields["inputs"], f"{path}.inputs")
        return node

    def _word(self, fields: Mapping[str, Located], key: str, item: Located, path: str) -> str:
        written = fields.get(key)
        if written is None or written.value is None:
            if isinstance(item.value, dict):
                self.problems.add(written or item, f"{path}.{key}", f"the {key!r} is missing")
            return ""
        if not isinstance(written.value, str):
            self.problems.add(written, f"{path}.{key}", f"the {key!r} is text", written.plain())
            return ""
        return written.value

    def _inputs(self, item: Located, path: str) -> list[Reference]:
        """Return the references of a list, of one id, or of a mapping of slots."""
        if item.value is None:
            return []
        if isinstance(item.value, dict):
            found = []
            for slot, value in item.value.items():
                if isinstance(value.value, list):
                    found += [self._reference(v, f"{path}.{slot}[{i}]", slot) for i, v in enumerate(value.value)]
                else:
                    found.append(self._reference(value, f"{path}.{slot}", slot))
            return [reference for reference in found if reference]
        values = item.value if isinstance(item.value, list) else [item]
        places = [f"{path}[{i}]" for i in range(len(values))] if isinstance(item.value, list) else [path]
        references = [self._reference(v, p) for v, p in zip(values, places, strict=True)]
        return [reference for reference in references if reference]

    def _reference(self, item: Located, path: str, slot: str = "") -> Reference | None:
        if not isinstance(item.value, str):
            self.problems.add(item, path, "an input is the id of a node", item.plain())
            return None
        return Reference(item.value, item, path, slot)

    # --- sources ---

    def _source(self, node: DraftNode, at: Located) -> None:
        """Read the config of a SOURCE: content that is fixed, or a variable that a run binds."""
        fields, path, many = node.written, f"{node.path}.config", node.type == "SOURCE_LIST"
        asset, cid = ("assets", "cids") if many else ("asset", "cid")
        variable = "input" in fields and fields["input"].value is not False
        allowed = {*VARIABLE} if variable else {asset, cid, "input", "name", "description", "type"}
        self.refuse_unknown(Located(fields), path, {*VARIABLE, asset, cid}, allowed)
        if "input" in fields and not isinstance(fields["input"].value, bool):
            self.problems.add(fields["input"], f"{path}.input", "'input' is true or false", fields["input"].plain())
        both = [key for key in (asset, cid) if key in fields]
        if variable:
            name = self.text(fields, "name", 100, f"{path}.") or node.id
            if not NAME.fullmatch(name) and "name" in fields:
                self.problems.add(fields["name"], f"{path}.name", NAME_RULE, name)
            media = self.text(fields, "type", 100, f"{path}.") or "any"
            self._check_media(media, fields.get("type"), f"{path}.type")
            node.variable = self._variable(node.id, name, media, many, fields, f"{path}.")
        elif len(both) != 1:
            rule = f"{node.type} has one of {asset!r}, {cid!r} (fixed) and 'input: true' (bound by each run)"
            self.problems.add(fields[both[1]] if both else at, f"{path}.{both[1]}" if both else path, rule)
        else:
            value = fields[both[0]]
            read = self.cid if both[0] == cid else self.asset
            if not many:
                node.config = {"cid": read(value, f"{path}.{both[0]}")}
            elif isinstance(value.value, list) and value.value:
                cids = [read(item, f"{path}.{both[0]}[{i}]") for i, item in enumerate(value.value)]
                node.config = {"cids": cids}
            else:
                self.problems.add(value, f"{path}.{both[0]}", f"{both[0]!r} is a list of at least one", value.plain())

    def _declared_inputs(self, top: Mapping[str, Located], draft: Draft) -> None:
        """Read ``inputs:``; each becomes a SOURCE, or a SOURCE_LIST where its type ends in ``[]``."""
        if "inputs" not in top or top["inputs"].value is None:
            return
        for name, item in self.mapping(top["inputs"], "inputs").items():
            path = f"inputs.{name}"
            if not ID.fullmatch(name):
                self.problems.add(item, path, ID_RULE, name)
            fields: dict[str, Located] = {}
            if isinstance(item.value, str):
                fields = {"type": item}
            elif item.value is not None:
                fields = self.mapping(item, path)
                self.refuse_unknown(item, path, {*DECLARED})
            media = self.text(fields, "type", 100, f"{path}.") or "any"
            many = media.endswith("[]")
            media = media.removesuffix("[]")
            self._check_media(media, fields.get("type"), f"{path}.type" if fields.get("type") is not item else path)
            if "list" in fields:
                if not isinstance(fields["list"].value, bool):
                    self.problems.add(fields["list"], f"{path}.list", "'list' is true or false", fields["list"].plain())
                many = many or fields["list"].value is True
            node = DraftNode(name, SOURCES[many], item, path)
            node.variable = self._variable(name, name, media, many, fields, f"{path}.")
            draft.nodes.append(node)

    def _variable(
        self, node: str, name: str, media: str, many: bool, fields: Mapping[str, Located], path: str
    ) -> Variable:
        default = ""
        if "default" in fields and fields["default"].value is not None:
            default = self.asset(fields["default"], f"{path}default")
        return Variable(name, node, media, self.text(fields, "description", 10_000, path), default, many)

    def _check_media(self, media: str, at: Located | None, path: str) -> None:
        if at is not None and media not in MEDIA:
            self.problems.add(at, path, f"unknown type {media!r}", media, MEDIA)
