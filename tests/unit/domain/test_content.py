"""Content, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.content import Object
from artdag_common.testing.scenario import Scenario, fact


@pytest.fixture
def content() -> Scenario[Object]:
    return Scenario(Object, Object.Stored, key="bafy")


def test_an_owner_names_content(content: Scenario[Object]) -> None:
    content.given(fact(Object.Stored, size_bytes=7, media_type="video/mp4", origin="upload"))
    content.when(Object.name, "ada", "cat").then(fact(Object.Named, owner="ada", name="cat"))
    assert (content.state.names, content.state.size_bytes) == ({"ada": "cat"}, 7)


def test_no_name_changes_nothing(content: Scenario[Object]) -> None:
    content.given(fact(Object.Named, owner="ada", name="cat")).when(Object.name, "ada", "").nothing()


def test_the_same_name_again_counts_since_other_content_may_bear_it_by_now(content: Scenario[Object]) -> None:
    content.given(fact(Object.Named, owner="ada", name="cat")).when(Object.name, "ada", "cat").then(Object.Named)


def test_owners_name_content_independently(content: Scenario[Object]) -> None:
    content.given(fact(Object.Named, owner="ada", name="cat")).when(Object.name, "bob", "cat").then(Object.Named)
    assert content.state.names == {"ada": "cat", "bob": "cat"}


def test_a_new_name_replaces_the_old_one(content: Scenario[Object]) -> None:
    content.given(fact(Object.Named, owner="ada", name="cat")).when(Object.name, "ada", "tom").then(Object.Named)
    assert content.state.names == {"ada": "tom"}
