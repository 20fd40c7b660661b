"""Lines of the log: JSON, with what they are about, and without credentials."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from artdag_common.observability import hide
from artdag_common.version import VERSION

SAYS = """
import logging, structlog
from artdag_common import tracing
from artdag_common.config import Settings
from artdag_common.observability import configure_logging
configure_logging(Settings.model_validate({{"ARTDAG_LOG_FORMAT": "{form}"}}), "planner")
with tracing.span("command", above="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", run_id="r-1"):
    structlog.get_logger("x").info("run fails", error="step-error", url="https://s3.example/b?X-Amz-Signature=abc&n=1")
    logging.getLogger("uvicorn.error").error("it broke at %s", "postgresql://artdag:hunter2@db/artdag")
    try:
        raise ValueError("Authorization: Bearer 0123456789abcdef")
    except ValueError:
        logging.getLogger("asyncpg").exception("why")
logging.getLogger("nats").info("too much")
"""


def said(form: str) -> str:
    """Return what a process logs."""
    return subprocess.run(
        [sys.executable, "-c", SAYS.format(form=form)], capture_output=True, text=True, check=True
    ).stderr


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """What it logs as JSON."""
    return [json.loads(line) for line in said("json").splitlines()]


def test_every_line_says_whose_it_is_and_what_it_is_about(lines: list[dict[str, Any]]) -> None:
    assert len(lines) == 3
    assert lines[0]["event"] == "run fails"
    for line in lines:
        assert (line["service"], line["version"], line["run_id"]) == ("planner", VERSION, "r-1")
        assert line["host"]
        assert line["timestamp"].endswith("Z")
        assert (line["trace_id"], line["span_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert [line["level"] for line in lines] == ["info", "error", "error"]


def test_libraries_log_the_same_way(lines: list[dict[str, Any]]) -> None:
    _, broke, why = lines
    assert (broke["logger"], why["logger"]) == ("uvicorn.error", "asyncpg")
    assert "ValueError" in why["exception"]


def test_credentials_are_hidden_wherever_they_stand(lines: list[dict[str, Any]]) -> None:
    assert lines[0]["url"] == "https://s3.example/b?X-Amz-Signature=(hidden)&n=1"
    assert lines[1]["event"] == "it broke at postgresql://(hidden)@db/artdag"
    assert "0123456789abcdef" not in lines[2]["exception"]
    assert "Bearer (hidden)" in lines[2]["exception"]


def test_people_are_told_less() -> None:
    text = said("pretty")
    assert "run fails" in text
    assert "r-1" in text
    assert "4bf92f3577b34da6a3ce929d0e0e4736" not in text
    assert VERSION not in text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("nats://user:pa55@127.0.0.1:4222", "nats://(hidden)@127.0.0.1:4222"),
        ("GET /auth?token=abcdef&next=/", "GET /auth?token=(hidden)&next=/"),
        ("basic dXNlcjpwYXNzd29yZA==", "basic (hidden)"),
        ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
        ("a basic thing, and the bearer of it", "a basic thing, and the bearer of it"),
        ("/cache/bafk?raw=1&keyframe=2", "/cache/bafk?raw=1&keyframe=2"),
        ('"error": "see mailto:a@b or x://y"', '"error": "see mailto:a@b or x://y"'),
    ],
)
def test_what_is_a_credential(line: str, shown: str) -> None:
    assert hide(line) == shown


def test_a_long_line_takes_no_time() -> None:
    for piece in ("a.", "?a", "://a:", "a:b", "&token", "bearer "):
        assert hide(piece * 20_000)
