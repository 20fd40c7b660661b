"""What is said to people, and where."""

from __future__ import annotations

import pytest
import structlog

from artdag_cli.messages import log_here


def test_logs_stay_out_of_results(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        log_here()
        structlog.get_logger("a library").warning("the bus is away")
    finally:
        structlog.configure(**before)
    said = capsys.readouterr()
    assert said.out == ""
    assert "the bus is away" in said.err
