"""What browsers play as it is."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.playing import moves, plays

VIDEO = {"codec": "h264", "profile": "High", "pix_fmt": "yuv420p", "frames": 25}
AUDIO = {"codec": "aac", "sample_rate": 48_000, "channels": 2}


def facts(video: dict[str, Any] | None = None, audio: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"duration": 1.0, "video": video, "audio": audio}


@pytest.mark.parametrize(
    ("media_type", "found"),
    [
        ("video/mp4", facts(VIDEO, AUDIO)),
        ("video/mp4", facts(VIDEO)),
        (
            "video/mp4",
            facts(VIDEO | {"profile": "Constrained Baseline", "pix_fmt": "yuvj420p"}, AUDIO | {"codec": "mp3"}),
        ),
        ("audio/mp4", facts(None, AUDIO)),
    ],
)
def test_it_plays(media_type: str, found: dict[str, Any]) -> None:
    assert plays(media_type, found)


@pytest.mark.parametrize(
    ("media_type", "found"),
    [
        ("video/quicktime", facts(VIDEO, AUDIO)),
        ("video/webm", facts(VIDEO | {"codec": "vp9"})),
        ("video/mp4", facts(VIDEO | {"codec": "hevc"})),
        ("video/mp4", facts(VIDEO | {"profile": "High 4:4:4 Predictive"})),
        ("video/mp4", facts(VIDEO | {"pix_fmt": "yuv420p10le"})),
        ("video/mp4", facts(VIDEO, AUDIO | {"codec": "ac3"})),
        ("audio/mpeg", facts(None, AUDIO | {"codec": "mp3"})),
    ],
)
def test_it_has_to_be_made_to_play(media_type: str, found: dict[str, Any]) -> None:
    assert not plays(media_type, found)


def test_a_still_does_not_move() -> None:
    assert not moves(facts(VIDEO | {"frames": 1}))
    assert moves(facts(VIDEO))
    assert moves(facts(None, AUDIO))
