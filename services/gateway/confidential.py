"""Bodies that may hold secrets: read by their routes, so that nothing of them is shown where a rule is broken."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from artdag_common.errors import InvalidRequestError

Model = TypeVar("Model", bound=BaseModel)


def json_body(model: type[BaseModel], shown: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of such a body, for ``openapi_extra``."""
    schema = model.model_json_schema()
    schema.pop("example", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": shown}}}}


def valid(model: type[Model], given: Any) -> Model:
    """Return a body that keeps the rules. What breaks one is named, never shown: it may be a secret.

    Raises:
        InvalidRequestError: names every field that breaks a rule.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [
            {"field": ".".join(map(str, each["loc"])) or "body", "value": "", "problem": each["msg"]}
            for each in error.errors(include_url=False, include_input=False)
        ]
        said = "; ".join(f"{each['field']}: {each['problem']}" for each in problems)
        raise InvalidRequestError(said, problems=problems) from None  # the cause holds the values
