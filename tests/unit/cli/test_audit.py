"""The audit trail as lines; times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from artdag_cli.audit import line_of, plain, read_time

ADA = {"id": "u-ada", "handle": "@ada@artdag.org"}


def entry(**more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "at": "2026-11-22T04:00:01.123456Z",
        "kind": "deletion",
        "event": "RunDeleted",
        "code": None,
        "by": ADA,
        "user": ADA,
        "what": "run-7d0f",
        "address": None,
        "count": 1,
    } | more


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (entry(), "2026-11-22T04:00:01Z deletion @ada@artdag.org RunDeleted run-7d0f"),
        (
            entry(by={"id": "owner", "handle": "@owner@artdag.org"}, code="erased"),
            "2026-11-22T04:00:01Z deletion @owner@artdag.org → @ada@artdag.org RunDeleted run-7d0f (erased)",
        ),
        (
            entry(
                kind="refusal", event="AuditRefused", by=None, user=None, address="ab12", count=7, what=None, code="x"
            ),
            "2026-11-22T04:00:01Z refusal ×7 address ab12 AuditRefused  (x)",
        ),
        (
            entry(by={"id": "u-x", "handle": "@deleted"}, user=None),
            "2026-11-22T04:00:01Z deletion u-x RunDeleted run-7d0f",
        ),
        (
            entry(by={"id": "gc", "handle": None}, user=None, event="ObjectEvicted"),
            "2026-11-22T04:00:01Z deletion gc ObjectEvicted run-7d0f",
        ),
    ],
)
def test_an_entry_is_a_line(given, line):
    assert line_of(given) == line


@given(st.text())
def test_a_name_from_elsewhere_moves_no_cursor_and_begins_no_line(name):
    line = line_of(entry(by={"id": "u", "handle": f"@{name}"}))
    assert line.isprintable()
    assert len(plain(name)) == len(name)


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("90m", 5400), ("2h", 7200), ("7d", 604_800)])
def test_a_time_may_be_how_long_ago(text, ago):
    before = datetime.now(UTC)
    found = read_time(text)
    assert before - timedelta(seconds=ago) <= found <= datetime.now(UTC) - timedelta(seconds=ago)


def test_a_time_without_a_zone_is_utc():
    assert read_time("2026-11-22T04:00") == datetime(2026, 11, 22, 4, tzinfo=UTC)
    assert read_time("2026-11-22T04:00+01:00") == datetime(2026, 11, 22, 4, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize("text", ["yesterday", "5w", "-1h", "999999d", "2026-13-01"])
def test_anything_else_is_no_time(text):
    with pytest.raises(typer.BadParameter, match="neither"):
        read_time(text)
