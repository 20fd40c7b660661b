"""What the planner's tests share: servers of their own, and planners on one database."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.integration.events.test_planner import World


@pytest.fixture
def world(pool: asyncpg.Pool, tmp_path: Path) -> World:
    """Planners that share an event store, without a bus: the test delivers, or loses, what they would hear."""
    return World(pool, tmp_path / "cache")
