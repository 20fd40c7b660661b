"""Frames through an isolated effect: they lie in memory that both processes see, so that none is packed or sent."""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from artdag_common.domain.plan import canonical_json
from artdag_common.effects.base import Effect, EffectParams
from artdag_common.effects.uploaded import FUNCTIONS, source_of
from artdag_common.errors import EffectFailedError
from artdag_common.isolation import messages
from artdag_common.isolation.limits import Limits
from artdag_common.isolation.process import Isolated, Job
from artdag_common.media import affect
from artdag_common.media.encode import PictureShape
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import Rgb
from artdag_common.media.stage import Stage

SLOTS = 3
"""Frames on their way at once: while the effect works on one, the next is decoded and the one before is encoded."""


class SharedFrames:
    """Room for a few frames of one size in memory that is shared, and that nobody can shrink under the other's feet."""

    def __init__(self, shape: tuple[int, ...], slots: int = SLOTS) -> None:
        """``shape``: (height, width, 3)."""
        self.shape = (slots, *shape)
        size = int(np.prod(self.shape))
        self.descriptor = os.memfd_create("frames", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.frames = np.frombuffer(mmap.mmap(self.descriptor, size), np.uint8).reshape(self.shape)

    def close(self) -> None:
        """Give the descriptor back; the memory goes with the last who looks at it."""
        os.close(self.descriptor)


def isolated_stage(
    effect: Effect,
    params: EffectParams,
    shape: PictureShape,
    curves: Mapping[str, Sequence[float]],
    limits: Limits | None = None,
) -> Stage:
    """Return the stage of an uploaded effect, run in a process of its own.

    Raises, while it runs:
        EffectFailedError: it fails, gives back something other than a frame of the same size, or breaks a limit.
        IsolationUnavailableError: nothing here could isolate it.
        CidMismatchError: its file is not what it was.
    """

    def frames(pictures: Iterator[Picture]) -> Iterator[Picture]:
        arrays: deque[Picture] = deque()

        def before() -> Iterator[Rgb]:
            for picture in pictures:
                arrays.append(picture)
                yield picture.rgb()

        for after in run_frames(effect, params, before(), curves, limits):
            yield arrays.popleft().with_rgb(after)

    return Stage(shape, frames)


def run_frames(
    effect: Effect,
    params: EffectParams,
    frames: Iterator[Rgb],
    curves: Mapping[str, Sequence[float]],
    limits: Limits | None = None,
) -> Iterator[Rgb]:
    """Yield every frame, changed by an uploaded effect that runs isolated.

    Args:
        frames: all of one shape, (height, width, 3), RGB.
        curves: one value a frame for parameters that are bound, by their dotted names.
    """
    first = next(frames, None)
    if first is None:
        return
    shared = SharedFrames(first.shape)
    try:
        with Isolated(job_of(effect, params, (shared.descriptor, shared.shape)), limits or Limits()) as process:
            yield from _through(process, shared, _again(first, frames), effect, params, curves)
    finally:
        shared.close()


def job_of(effect: Effect, params: EffectParams, frames: tuple[int, tuple[int, ...]] | None, **more: Any) -> Job:
    """Return what is to be run of an uploaded effect: the bytes that its CID names, checked now."""
    assert effect.uploaded
    return Job(
        name=effect.name,
        source=source_of(effect),
        function=FUNCTIONS[effect.kind][0],
        params=params.model_dump(mode="json"),
        seed=seed_of(effect, params),
        modules=effect.uploaded.modules or ("numpy",),
        frames=frames,
        **more,
    )


def seed_of(effect: Effect, params: EffectParams) -> int:
    """Return what the effect's random numbers come from: the same for the same effect and parameters, anywhere."""
    digest = hashlib.sha256(effect.cid.encode() + canonical_json(params.model_dump(mode="json")))
    return int.from_bytes(digest.digest()[:8])


def _again(first: Rgb, rest: Iterator[Rgb]) -> Iterator[Rgb]:
    yield first
    yield from rest


def _through(
    process: Isolated,
    shared: SharedFrames,
    frames: Iterator[Rgb],
    effect: Effect,
    params: EffectParams,
    curves: Mapping[str, Sequence[float]],
) -> Iterator[Rgb]:
    under_way: deque[int] = deque()
    for place, frame in enumerate(frames):
        if frame.shape != shared.frames.shape[1:]:
            raise EffectFailedError(f"effect {effect.name!r} cannot run: frame {place} has another size than the first")
        slot = place % len(shared.frames)
        if len(under_way) == len(shared.frames):
            yield _next(process, shared, under_way)
        shared.frames[slot] = frame
        changed = _changed(place, params, curves)
        process.order(messages.FRAME.pack(slot) + json.dumps(changed).encode())
        under_way.append(slot)
    while under_way:
        yield _next(process, shared, under_way)


def _next(process: Isolated, shared: SharedFrames, under_way: deque[int]) -> Rgb:
    kind, payload = process.reply()
    if kind != messages.DONE or payload != messages.FRAME.pack(under_way[0]):
        raise process.failure("sent something that it has not been asked for")
    after: Rgb = shared.frames[under_way.popleft()].copy()
    return after


def _changed(place: int, params: EffectParams, curves: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the parameters that are bound, with their values at a frame."""
    if not curves:
        return {}
    now = affect.parameters_at(place, params, curves).model_dump(mode="json")
    return {name.removeprefix(affect.PREFIX): now[name.removeprefix(affect.PREFIX)] for name in curves}
