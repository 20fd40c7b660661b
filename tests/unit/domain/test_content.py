"""Content, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.content import Object, Publication, Words
from artdag_common.errors import NotPublishedError
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


CAT = Publication("Cat", "a cat", "run", "recipe", "provenance")
TOM = Publication("Tom", "a cat")


def test_content_is_published_once_for_each_thing_that_is_said(content: Scenario[Object]) -> None:
    content.when(Object.publish, "ada", CAT, ("1", "2"), True).then(
        fact(Object.Published, owner="ada", name="Cat", run_id="run", activity_id="1", deliver=True)
    )
    content.when(Object.publish, "ada", CAT, ("3", "4"), True).nothing()
    content.when(Object.publish, "bob", CAT, ("5", "6"), False).then(Object.Published)
    assert {owner: each.name for owner, each in content.state.published.items()} == {"ada": "Cat", "bob": "Cat"}
    assert {key: each.state for key, each in content.state.activities.items()} == {"1": "told", "5": "local"}


def test_other_words_take_back_what_was_said(content: Scenario[Object]) -> None:
    content.when(Object.publish, "ada", CAT, ("1", "2"), True)
    content.when(Object.publish, "ada", TOM, ("3", "4"), True).then(
        fact(Object.Unpublished, object_id="1", activity_id="3", deliver=True),
        fact(Object.Published, name="Tom", activity_id="4"),
    )
    assert content.state.object_ids == {"ada": "4"}


def test_content_is_unpublished_in_one_name(content: Scenario[Object]) -> None:
    content.when(Object.publish, "ada", CAT, ("1", "2"), True)
    content.when(Object.publish, "bob", CAT, ("3", "4"), True)
    content.when(Object.unpublish, "ada", "5").then(fact(Object.Unpublished, owner="ada", object_id="1"))
    assert list(content.state.published) == ["bob"]
    content.when(Object.unpublish, "ada", "6").raises(NotPublishedError)


def test_a_registry_that_was_not_told_of_content_is_not_told_that_it_is_gone(content: Scenario[Object]) -> None:
    content.when(Object.publish, "ada", CAT, ("1", "2"), False)
    content.when(Object.unpublish, "ada", "3").then(fact(Object.Unpublished, deliver=False))


def test_what_the_registry_decides_is_noted_once(content: Scenario[Object]) -> None:
    content.when(Object.publish, "ada", CAT, ("1", "2"), True)
    content.when(Object.settle, "1", True, "", 3).then(fact(Object.Delivered, owner="ada", url="", attempts=3))
    content.when(Object.settle, "1", True, "", 4).nothing()
    content.when(Object.settle, "1", True, "https://l2/1", 0).then(
        fact(Object.Delivered, url="https://l2/1", attempts=3)
    )
    content.when(Object.settle, "1", True, "", 0).nothing()
    content.when(Object.settle, "9", True, "", 1).nothing()


def test_a_registry_may_change_its_mind(content: Scenario[Object]) -> None:
    content.when(Object.publish, "ada", CAT, ("1", "2"), True)
    content.when(Object.settle, "1", True, "https://l2/1", 1)
    content.when(Object.settle, "1", False, "spam", 0).then(fact(Object.Refused, reason="spam", attempts=1))
    content.when(Object.settle, "1", False, "spam", 0).nothing()
    content.when(Object.settle, "1", True, "", 0).then(fact(Object.Delivered, url=""))
