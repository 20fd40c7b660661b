"""The provenance record: what an output was made of, by whom, with what. In the shape of the L2 registry."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from artdag_common.domain.plan import canonical_json
from artdag_common.domain.run import Run
from artdag_common.steps.base import EffectUsed


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """The software and the machine that rendered: names, and the CIDs of the documents that describe them."""

    software_cid: str
    hardware_cid: str
    host: str


def software_document(versions: dict[str, str]) -> bytes:
    """Return the description of the software as canonical JSON: distribution → version."""
    return canonical_json({"name": "infra:artdag", "versions": versions})


def hardware_document(host: str, cores: int) -> bytes:
    """Return the description of the machine as canonical JSON."""
    return canonical_json(
        {"name": f"infra:{host}", "machine": platform.machine(), "system": platform.system(), "cores": cores}
    )


def provenance_record(
    run: Run, effects: list[EffectUsed], infrastructure: Infrastructure, rendered_by: str, rendered_at: datetime
) -> dict[str, Any]:
    """Return the record of a run whose output exists. ``rendered_by``: handle of its owner, ``@name@domain``."""
    return {
        "task_id": run.key,
        "rendered_at": rendered_at.isoformat(),
        "rendered_by": rendered_by,
        "output": {"name": run.output_name or run.recipe_name, "cid": run.outputs[run.output]},
        "inputs": [{"name": binding.name, "cid": cid} for binding in run.inputs for cid in binding.cids],
        "effects": [{"name": effect.name, "cid": effect.cid} for effect in effects],
        "recipe": run.recipe_name,
        "recipe_cid": run.recipe_cid,
        "plan_cid": run.plan_cid,
        "analyses": [{"input": a.input_cid, "cid": a.cid} for a in run.analyses],
        "infrastructure": {
            "software": {"name": "infra:artdag", "cid": infrastructure.software_cid},
            "hardware": {"name": f"infra:{infrastructure.host}", "cid": infrastructure.hardware_cid},
        },
    }
