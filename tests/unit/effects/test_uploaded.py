"""Files of uploaded effects: what is read of them, and what is wrong with them, all at once."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from artdag_common.cid import cid_of
from artdag_common.effects import uploaded
from artdag_common.effects.registry import find_effect
from artdag_common.errors import CidMismatchError, InvalidEffectError, UnknownEffectError
from artdag_common.isolation import view

GOOD = """\
# A line before the header.
# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.20"]
#
# [tool.artdag]
# name = "glow"
# version = "1.2"
# author = "Ann"
# description = "Glows."
#
# [tool.artdag.params.amount]
# type = "float"
# default = 1
# min = 0
# max = 2
# description = "How much"
#
# [tool.artdag.params.mode]
# type = "str"
# default = "soft"
# choices = ["soft", "hard"]
#
# [tool.artdag.params.count]
# type = "int"
# ///
raise SystemExit("nothing in it is run")


def process_frame(frame, params, state):
    return frame, state
"""


def problems_of(text: str | bytes) -> list[tuple[int, str, str]]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(InvalidEffectError) as refused:
        uploaded.parse(data, Path("x.py"))
    return [(each["line"], each["field"], each["problem"]) for each in refused.value.problems]


def test_a_good_file_says_everything_of_itself() -> None:
    effect = uploaded.parse(GOOD.encode(), Path("x.py"))
    assert (effect.name, effect.version, effect.author) == ("glow", "1.2", "Ann")
    assert (effect.description, effect.kind) == ("Glows.", "frame")
    assert effect.cid == effect.reference == cid_of(GOOD.encode())
    assert effect.uploaded == uploaded.Uploaded(effect.cid, ("numpy",))
    assert list(effect.params.model_fields) == ["amount", "mode", "count"]
    assert effect.params.model_validate({"count": 3}).model_dump() == {"amount": 1.0, "mode": "soft", "count": 3}
    assert effect.params.model_fields["amount"].description == "How much"


@pytest.mark.parametrize(
    "wrong",
    [{}, {"count": 1, "amount": 2.5}, {"count": 1, "amount": "nan"}, {"count": 1, "mode": "x"}, {"count": 1, "a": 1}],
)
def test_its_parameters_are_checked_as_those_of_any_effect(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        uploaded.parse(GOOD.encode(), Path("x.py")).params.model_validate(wrong)


def test_its_function_is_not_to_be_called_here() -> None:
    with pytest.raises(AssertionError, match="isolated"):
        uploaded.parse(GOOD.encode(), Path("x.py")).process_frame(None, None, None)  # type: ignore[arg-type]


def test_all_problems_come_at_once() -> None:
    text = (
        GOOD.replace('"glow"', '"Glow!"')
        .replace('"1.2"', "12")
        .replace('"Ann"', '""')
        .replace('["numpy>=1.20"]', '["torch", "numpy>=99"]')
        .replace('">=3.11"', '">=4"')
        .replace("# max = 2", "# max = -1\n# maxx = 3")
        .replace("params, state):", "params):")
    )
    assert [(line, place) for line, place, _ in problems_of(text)] == [
        (3, "requires-python"),
        (4, "dependencies"),
        (4, "dependencies"),
        (7, "tool.artdag.name"),
        (8, "tool.artdag.version"),
        (9, "tool.artdag.author"),
        (14, "tool.artdag.params.amount.default"),
        (16, "tool.artdag.params.amount.max"),
        (17, "tool.artdag.params.amount.maxx"),
        (31, "process_frame"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (b"", 1, "the file is empty"),
        (b"#" * (uploaded.MAX_BYTES + 1), 1, "an effect has at most 262144 bytes"),
        (b"a = 1\n\xff", 2, "UTF-8 text, but byte 6 is not"),
        ("a = 1\n", 1, "the file has no header"),
        (GOOD + GOOD, 33, "a second header begins here"),
        (GOOD.replace("# ///\n", ""), 2, "the header has no end"),
        (GOOD.replace('"glow"', "glow"), 7, "not TOML"),
        (GOOD + "def (:\n", 32, "not Python 3"),
        (GOOD + "x = " + "(" * 3000, 32, "not Python 3"),
        (GOOD + "x = " + "-" * 200_000 + "1", 1, "not Python 3"),
        (GOOD + "x = '\0'", 1, "not Python 3"),
        (GOOD.replace("[tool.artdag", "[tool.other"), 2, "no table"),
        (GOOD.replace("# name", "# nmae"), 7, "unknown key; known are name, "),
        (GOOD.replace("def process_frame", "async def process_frame"), 30, "it is 'async' here"),
        (GOOD.replace("process_frame", "process"), 1, r"has a function process_frame(frame, params, state)"),
        (GOOD.replace("[tool.artdag.params.count]", "[tool.artdag.params.copy]"), 24, "means something else"),
        (GOOD.replace("[tool.artdag.params.count]", "[tool.artdag.params.Count]"), 24, "small letters"),
        (GOOD.replace('type = "int"', 'type = "image"'), 25, "the type is float, int, bool or str"),
        (GOOD.replace('default = "soft"', 'default = "s"'), 21, "input should be 'soft' or 'hard'"),
        (GOOD.replace("# requires-python", "# requires"), 3, "unknown key"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_line(text: str | bytes, line: int, problem: str) -> None:
    found = problems_of(text)
    assert any(at == line and problem in said for at, _, said in found), found


def test_a_dependency_that_is_not_offered_is_refused_by_name() -> None:
    (found,) = problems_of(GOOD.replace("numpy>=1.20", "scipy"))
    assert found[2].startswith(
        "scipy is not offered to effects, and nothing is installed for them; offered are: numpy "
    )
    for odd in ("numpy[extra]", "numpy @ file:///x", "numpy; python_version > '3'", "", "-e ."):
        assert problems_of(GOOD.replace("numpy>=1.20", odd)), odd


@pytest.mark.parametrize(
    ("signature", "fits"),
    [
        ("(frame, params, state)", True),
        ("(a, b, /, c)", True),
        ("(frame, params, state, more=1)", True),
        ("(frame, *rest)", True),
        ("(frame, params, state, *, option=1)", True),
        ("(frame, params)", False),
        ("(frame, params, state, more)", False),
        ("(frame, params, state, *, option)", False),
        ("()", False),
    ],
)
def test_the_function_takes_what_it_is_given(signature: str, fits: bool) -> None:
    text = GOOD.replace("(frame, params, state)", signature)
    if fits:
        assert uploaded.parse(text.encode(), Path("x.py"))
    else:
        assert "the function is called as process_frame(frame, params, state)" in problems_of(text)[0][2]


def test_effects_of_files_have_a_function_of_their_own() -> None:
    text = GOOD.replace("# author", '# kind = "media"\n# author')
    assert "process(inputs, output, params, ctx)" in problems_of(text)[0][2]
    text = text.replace("process_frame(frame, params, state)", "process(inputs, output, params, ctx)")
    assert uploaded.parse(text.encode(), Path("x.py")).kind == "media"


def test_the_style_of_strangers_is_none_of_our_business() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert uploaded.parse((GOOD + "x = '\\d' is 1\n").encode(), Path("x.py"))


def test_versions_that_are_not_known_here_are_left_to_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploaded, "offered", dict)
    assert uploaded.parse(GOOD.replace("numpy>=1.20", "numpy>=99").encode(), Path("x.py"))
    assert set(view.OFFERED) >= set(view.offered())


# --- by CID ---


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    """A folder of files named by their CIDs, where uploaded effects are looked for."""
    uploaded.look_in(lambda cid: tmp_path / cid if (tmp_path / cid).exists() else None)
    yield tmp_path
    uploaded.look_in(lambda cid: None)


def put(shelf: Path, data: bytes, cid: str = "") -> str:
    cid = cid or cid_of(data)
    (shelf / cid).write_bytes(data)
    return cid


def test_an_effect_is_found_by_its_cid_and_read_once(shelf: Path) -> None:
    cid = put(shelf, GOOD.encode())
    effect = find_effect(cid)
    assert (effect.name, effect.cid) == ("glow", cid)
    assert find_effect(cid) is effect
    assert uploaded.source_of(effect) == GOOD


def test_what_is_not_there_or_no_effect_says_so(shelf: Path) -> None:
    with pytest.raises(UnknownEffectError, match="upload it with POST /effects/upload"):
        find_effect(cid_of(b"nothing"))
    video = put(shelf, b"\x00\x00\x00\x20ftyp")
    with pytest.raises(UnknownEffectError, match=f"{video} is not an effect: line 1: "):
        find_effect(video)


def test_a_file_that_is_not_what_its_cid_says_is_not_used(shelf: Path) -> None:
    cid = put(shelf, GOOD.encode())
    effect = find_effect(cid)
    put(shelf, GOOD.replace("Ann", "Bob").encode(), cid)
    with pytest.raises(CidMismatchError, match="holds something else"):
        uploaded.source_of(effect)
    uploaded.look_in(lambda cid: shelf / cid)  # forgets what was read
    with pytest.raises(UnknownEffectError, match="holds something else"):
        find_effect(cid)
    (shelf / cid).unlink()
    with pytest.raises(UnknownEffectError, match="not stored here any more"):
        uploaded.source_of(effect)


def test_effects_are_values() -> None:
    assert dataclasses.is_dataclass(uploaded.parse(GOOD.encode(), Path("x.py")))
