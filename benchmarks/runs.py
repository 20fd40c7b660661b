"""Beginning runs, as people do."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artdag_cli.client import Client

PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 0.1


def begin(client: Client, recipe: dict[str, Any], source: str, path: str = "/runs") -> str:
    """Start a run of a recipe whose one input is called ``source``, and return its id.

    Args:
        source: CID of what it is to read.
        path: ``/api/plan`` only plans it.
    """
    body = {"recipe": json.dumps(recipe, separators=(",", ": ")), "inputs": {"source": source}}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    until = time.monotonic() + PATIENCE_SECONDS
    while "run_id" not in (answer := client.call("POST", path, json=body, headers=key)):
        assert time.monotonic() < until, answer
        time.sleep(PAUSE_SECONDS)  # kept, and not answered in time: the same request again asks what came of it
    return str(answer["run_id"])
