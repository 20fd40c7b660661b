"""Whole files through an isolated effect: it reads its inputs and writes one output; nothing else is there for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from artdag_common.effects.base import Effect, EffectParams
from artdag_common.errors import EffectFailedError, StepInputError
from artdag_common.isolation import messages
from artdag_common.isolation.frames import job_of
from artdag_common.isolation.limits import Limits
from artdag_common.isolation.process import Isolated

MOST_FRAMES = 10**9
LIMITS = Limits(memory_bytes=4 * 2**30, silence_seconds=600.0, threads=32, file_bytes=16 * 2**30)


def run_whole(
    effect: Effect,
    params: EffectParams,
    inputs: Sequence[Path],
    raw: Path,
    output: Path,
    progress: Callable[[int, int], None],
    limits: Limits = LIMITS,
) -> Path:
    """Have an uploaded effect make a file of files, and write that as steps write their output.

    Args:
        raw: where the effect writes, any media file; removed afterwards.

    Raises:
        EffectFailedError: it fails, breaks a limit, or writes something other than a video or sound.
        IsolationUnavailableError: nothing here could isolate it.
        CidMismatchError: its file is not what it was.
    """
    from artdag_common.media import video

    raw.touch(mode=0o600)
    try:
        job = job_of(effect, params, None, inputs=tuple(inputs), output=raw)
        with Isolated(job, limits) as process:
            _follow(process, progress)
        if not raw.stat().st_size:
            raise EffectFailedError(f"effect {effect.name!r} wrote nothing to its output", effect=effect.name)
        try:
            return video.cut(raw, output, Fraction(0), None, lambda done, total: None)
        except StepInputError as error:
            raise EffectFailedError(
                f"effect {effect.name!r} wrote something that is no media: {error.message}", effect=effect.name
            ) from error
    finally:
        raw.unlink(missing_ok=True)


def _follow(process: Isolated, progress: Callable[[int, int], None]) -> None:
    """Hand on how far it says to be, as long as that makes sense: always more, of what it said first."""
    most, latest = None, -1
    while True:
        kind, payload = process.reply()
        if kind == messages.DONE:
            return
        if len(payload) != messages.COUNT.size:
            raise process.failure("sent something that it has not been asked for")
        done, total = messages.COUNT.unpack(payload)
        most = min(total, MOST_FRAMES) if most is None else most
        if latest < done <= (most or MOST_FRAMES):
            latest = done
            progress(done, most)
