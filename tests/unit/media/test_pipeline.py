"""Working ahead: order, bound, errors, and that nothing goes on running."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from artdag_common.errors import StepError
from artdag_common.media.pipeline import ahead
from tests.unit.steps.running import run_step


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_items_come_in_their_order_from_another_thread() -> None:
    makers = set()

    def items() -> Iterator[int]:
        for number in range(1000):
            makers.add(threading.current_thread())
            yield number

    assert list(ahead(items())) == list(range(1000))
    assert len(makers) == 1
    assert threading.current_thread() not in makers
    assert not workers()


def test_no_more_than_the_depth_is_made_in_advance() -> None:
    made: list[int] = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            if number == 4:  # one taken, three that lie ready, one in hand
                full.set()
            yield number

    with closing(ahead(items(), depth=3)) as ready:
        for taken in range(20):
            assert next(ready) == taken
            if not taken:
                assert full.wait(60)
            assert len(made) <= taken + 5


def test_an_error_comes_after_everything_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise StepError("the sixth is broken")

    ready = ahead(items())
    assert [next(ready) for _ in range(5)] == list(range(5))
    with pytest.raises(StepError, match="the sixth is broken"):
        next(ready)
    assert not workers()


def test_whoever_stops_early_leaves_nothing_behind() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with closing(ahead(items())) as ready:
        assert next(ready) == 1
    assert closed.is_set()
    assert not workers()


def test_what_was_never_begun_starts_no_thread() -> None:
    with closing(ahead(iter([1]))):
        assert not workers()
    assert not workers()


def test_one_inside_another_is_stopped_with_it() -> None:
    with closing(ahead(iter(range(1000)))) as inner, closing(ahead(number * 2 for number in inner)) as outer:
        assert [next(outer) for _ in range(3)] == [0, 2, 4]
        assert len(workers()) == 2
    assert not workers()


def test_a_step_that_fails_on_the_way_leaves_no_thread_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artdag_common.media.rgb import RgbBridge
    from tests.unit.media.counted import write_counted

    frames = iter(range(10))
    whole = RgbBridge.rgb

    def breaks(bridge: RgbBridge, frame: object) -> object:
        if next(frames) == 5:
            raise StepError("the fifth cannot be turned")
        return whole(bridge, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(RgbBridge, "rgb", breaks)
    source = write_counted(tmp_path / "source.mp4", 30)
    with pytest.raises(StepError, match="the fifth cannot be turned"):
        run_step(tmp_path / "out", "EFFECT", {"effect": "invert"}, source)
    assert not list((tmp_path / "out").iterdir())
    assert not workers()


def test_an_encoder_that_fails_stops_the_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from artdag_common.media.encode import VideoWriter
    from tests.unit.media.counted import write_counted

    def full(writer: VideoWriter, picture: object) -> None:
        raise StepError("no space is left")

    monkeypatch.setattr(VideoWriter, "write", full)
    source = write_counted(tmp_path / "source.mp4", 30)
    with pytest.raises(StepError, match="no space is left"):
        run_step(tmp_path / "out", "EFFECT", {"effect": "invert"}, source)
    assert not list((tmp_path / "out").iterdir())
    assert not workers()
