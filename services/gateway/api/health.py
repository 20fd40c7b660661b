"""The server itself: what it is, whether it lives, whether it can work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import asyncpg
from fastapi import APIRouter
from redis.exceptions import RedisError
from starlette.responses import Response

from artdag_common.eventstore.postgres import LOST
from artdag_common.version import VERSION
from services.gateway.api.documentation import answers
from services.gateway.parts import Gateway, Parts
from services.gateway.problems import Json
from services.gateway.projections import tokens

router = APIRouter(tags=["server"])

SERVICES = ("planner", "executor", "cache", "auth")
ANSWER_SECONDS = 1.0
PARTS = {
    "postgres": True,
    "nats": True,
    "redis": True,
    "read_models": True,
    "owner_token": True,
    "planner": True,
    "executor": True,
    "cache": True,
    "auth": True,
}


@router.get(
    "/",
    summary="Server info",
    responses=answers({"name": "Art DAG L1", "version": VERSION, "links": {"docs": "/docs", "runs": "/runs"}}),
)
async def info(parts: Parts) -> Response:
    """What this server is, and where things are."""
    links = ("docs", "openapi.json", "runs", "recipes", "assets", "health", "ready")
    return Json(
        {
            "name": "Art DAG L1",
            "version": VERSION,
            "url": parts.settings.public_url,
            "links": {name.partition(".")[0]: f"/{name}" for name in links},
        }
    )


@router.get("/health", summary="Whether the gateway lives", responses=answers({"status": "ok"}))
async def health() -> Response:
    """Answers as long as the process does; says nothing of the others."""
    return Json({"status": "ok"})


@router.get(
    "/ready",
    summary="Whether every part can do work",
    responses=answers({"ready": True, "parts": PARTS})
    | {503: {"description": "Not yet", "content": {"application/json": {"example": {"ready": False, "parts": PARTS}}}}},
)
async def ready(parts: Parts) -> Response:
    """Backing servers, read models and every service, each by name; 503 until all can."""
    checks: dict[str, Awaitable[bool]] = {
        "postgres": _postgres(parts),
        "nats": _nats(parts),
        "redis": _redis(parts),
        "read_models": _read_models(parts),
        "owner_token": _owner_token(parts),
        **{service: parts.bus.ping(service, ANSWER_SECONDS) for service in SERVICES},
    }
    found = dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))
    able = all(found.values())
    return Json({"ready": able, "parts": found}, 200 if able else 503)


async def _postgres(parts: Gateway) -> bool:
    try:
        return bool(await parts.pool.fetchval("SELECT true", timeout=ANSWER_SECONDS))
    except (asyncpg.PostgresError, TimeoutError, *LOST):
        return False


async def _nats(parts: Gateway) -> bool:
    return parts.bus.nc.is_connected


async def _redis(parts: Gateway) -> bool:
    try:
        return bool(await parts.cache.ping())
    except (RedisError, OSError):
        return False


async def _read_models(parts: Gateway) -> bool:
    return parts.projector.running


async def _owner_token(parts: Gateway) -> bool:
    """Whether the local owner, where there is one, can sign in."""
    expected = parts.settings.owner_token_hash
    try:
        return not expected or await tokens.find(parts.pool, expected) is not None
    except (asyncpg.PostgresError, TimeoutError, *LOST):
        return False
