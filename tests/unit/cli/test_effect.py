"""``artdag effect``: templates that work, problems that have their lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from artdag_cli import effect
from artdag_cli.effect_template import template
from artdag_common.effects import uploaded
from artdag_common.errors import InvalidEffectError
from artdag_common.media.probe import probe
from tests.unit.media.counted import write_counted

RUN = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the user is in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("kind", "frames"), [("frame", 20), ("media", 30)])
def test_a_new_effect_works_as_it_is(here: Path, kind: str, frames: int) -> None:
    made = RUN.invoke(effect.app, ["new", "my-own", "--kind", kind])
    assert (made.exit_code, made.stdout) == (0, "my_own.py\n")
    clip = write_counted(here / "clip.mp4", 20)
    tried = RUN.invoke(effect.app, ["test", "my_own.py", "--media", str(clip), "--json"])
    assert tried.exit_code == 0, tried.output
    facts = json.loads(tried.stdout)
    assert facts["output"] == str(here / "my_own.mp4")
    assert probe(here / "my_own.mp4").frames == frames
    assert "seccomp" in facts["isolation"]
    assert ("effect_ms" in facts) is (kind == "frame")


def test_without_media_a_clip_is_made(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effect, "CLIP_FRAMES", 3)
    (here / "a.py").write_text(template("a", "frame", "Ann"))
    tried = RUN.invoke(effect.app, ["test", "a.py", "--params", '{"amount": 0.9}', "--output", "b.mp4"])
    assert (tried.exit_code, tried.stdout) == (0, f"{here / 'b.mp4'}\n"), tried.output
    assert "ms a frame of 640×360" in tried.stderr
    assert probe(here / "b.mp4").frames == 3


def test_a_file_that_is_there_is_left_as_it_is(here: Path) -> None:
    (here / "mine.py").write_text("mine")
    refused = RUN.invoke(effect.app, ["new", "mine"])
    assert "is there already" in str(refused.exception)
    assert (here / "mine.py").read_text() == "mine"


@pytest.mark.parametrize("arguments", [["new", "No Good"], ["new", "a", "--kind", "sound"]])
def test_nothing_is_written_for_what_is_no_effect(here: Path, arguments: list[str]) -> None:
    assert isinstance(RUN.invoke(effect.app, arguments).exception, effect.EffectFileError)
    assert not list(here.iterdir())


KEPT = 'return glow, {"glow": glow}'
BREAKS = """if state.get("n", 0) > 9:
        raise ValueError("no more")
    return glow, {"glow": glow, "n": state.get("n", 0) + 1}"""


def test_an_effect_that_breaks_leaves_the_result_of_before(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effect, "TIMED_FRAMES", 3)
    clip = write_counted(here / "clip.mp4", 20)
    source = template("a", "frame", "Ann")
    assert KEPT in source
    (here / "a.py").write_text(source)
    assert RUN.invoke(effect.app, ["test", "a.py", "--media", str(clip)]).exit_code == 0
    before = (here / "a.mp4").read_bytes()
    (here / "a.py").write_text(source.replace(KEPT, BREAKS))
    assert RUN.invoke(effect.app, ["test", "a.py", "--media", str(clip)]).exit_code != 0
    assert (here / "a.mp4").read_bytes() == before
    assert sorted(each.name for each in here.iterdir()) == ["a.mp4", "a.py", "clip.mp4"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--params", '{"amuont": 1}'], "amuont.*its parameters: amount"),
        (["--params", "x"], "--params: "),
        (["--output", "a.py"], "is what is to be read"),
    ],
)
def test_wrong_options_are_refused(here: Path, arguments: list[str], reason: str) -> None:
    (here / "a.py").write_text(template("a", "frame", "Ann"))
    refused = RUN.invoke(effect.app, ["test", "a.py", *arguments])
    assert isinstance(refused.exception, effect.EffectFileError)
    with pytest.raises(effect.EffectFileError, match=reason):
        raise refused.exception


def test_problems_are_shown_with_their_lines(here: Path) -> None:
    (here / "a.py").write_text(
        template("a", "frame", "Ann").replace('"numpy"', '"torch"').replace('"float"', '"flaot"')
    )
    for command in ("test", "upload"):
        refused = RUN.invoke(effect.app, [command, "a.py"])
        assert isinstance(refused.exception, InvalidEffectError)
        assert "a.py:3: dependencies: torch is not offered to effects" in refused.stderr
        assert "a.py:13: tool.artdag.params.amount.type: the type is float, int, bool or str" in refused.stderr


@pytest.mark.parametrize("kind", ["frame", "media"])
def test_templates_are_effects(kind: str) -> None:
    found = uploaded.parse(template("some-name", kind, "Ann").encode(), Path("x.py"))
    assert (found.name, found.kind, found.author) == ("some-name", kind, "Ann")
