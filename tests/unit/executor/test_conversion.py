"""How an executor begins: it says once whether frames are converted the slow way."""

from __future__ import annotations

from ctypes import CDLL

import pytest
from structlog.testing import capture_logs

from artdag_common.media import kernel
from services.executor import wiring


@pytest.mark.parametrize("library", [None, CDLL(None)])
def test_it_says_that_there_is_no_library(monkeypatch: pytest.MonkeyPatch, library: CDLL | None) -> None:
    monkeypatch.setattr(kernel, "load", lambda: library)
    with capture_logs() as logs:
        wiring.tell_how_frames_are_converted()
    assert [(each["log_level"], "NumPy" in each["event"]) for each in logs] == ([] if library else [("warning", True)])
