"""The server itself: what it is, whether it lives, whether it can work."""

from __future__ import annotations

from functools import partial

import asyncpg
from fastapi import APIRouter
from starlette.responses import Response

from artdag_common import caching
from artdag_common.eventstore.postgres import LOST
from artdag_common.probing import ANSWER_SECONDS, backing, passed
from artdag_common.version import VERSION
from services.gateway.api.documentation import answers
from services.gateway.parts import Gateway, Parts
from services.gateway.problems import Json
from services.gateway.projections import tokens

router = APIRouter(tags=["server"])

SERVICES = ("planner", "executor", "cache", "auth")
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
    found = await passed(
        {
            **backing(parts.bus, parts.pool),
            "redis": partial(caching.answers, parts.cache),
            "read_models": lambda: parts.projector.running,
            "owner_token": partial(_owner_token, parts),
            **{service: partial(parts.bus.ping, service, ANSWER_SECONDS) for service in SERVICES},
        }
    )
    able = all(found.values())
    return Json({"ready": able, "parts": found}, 200 if able else 503)


async def _owner_token(parts: Gateway) -> bool:
    """Whether the local owner, where there is one, can sign in."""
    expected = parts.settings.owner_token_hash
    try:
        return not expected or await tokens.find(parts.pool, expected) is not None
    except (asyncpg.PostgresError, TimeoutError, *LOST):
        return False
