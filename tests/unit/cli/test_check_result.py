"""The demo takes nothing on trust: bytes, codec, pixel format, duration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from artdag_cli.demo import TOLERANCE_SECONDS, DemoFailedError, check_result
from artdag_common.cid import cid_of_file
from artdag_common.errors import ArtdagError


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Encode 50 grey frames, 2 s."""

    def encode(codec: str = "libx264", pix_fmt: str = "yuv420p") -> Path:
        path = tmp_path / f"{codec}-{pix_fmt}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
            for value in range(50):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return encode


def test_a_video_as_it_has_to_be_gives_its_duration(film: Callable[..., Path]) -> None:
    path = film()
    assert check_result(path, cid_of_file(path), 2.0) == 2.0
    assert check_result(path, cid_of_file(path), 2.0 + 0.9 * TOLERANCE_SECONDS) == 2.0


@pytest.mark.parametrize("duration", [1.9, 2.1, 0.0])
def test_another_duration(film: Callable[..., Path], duration: float) -> None:
    path = film()
    with pytest.raises(DemoFailedError, match=rf"lasts 2\.000 s instead of {duration:.3f} s"):
        check_result(path, cid_of_file(path), duration)


def test_other_bytes_than_the_cid_names(film: Callable[..., Path]) -> None:
    path = film()
    cid = cid_of_file(path)
    with path.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DemoFailedError, match=f"do not hash to {cid}"):
        check_result(path, cid, 2.0)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "named"), [("mpeg4", "yuv420p", "mpeg4/yuv420p"), ("libx264", "yuv444p", "h264/yuv444p")]
)
def test_what_browsers_do_not_play(film: Callable[..., Path], codec: str, pix_fmt: str, named: str) -> None:
    path = film(codec, pix_fmt)
    with pytest.raises(DemoFailedError, match=f"is {named}, not h264/yuv420p"):
        check_result(path, cid_of_file(path), 2.0)


def test_what_is_no_media(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("hello")
    with pytest.raises(ArtdagError):
        check_result(path, cid_of_file(path), 2.0)
