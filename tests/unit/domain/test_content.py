"""Content, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.content import Object, Publication, Words
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


def test_an_owner_describes_content_and_says_only_what_is_new(content: Scenario[Object]) -> None:
    content.given(fact(Object.Named, owner="ada", name="cat"))
    content.when(Object.describe, "ada", Words("cat", "a cat", ("animal",))).then(
        fact(Object.Described, owner="ada", description="a cat", tags=("animal",))
    )
    content.when(Object.describe, "ada", Words("cat", "a cat", ("animal",))).nothing()


def test_what_is_not_mentioned_stays(content: Scenario[Object]) -> None:
    content.given(fact(Object.Described, owner="ada", description="a cat", tags=("animal",)))
    content.when(Object.describe, "ada", Words(tags=())).then(
        fact(Object.Described, owner="ada", description="a cat", tags=())
    )


def test_a_name_that_is_taken_away_is_gone(content: Scenario[Object]) -> None:
    content.given(fact(Object.Named, owner="ada", name="cat"))
    content.when(Object.describe, "ada", Words(name="")).then(fact(Object.Named, owner="ada", name=""))
    assert content.state.names == {}


def test_content_is_published_once_for_each_thing_that_is_said(content: Scenario[Object]) -> None:
    cat = Publication("Cat", "a cat", "run", "recipe", "provenance")
    content.when(Object.publish, "ada", cat).then(fact(Object.Published, owner="ada", name="Cat", run_id="run"))
    content.when(Object.publish, "ada", cat).nothing()
    content.when(Object.publish, "ada", Publication("Tom", "a cat")).then(Object.Published)
    content.when(Object.publish, "bob", cat).then(Object.Published)
    assert {owner: each.name for owner, each in content.state.published.items()} == {"ada": "Tom", "bob": "Cat"}
