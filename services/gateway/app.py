"""The HTTP application: routes, and the one table from error to status."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from artdag_common import errors
from artdag_common.errors import ArtdagError, ServiceUnavailableError
from artdag_common.version import VERSION
from services.gateway.access import Addresses, OwnAddressOnly
from services.gateway.api import (
    cache,
    deletion,
    derived,
    effects,
    events,
    export,
    health,
    ipfs,
    media,
    pipeline,
    recipes,
    runs,
    storage,
    uploading,
    usage,
)
from services.gateway.api.documentation import PROBLEM_SCHEMA
from services.gateway.issuing import Pending
from services.gateway.parts import Gateway
from services.gateway.problems import Json, hint_of, problem, reason

STATUS: dict[type[ArtdagError], int] = {
    ArtdagError: 409,
    errors.InvalidCidError: 400,
    errors.CidMismatchError: 502,
    errors.MalformedBlockError: 422,
    errors.FolderTooLargeError: 422,
    errors.ContentNotFoundError: 404,
    errors.ContentTooLargeError: 413,
    errors.ContentInUseError: 409,
    errors.StorageFullError: 507,
    errors.NotYoursError: 403,
    errors.QuotaExceededError: 507,
    errors.UploadNotFoundError: 404,
    errors.UploadExpiredError: 410,
    errors.UploadOffsetError: 409,
    errors.UploadBusyError: 423,
    errors.ChecksumMismatchError: 460,
    errors.PreconditionFailedError: 412,
    errors.UnsupportedContentTypeError: 415,
    errors.StorageRefusedError: 422,
    errors.StorageNotFoundError: 404,
    errors.InvalidRecipeError: 422,
    errors.RecipeNotFoundError: 404,
    errors.InvalidInputsError: 422,
    errors.UnknownStepTypeError: 422,
    errors.UnknownEffectError: 422,
    errors.InvalidEffectError: 422,
    errors.EffectNotFoundError: 404,
    errors.NothingToShowError: 404,
    errors.RunNotFoundError: 404,
    errors.RunAlreadyFinishedError: 409,
    errors.RunActiveError: 409,
    errors.RunNotPlannedError: 409,
    errors.BrokenHistoryError: 422,
    errors.OutputPublishedError: 409,
    errors.StepError: 422,
    errors.UnauthenticatedError: 401,
    errors.TokenRevokedError: 401,
    errors.ForeignOriginError: 403,
    errors.InvalidRequestError: 422,
    errors.IdempotencyConflictError: 422,
    errors.RangeNotSatisfiableError: 416,
    errors.AppendRefusedError: 409,
    errors.VersionConflictError: 409,
    errors.UnknownEventTypeError: 500,
    errors.MalformedMessageError: 500,
    errors.ServiceUnavailableError: 503,
    errors.ConfigurationError: 500,
    errors.BackingServerError: 503,
}
"""Every kind of error that a request can meet; a kind that is not listed has the status of the nearest above it."""

RETRY_SECONDS = "2"
SHOWN_CHARACTERS = 200
PLACEHOLDER = re.compile(r"{[^}]+}")
DESCRIPTION = """Renders recipes: reusable DAGs of media steps, each result stored under its content id.

Every write needs a token (`artdag token` prints the local owner's). Refusals are `application/problem+json` (RFC 9457).
An `Idempotency-Key` makes a write safe to repeat. A write that is kept but not handled in time is answered with 202
and links to look at.
"""


def status_of(error: ArtdagError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def create_app(gateway: Gateway) -> FastAPI:
    """Return the application."""
    app = FastAPIOffline(  # its page of the API loads nothing from elsewhere
        title="Art DAG L1",
        version=VERSION,
        description=DESCRIPTION,
        redoc_url=None,
    )
    app.state.gateway = gateway
    for module in (
        health,
        runs,
        export,
        events,
        recipes,
        effects,
        uploading,
        deletion,
        usage,
        cache,
        derived,
        media,
        ipfs,
        pipeline,
        storage,
    ):
        app.include_router(module.router)
    app.add_exception_handler(ArtdagError, _refuse)
    app.add_exception_handler(Pending, _pending)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for lost in (asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, ConnectionError, TimeoutError):
        app.add_exception_handler(lost, _unavailable)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(OwnAddressOnly, addresses=Addresses(gateway.settings.public_url), refuse=_refuse)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = PROBLEM_SCHEMA
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"] = {
                    status: answer
                    for status, answer in operation["responses"].items()
                    if "HTTPValidationError" not in str(answer)  # never sent: all problems have one shape
                }
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ArtdagError)
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="artdag"'
    elif status == 503:
        headers["Retry-After"] = str(error.values.get("retry_after", RETRY_SECONDS))
    elif status == 416:
        headers["Content-Range"] = f"bytes */{error.values.get('size_bytes', '*')}"
    code = error.values.get("refusal", error.code) if type(error) is ArtdagError else error.code
    return problem(request, status, code, error.message, hint_of(type(error)), error.values, headers)


async def _pending(request: Request, pending: Exception) -> Response:
    assert isinstance(pending, Pending)
    links = {"command": f"/api/commands/{pending.command_id}", "resource": pending.resource}
    body = {"status": "pending", "command_id": pending.command_id, "links": links}
    return Json(body, 202, {"Location": pending.resource, "Link": f'<{links["command"]}>; rel="monitor"'})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}; see /docs"
    elif error.status_code == 405:
        detail = f"{request.url.path} does not take {request.method}; see /docs"
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem(request, error.status_code, reason(error.status_code), detail, headers=headers)


def _methods(request: Request) -> set[str]:
    """Return what the address of a request takes; each route names only its own methods."""
    return {
        method.upper()
        for template, operations in request.app.openapi()["paths"].items()
        if re.fullmatch(PLACEHOLDER.sub("[^/]+", template), request.url.path)
        for method in operations
    }


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        {
            "field": ".".join(str(part) for part in each["loc"][1:]) or str(each["loc"][0]),
            "value": repr(each.get("input"))[:SHOWN_CHARACTERS],
            "problem": each["msg"],
        }
        for each in error.errors()
    ]
    detail = "; ".join(f"{each['field']}: {each['problem']} (given: {each['value']})" for each in problems[:5])
    kind = errors.InvalidRequestError
    return problem(request, STATUS[kind], "invalid-request", detail, hint_of(kind), {"problems": problems})


async def _unavailable(request: Request, error: Exception) -> Response:
    said = str(error) or type(error).__name__
    kept = ServiceUnavailableError(f"a backing server does not answer: {said[:SHOWN_CHARACTERS]}")
    return await _refuse(request, kept)


async def _broken(request: Request, error: Exception) -> Response:
    return problem(request, 500, "internal-server-error", "this is a defect of the server; its log says more")
