"""Which paths may be imported from."""

from __future__ import annotations

from pathlib import Path

import pytest

from artdag_common.errors import ContentNotFoundError, InvalidRequestError
from services.gateway.importing import DEPTH, opened, place_of

ALLOWED = (Path("/srv/media"), Path("/srv/media/inner"), Path("/data"))


def test_the_innermost_folder_counts() -> None:
    assert place_of("/srv/media/a/b.mp4", ALLOWED) == (Path("/srv/media"), ("a", "b.mp4"))
    assert place_of("/srv/media/inner/b.mp4", ALLOWED) == (Path("/srv/media/inner"), ("b.mp4",))
    assert place_of("/data", ALLOWED) == (Path("/data"), ())
    assert place_of("/data/./a//b", ALLOWED) == (Path("/data"), ("a", "b"))


@pytest.mark.parametrize(
    "path", ["/srv/mediaX/a", "/srv", "/", "", "a", "/data/../etc/passwd", "/data/a/..", "/data/a\0b", "//data/a"]
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        place_of(path, ALLOWED)
    assert refused.value.values["problems"][0]["field"] == "path"


def test_without_a_folder_nothing_may() -> None:
    with pytest.raises(InvalidRequestError, match="ARTDAG_IMPORT_DIRS"):
        place_of("/data/a", ())


def test_a_folder_that_is_replaced_by_a_link_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").write_text("x")
    (tmp_path / "in" / "a").write_text("a")
    (tmp_path / "in" / "sub" / "b").write_text("b")
    with opened(str(tmp_path / "in"), [tmp_path / "in"]) as (folder, found):
        assert folder
        assert next(found).name == "a"
        (tmp_path / "in" / "sub").rename(tmp_path / "gone")
        (tmp_path / "in" / "sub").symlink_to(tmp_path / "out")
        assert [each.name for each in found] == []


def test_the_operator_may_allow_a_folder_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with opened(str(tmp_path / "link" / "a"), [tmp_path / "link"]) as (folder, found):
        assert (folder, [each.name for each in found]) == (False, ["a"])


def test_an_allowed_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ContentNotFoundError), opened(str(tmp_path / "no" / "a"), [tmp_path / "no"]):
        pass


def test_folders_too_deep_are_refused(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (DEPTH + 2))
    deep.mkdir(parents=True)
    with (
        opened(str(tmp_path), [tmp_path]) as (_, found),
        pytest.raises(InvalidRequestError, match="folders deep"),
    ):
        list(found)
