"""Parameters of a node: checked by its step type, findings translated to places in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

import orjson
from pydantic import BaseModel, ValidationError

from artdag_common.cid import parse_cid
from artdag_common.domain.plan import canonical_json
from artdag_common.domain.recipe_document import Located
from artdag_common.domain.recipe_forms import DraftNode
from artdag_common.domain.recipe_problems import NOTHING, Problems, shown
from artdag_common.effects.base import EFFECTS
from artdag_common.errors import ArtdagError, StepConfigError, UnknownEffectError
from artdag_common.steps.base import StepType
from artdag_common.steps.bind import BIND
from artdag_common.steps.entries import check_entries


def read_parameters(node: DraftNode, kind: StepType, effects: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    """Return the normalised parameters of a node, defaults included; where something is wrong, none that count.

    Args:
        effects: CIDs of effects by name, as the recipe's registry gives them.
    """
    config = {key: item.plain() for key, item in node.written.items()}
    path = f"{node.path}.config"
    name = config.get("effect")
    at = node.written.get("effect", node.at)
    if isinstance(name, str) and name in effects and name not in EFFECTS:  # what the recipe calls an uploaded one
        config["effect"] = effects[name]
    try:
        canonical = kind.canonical_config(config)
        used = kind.effect_used(canonical)
    except ValidationError as error:
        here = Located(node.written, node.at.line, node.at.column)
        for detail in error.errors(include_url=False):
            add_invalid(here, path, kind.name, kind.params, dict(detail), problems)
        return {}
    except ArtdagError as error:
        problems.add(at, f"{path}.effect" if "effect" in config else path, error.message, name)
        return {}
    stated = effects.get(name, "") if used and isinstance(name, str) else ""
    if used and stated and stated != parse_cid(used.cid):
        rule = f"the registry says that effect {name!r} is {stated}, but here it is {used.cid}"
        problems.add(at, f"{path}.effect", rule, name)
    return dict(orjson.loads(canonical))


def read_entries(node: DraftNode, kind: StepType, config: Mapping[str, Any], inputs: int, problems: Problems) -> None:
    """Note a parameter whose entries do not fit the number of inputs.

    Args:
        config: what :func:`read_parameters` returned, with or without bindings.
    """
    try:
        plain = {key: value for key, value in config.items() if key != BIND}
        check_entries(kind, canonical_json(plain).decode(), inputs)
    except StepConfigError as error:
        field = error.values["field"]
        problem = error.message.removeprefix(f"{field}: ")
        problems.add(node.written.get(field, node.at), f"{node.path}.config.{field}", problem)


def add_invalid(config: Located, path: str, owner: str, model: Any, detail: dict[str, Any], problems: Problems) -> None:
    """Translate one finding of pydantic: walk to the key that it is about.

    Args:
        owner: step type or effect whose parameters ``config`` holds.
        model: class of these parameters.
    """
    at = config
    for part in detail["loc"]:
        inner = _child(at, part)
        missing = detail["type"] == "missing" and part == detail["loc"][-1]
        if inner is not None or missing:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
        if inner is not None:
            if detail["type"] != "extra_forbidden" or part != detail["loc"][-1]:
                model = _model_below(model, part)
            at = inner
    if problems.about(path):
        return
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        known = list(model.model_fields) if model else []
        problems.add(at, path, f"{owner} has no parameter {last!r}", last, known)
    elif detail["type"] == "missing":
        problems.add(at, path, f"the parameter {last!r} of {owner} is missing")
    else:
        if _add_effect(config, path, detail, problems):
            return
        choices = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
        value = at.plain() if at is not config else NOTHING
        problem = detail["msg"].removeprefix("Value error, ")
        problems.add(at, path, problem[:1].lower() + problem[1:], value, choices if isinstance(value, str) else ())


def _add_effect(config: Located, path: str, detail: dict[str, Any], problems: Problems) -> bool:
    """Translate what a validator says of an effect: that there is none, or what is wrong with its own parameters."""
    cause = getattr(detail.get("ctx", {}).get("error"), "__cause__", None)
    name = config.value.get("effect")
    if name is None or detail["loc"]:
        return False
    if isinstance(cause, UnknownEffectError):
        problems.add(name, f"{path}.effect", f"unknown effect {shown(name.value)!r}", name.value, EFFECTS)
    elif isinstance(cause, ValidationError):
        params = config.value.get("params", name)
        inner = Located(params.value if isinstance(params.value, dict) else {}, params.line, params.column)
        owner = f"effect {name.value!r}"
        model = next((effect.params for effect in EFFECTS.values() if name.value in (effect.name, effect.cid)), None)
        for nested in cause.errors(include_url=False):
            add_invalid(inner, f"{path}.params", owner, model, dict(nested), problems)
    else:
        return False
    return True


def _child(item: Located, part: int | str) -> Located | None:
    if isinstance(item.value, dict) and isinstance(part, str):
        return item.value.get(part)
    if isinstance(item.value, list) and isinstance(part, int) and part < len(item.value):
        found = item.value[part]
        assert isinstance(found, Located)
        return found
    return None


def _model_below(model: type[BaseModel] | None, part: int | str) -> Any:
    """Return the model that a field holds, looking through optional and list types; None: not a model."""
    if isinstance(part, int):
        return model
    if model is None or part not in model.model_fields:
        return None
    found = [model.model_fields[part].annotation]
    while found:
        kind = found.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        found += get_args(kind)
    return None
