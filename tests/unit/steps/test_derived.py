"""THUMBNAIL, POSTER, WAVEFORM and SPECTROGRAM as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from artdag_common.steps.registry import find_step_type
from tests.unit.steps.running import Context

KINDS: dict[str, tuple[dict[str, Any], str, tuple[int, int]]] = {
    "THUMBNAIL": ({"width": 64}, "JPEG", (64, 36)),
    "POSTER": ({"width": 256, "frames": 4}, "JPEG", (256, 36)),
    "WAVEFORM": ({"width": 200, "height": 40}, "PNG", (200, 40)),
    "SPECTROGRAM": ({"width": 200, "height": 100}, "PNG", (200, 100)),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_step_writes_its_picture(clicking: Path, tmp_path: Path, name: str) -> None:
    config, form, size = KINDS[name]
    kind = find_step_type(name)
    assert kind.run is not None
    output = kind.run(Context(tmp_path), kind.params.model_validate_json(kind.canonical_config(config)), clicking)
    assert [each.name for each in tmp_path.iterdir()] == [output.name]
    with Image.open(output) as image:
        assert (image.format, image.size) == (form, size)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("config", [{"width": 15}, {"width": 100_000}, {"size": 3}])
def test_parameters_that_make_no_sense_are_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_step_type(name).canonical_config(config)
