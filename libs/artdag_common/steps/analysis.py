"""ANALYSIS: join what was found out about one medium, feature by feature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from artdag_common.domain.plan import canonical_json
from artdag_common.errors import AnalysisError, StepInputError
from artdag_common.steps.base import StepContext, StepParams, step_type


class AnalysisParams(StepParams):
    """ANALYSIS has no parameters."""


@step_type("ANALYSIS", version=1, slots=("part",), inputs=(1, None), media=False)
def analysis(ctx: StepContext, params: AnalysisParams, *parts: Path) -> Path:
    """Write one document that says what ``parts`` say, exactly as one ANALYZE of all their features writes it.

    Args:
        parts: documents of ANALYZE about the same medium, in any order.

    Raises:
        AnalysisError: none of their features could be analysed.
        StepInputError: one is no document of ANALYZE, or two contradict each other.
    """
    document = joined([read_document(part, f"part {number}") for number, part in enumerate(parts, 1)])
    errors = document.get("errors", {})
    if len(errors) == len(document["features"]):
        raise AnalysisError(_together(errors), errors=errors)
    output = ctx.output("json")
    output.write_bytes(canonical_json(document))
    return output


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document that says what ``parts`` say.

    Raises:
        StepInputError: two parts say different things about the same.
    """
    whole: dict[str, Any] = {}
    for part in parts:
        _merge(whole, {key: value for key, value in part.items() if key != "features"}, "")
    return {"features": sorted({feature for part in parts for feature in part["features"]}), **whole}


def _merge(whole: dict[str, Any], part: Mapping[str, Any], place: str) -> None:
    for key, value in part.items():
        here = f"{place}.{key}".lstrip(".")
        if isinstance(value, dict):
            _merge(whole.setdefault(key, {}), value, here)
        elif whole.setdefault(key, value) != value:
            raise StepInputError(
                f"the documents contradict each other: {here} is {whole[key]!r:.60} and {value!r:.60};"
                " all have to be about the same file",
                place=here,
            )


def read_document(path: Path, slot: str = "analysis") -> dict[str, Any]:
    """Return the document that ANALYZE or ANALYSIS wrote.

    Raises:
        StepInputError: it is something else.
    """
    try:
        document: Any = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise StepInputError(f"{slot}: not the output of ANALYZE, but something else: {error}", slot=slot) from error
    if not isinstance(document, dict) or not isinstance(document.get("features"), list):
        raise StepInputError(f"{slot}: not the output of ANALYZE: it names no 'features'", slot=slot)
    return document


def _together(errors: Mapping[str, str]) -> str:
    """One sentence for each cause, with the features that it concerns."""
    causes: dict[str, list[str]] = {}
    for feature, message in errors.items():
        causes.setdefault(message, []).append(feature)
    return "; ".join(f"{', '.join(features)}: {message}" for message, features in causes.items())
