"""The HTTP application: routes, and the one table from error to status."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import asyncpg
import orjson
import structlog
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
    audit,
    auth,
    cache,
    checking,
    client,
    copies,
    deletion,
    derived,
    dlq,
    doctor,
    effects,
    events,
    export,
    federation,
    grants,
    health,
    imports,
    ipfs,
    media,
    metrics,
    ops,
    pipeline,
    publishing,
    recipes,
    revoking,
    runs,
    steering,
    step_log,
    storage,
    tokens,
    uploading,
    usage,
    webhooks,
)
from services.gateway.api.documentation import PROBLEM_SCHEMA, corrected
from services.gateway.api.keys import name_keys
from services.gateway.api.links import link
from services.gateway.api.page import page_of
from services.gateway.auditing import CODE, Audited
from services.gateway.bodies import BoundedBodies
from services.gateway.headers import PAGE_POLICY, SafeHeaders, safe_headers
from services.gateway.issuing import Pending
from services.gateway.limits import LimitedRates, RateLimiter
from services.gateway.methods import HeadAsGet, allowed
from services.gateway.origins import OwnPagesOnly, TrueClient
from services.gateway.parts import Gateway
from services.gateway.problems import Json, hint_of, problem, reason
from services.gateway.repeating import Repeatable, Repeated
from services.gateway.web import pages, site
from services.gateway.web.asking import RefusedError
from services.gateway.web.pages import name_pages

STATUS: dict[type[ArtdagError], int] = {
    ArtdagError: 409,
    errors.InvalidCidError: 400,
    errors.CidMismatchError: 502,
    errors.MalformedBlockError: 422,
    errors.FolderTooLargeError: 422,
    errors.ContentNotFoundError: 404,
    errors.ContentTooLargeError: 413,
    errors.ContentInUseError: 409,
    errors.NotPublishedError: 404,
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
    errors.WebhookRefusedError: 422,
    errors.WebhookNotFoundError: 404,
    errors.WebhookDisabledError: 409,
    errors.DeliveryNotFoundError: 404,
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
    errors.NothingToRetryError: 409,
    errors.RunNotPausedError: 409,
    errors.StepNotFoundError: 404,
    errors.StepLogNotFoundError: 404,
    errors.StepNotActiveError: 409,
    errors.QueueFullError: 429,
    errors.SystemBusyError: 503,
    errors.NothingToPublishError: 409,
    errors.BrokenHistoryError: 422,
    errors.OutputPublishedError: 409,
    errors.StepError: 422,
    errors.UnauthenticatedError: 401,
    errors.TokenRevokedError: 401,
    errors.TokenExpiredError: 401,
    errors.TokenNotFoundError: 404,
    errors.GrantNotFoundError: 404,
    errors.TooManyGuessesError: 429,
    errors.WrongScopeError: 401,
    errors.L2RefusedError: 401,
    errors.SignatureError: 401,
    errors.UserNotFoundError: 404,
    errors.ForeignOriginError: 403,
    errors.InvalidRequestError: 422,
    errors.IdempotencyConflictError: 422,
    errors.IdempotencyBusyError: 409,
    errors.RateLimitedError: 429,
    errors.RangeNotSatisfiableError: 416,
    errors.AppendRefusedError: 409,
    errors.VersionConflictError: 409,
    errors.UnknownEventTypeError: 500,
    errors.MalformedMessageError: 500,
    errors.ServiceUnavailableError: 503,
    errors.ProviderBusyError: 503,
    errors.ExecutorStoppingError: 503,
    errors.L2UnavailableError: 503,
    errors.LetterNotFoundError: 404,
    errors.LetterNotResendableError: 409,
    errors.ConfigurationError: 500,
    errors.SchemaVersionError: 500,
    errors.BackingServerError: 503,
}
"""Every kind of error that a request can meet; a kind that is not listed has the status of the nearest above it."""

RETRY_SECONDS = "2"
SHOWN_CHARACTERS = 200
SAID_WITH = ("www-authenticate", "retry-after", "content-range", "allow")
"""Headers of refusals that mean the same to those who get a page."""

NOT_JSON = {"field": "body", "value": "", "problem": "JSON"}
PLACEHOLDER = re.compile(r"{[^}]+}")
DESCRIPTION = """Renders recipes: reusable DAGs of media steps, each result stored under its content id.

Every write needs a token (`artdag token` prints the local owner's). Refusals are `application/problem+json` (RFC 9457).
Answers name the request's trace in `Trace-Id`; a `traceparent` (W3C Trace Context) that comes with it is continued.
An `Idempotency-Key` makes a write safe to repeat for 8 days: the same key and request have one effect and one answer
(then with `Idempotent-Replayed: true`); with another request the key is refused (422). A write that is kept but not
handled in time is answered with 202 and links to look at.
"""


log = structlog.get_logger(__name__)


def status_of(error: ArtdagError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def create_app(gateway: Gateway, limiter: RateLimiter | None = None) -> FastAPI:
    """Return the application. ``limiter``: counts requests; None: nobody does."""
    app = FastAPIOffline(  # serves the files of the API's page, which loads nothing from elsewhere
        docs_url=None,
        redoc_url=None,
        title="Art DAG L1",
        version=VERSION,
        description=DESCRIPTION,
        # Its own would tell of paths and of what users wrote, to whomever the environment names; see Observed.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    app.state.gateway = gateway
    app.state.refused = Counter()  # refusals that metrics tell of: (status, code) → how many
    app.include_router(page_of(app))
    app.include_router(site.router)  # before the API: pages and data share addresses
    for module in (
        health,
        client,
        auth,
        revoking,
        tokens,
        grants,
        runs,
        steering,
        export,
        imports,
        events,
        step_log,
        recipes,
        checking,
        effects,
        uploading,
        deletion,
        usage,
        audit,
        dlq,
        doctor,
        ops,
        metrics,
        cache,
        derived,
        media,
        ipfs,
        pipeline,
        storage,
        copies,
        webhooks,
        publishing,
        federation,
    ):
        app.include_router(module.router)
    app.add_exception_handler(ArtdagError, _refuse)
    app.add_exception_handler(RefusedError, _refused_page)
    app.add_exception_handler(Pending, _pending)
    app.add_exception_handler(Repeated, _repeated)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for unstorable in (asyncpg.DataError, UnicodeEncodeError):
        app.add_exception_handler(unstorable, _unstorable)
    for lost in (asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, ConnectionError, TimeoutError):
        app.add_exception_handler(lost, _unavailable)
    for unkept in (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError):
        app.add_exception_handler(unkept, _not_text)
    app.add_exception_handler(Exception, _broken)
    settings = gateway.settings
    app.add_middleware(Repeatable, keys=lambda: gateway.issuer.keys)  # the innermost
    app.add_middleware(HeadAsGet, routes=lambda: app.routes)
    app.add_middleware(BoundedBodies, refuse=_refuse)
    app.add_middleware(OwnPagesOnly, refuse=_refuse)
    app.add_middleware(OwnAddressOnly, addresses=Addresses(settings.public_url), refuse=_refuse)
    if limiter:
        app.add_middleware(LimitedRates, limiter=limiter, personal=not settings.shared, refuse=_refuse)
    app.add_middleware(SafeHeaders, public_url=settings.public_url)
    app.add_middleware(Audited)  # sees what those above refuse
    app.add_middleware(TrueClient, trusted=settings.trusted_proxies)  # the last is the outermost
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = PROBLEM_SCHEMA
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"] = corrected(operation["responses"])
        link(schema["paths"])
        name_pages(schema["paths"], site.PARTS)
        name_keys(schema["paths"])
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
    elif status in (429, 503) or isinstance(error, errors.IdempotencyBusyError):
        headers["Retry-After"] = str(error.values.get("retry_after", RETRY_SECONDS))
    elif status == 416:
        headers["Content-Range"] = f"bytes */{error.values.get('size_bytes', '*')}"
    code = error.values.get("refusal", error.code) if type(error) is ArtdagError else error.code
    request.scope[CODE] = code
    if status in metrics.COUNTED:
        request.app.state.refused[status, code] += 1
    said = _told(error) if status >= 500 else error.message
    return await _answer(request, problem(request, status, code, said, hint_of(type(error)), error.values, headers))


async def _answer(request: Request, refusal: Response) -> Response:
    """Return a problem response, or a page that says the same to a person."""
    if not pages.wanted(request):
        return refusal
    headers = {name: refusal.headers[name] for name in SAID_WITH if name in refusal.headers}
    return await pages.problem_page(request, orjson.loads(refusal.body), headers)


async def _refused_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return await pages.problem_page(request, error.problem, error.headers)


def _told(error: ArtdagError) -> str:
    """Return a failure's message without what a driver said: it names hosts and tables, and goes to the log."""
    inner = str(error.__cause__ or "")
    if not inner or inner not in error.message:
        return error.message
    log.warning("a backing server fails", error=error.message)
    return error.message.replace(f": {inner}", "").replace(inner, "its log says more")


async def _pending(request: Request, pending: Exception) -> Response:
    assert isinstance(pending, Pending)
    links = {"command": f"/api/commands/{pending.command_id}", "resource": pending.resource}
    body = {"status": "pending", "command_id": pending.command_id, "links": links}
    return Json(body, 202, {"Location": pending.resource, "Link": f'<{links["command"]}>; rel="monitor"'})


async def _repeated(request: Request, repeated: Exception) -> Response:
    assert isinstance(repeated, Repeated)
    return repeated.response


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 400:  # the framework's word for a body that is not text at all
        return await _refuse(request, errors.InvalidRequestError("body: not JSON", problems=[NOT_JSON]))
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}; see /docs"
    elif error.status_code == 405:
        detail = f"{request.url.path} does not take {request.method}; see /docs"
        headers["Allow"] = allowed(_methods(request) or {*headers.get("Allow", "GET").split(", ")})
        if request.method == "OPTIONS":
            return Response(None, 204, {"Allow": headers["Allow"]})
    refusal = problem(request, error.status_code, reason(error.status_code), detail, headers=headers)
    return await _answer(request, refusal)


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
    refusal = problem(request, STATUS[kind], "invalid-request", detail, hint_of(kind), {"problems": problems})
    return await _answer(request, refusal)


async def _not_text(request: Request, error: Exception) -> Response:
    return await _refuse(request, errors.InvalidRequestError("a text holds the character NUL, which is kept nowhere"))


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("a backing server fails", error=str(error) or type(error).__name__, kind=type(error).__name__)
    return await _refuse(request, ServiceUnavailableError("a backing server does not answer, or not in time"))


async def _unstorable(request: Request, error: Exception) -> Response:
    """Answer to a value that passed all rules and that the database, or UTF-8, has no way to hold."""
    log.warning("a value cannot be stored", error=str(error)[:SHOWN_CHARACTERS])
    problems = [
        {"field": "", "value": "", "problem": "text without NUL and halves of surrogate pairs, numbers in range"}
    ]
    said = "a text holds NUL or half a surrogate pair, or a number is out of all range; nothing was stored"
    return await _refuse(request, errors.InvalidRequestError(said, problems=problems))


async def _broken(request: Request, error: Exception) -> Response:
    settings = request.app.state.gateway.settings
    headers = safe_headers(settings.public_url) | {"Cache-Control": "no-store"}  # no middleware sees this one
    said = "this is a defect of the server; its log says more"
    refusal = problem(request, 500, "internal-server-error", said, headers=headers)
    try:
        answer = await _answer(request, refusal)
    except Exception as second:  # the defect is in what all pages have
        log.error("no page can be shown", exc_info=second)
        return refusal
    if answer is not refusal:
        answer.headers.update(headers | {"Content-Security-Policy": PAGE_POLICY})
    return answer
