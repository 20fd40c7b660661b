"""The server itself."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from artdag_client.shapes.common import Links


class Info(TypedDict):
    """What a server is."""

    name: str
    version: str
    links: Links


class Readiness(TypedDict):
    """Whether every part can do work."""

    ready: bool
    parts: dict[str, bool]


class CommandOutcome(TypedDict):
    """What became of a command: pending, accepted or refused."""

    command_id: str
    status: str
    values: NotRequired[dict[str, Any]]
    code: NotRequired[str]
    detail: NotRequired[str]
