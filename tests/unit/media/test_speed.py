"""Sound at another speed keeps its channels apart."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from artdag_common.media.soundtrack import SoundShape
from artdag_common.media.speed import _stretched


@pytest.mark.parametrize("speed", ["1/2", "2", "5"])
@pytest.mark.parametrize("loud", [0, 1])
def test_one_of_two_channels_stays_silent(speed: str, loud: int) -> None:
    shape = SoundShape(48_000, 2)
    sound = np.zeros((2, 96_000), np.float32)
    sound[loud] = np.sin(np.arange(96_000) * (2 * np.pi * 220 / 48_000))
    pieces = [sound[:, at : at + 1024] for at in range(0, 96_000, 1024)]
    stretched = np.concatenate(list(_stretched(pieces, shape, Fraction(speed))), axis=1)
    assert abs(stretched.shape[1] - 96_000 / Fraction(speed)) < 4_800
    assert np.abs(stretched[loud]).max() > 0.9
    assert not stretched[1 - loud].any()
