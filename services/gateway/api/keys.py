"""What OpenAPI says of writes that may be repeated by a key."""

from __future__ import annotations

from typing import Any

from services.gateway.api.documentation import answers
from services.gateway.repeating import EXEMPT, KEY_CHARACTERS, WRITES

PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this request: repeated with the same key it has no second effect, and the same answer",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}
BUSY = answers("", 409)[409]


def name_keys(paths: dict[str, dict[str, Any]]) -> None:
    """Add the header to every write that looks at it, and what is answered while the first is being handled."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            if method.upper() in WRITES and f"{method.upper()} {path}" not in EXEMPT:
                operation.setdefault("parameters", []).append(PARAMETER)
                operation["responses"].setdefault("409", BUSY)
