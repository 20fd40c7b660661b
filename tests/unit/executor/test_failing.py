"""What an exception means for an attempt."""

from __future__ import annotations

import errno
import signal
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from artdag_common.blobs.http import LATEST_SECONDS, busy
from artdag_common.domain.failure import AWAY, BAD_INPUT, BUSY, DEFECT, LOST, MEMORY, kind_of
from artdag_common.errors import MediaWorkerLostError, ProviderBusyError, ServiceUnavailableError, StepInputError
from services.executor import failing
from services.executor.failing import broken_by, killed_for_memory
from services.executor.pool import _lost


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StepInputError("unreadable"), BAD_INPUT),
        (MediaWorkerLostError("exit code -11"), LOST),
        (ServiceUnavailableError("S3 is away"), AWAY),
        (ProviderBusyError("later"), BUSY),
        (OSError(errno.ENOSPC, "full"), BUSY),
        (OSError(errno.EDQUOT, "full"), BUSY),
        (MemoryError(), MEMORY),
        (OSError(errno.ENOMEM, "cannot allocate"), MEMORY),
        (KeyError("x"), DEFECT),
        (OSError(errno.EIO, "input/output error"), DEFECT),
    ],
    ids=repr,
)
def test_every_exception_has_a_kind_and_only_a_defect_a_trace(error: Exception, kind: str) -> None:
    broken = broken_by(error)
    assert kind_of(broken.error) == kind
    assert bool(broken.trace) == (kind == DEFECT)
    assert not broken.final


def test_libavs_errors_have_the_kinds_of_their_numbers() -> None:
    import av.error

    found = []
    for number in (errno.ENOMEM, errno.ENOSPC):
        with pytest.raises(av.error.FFmpegError) as caught:
            av.error.err_check(-number)
        found.append(kind_of(broken_by(caught.value).error))
    assert found == [MEMORY, BUSY]


@pytest.mark.parametrize(
    ("code", "before", "after", "kind"),
    [
        (-signal.SIGKILL, 3, 4, MEMORY),
        (-signal.SIGKILL, 3, 3, LOST),
        (-signal.SIGKILL, None, None, LOST),
        (-signal.SIGSEGV, 3, 4, LOST),
    ],
)
def test_a_process_that_the_machine_killed_ran_out_of_memory(
    code: int, before: int | None, after: int | None, kind: str
) -> None:
    assert kind_of(_lost(code, before, after).code) == kind


def test_the_count_of_the_nearest_group_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "memory.events", tmp_path / "vmstat"
    monkeypatch.setattr(failing, "_own_groups", lambda: [tmp_path / "absent"])
    monkeypatch.setattr(failing, "COUNTS", (one, two))
    assert killed_for_memory() is None
    two.write_text("pgfault 1\noom_kill 7\n")
    assert killed_for_memory() == 7
    one.write_text("low 0\noom 2\noom_kill 5\noom_group_kill 0\n")
    assert killed_for_memory() == 5


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 0.0), ("", 0.0), ("17", 17.0), ("soon", 0.0), ("-3", 0.0), ("9" * 9, LATEST_SECONDS)]
)
def test_how_long_a_busy_server_wants_us_to_wait(header: str | None, seconds: float) -> None:
    assert broken_by(busy("answered 503", header)).retry_after == seconds


def test_a_busy_server_may_name_a_date() -> None:
    later = busy("answered 429", format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True))
    past = busy("answered 429", format_datetime(datetime.now(UTC) - timedelta(seconds=600), usegmt=True))
    assert 0 < later.values["retry_after"] <= 600
    assert past.values["retry_after"] == 0
