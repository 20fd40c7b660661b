"""What this server says of itself and of what is published, and who wants to hear it in that form."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.federation.documents import (
    ACTIVITY_JSON,
    ACTIVITY_STREAMS,
    LD_JSON,
    Documents,
    Published,
    Unpublished,
    encode,
    in_context,
    object_type,
    prefers_activity,
    time,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PROFILE = f'{LD_JSON}; profile="{ACTIVITY_STREAMS}"'
DOCUMENTS = Documents("https://l1.example:8443/")


def test_every_address_is_of_this_server() -> None:
    created = DOCUMENTS.create(Published("1", "bafy", "video/mp4", "Cat", "", NOW))
    assert created["id"] == "https://l1.example:8443/activities/1"
    assert created["object"]["id"] == "https://l1.example:8443/objects/1"
    assert created["object"]["attributedTo"] == DOCUMENTS.actor_id == "https://l1.example:8443/actor"
    assert DOCUMENTS.webfinger()["subject"] == "acct:artdag@l1.example:8443"


def test_a_delete_takes_back_what_a_create_made() -> None:
    created = DOCUMENTS.create(Published("1", "bafy", "image/png", "Cat", "", NOW))
    deleted = DOCUMENTS.delete(Unpublished("2", "1", "image/png", NOW))
    assert (deleted["id"], deleted["object"]["id"]) != (created["id"], "")
    assert deleted["object"]["id"] == created["object"]["id"]
    assert deleted["object"]["formerType"] == created["object"]["type"] == "Image"


def test_without_a_key_nothing_is_claimed() -> None:
    assert "publicKey" not in DOCUMENTS.actor("")
    assert DOCUMENTS.actor("PEM")["publicKey"]["publicKeyPem"] == "PEM"


def test_what_no_run_made_has_no_provenance() -> None:
    assert "provenance" not in DOCUMENTS.object(Published("1", "bafy", "text/plain", "Cat", "", NOW))


@given(st.text(), st.text())
def test_no_words_of_a_person_become_markup(name: str, description: str) -> None:
    what = DOCUMENTS.object(Published("1", "bafy", "video/mp4", name, description, NOW))
    assert what["name"] == name
    bare = what["content"].replace("<br>", "\n")
    assert not set(bare) & {"<", ">", '"'}
    assert html.unescape(bare) == html.unescape(html.escape(description))


def test_the_same_is_written_the_same() -> None:
    """A repeat of an activity is known by its id, and is to say the very same."""
    what = Published("1", "bafy", "video/mp4", "Cat", "", NOW, "https://l2.example/users/giles")
    assert encode(in_context(DOCUMENTS.create(what))) == encode(in_context(DOCUMENTS.create(what)))
    assert json.loads(encode(in_context(DOCUMENTS.create(what))))["@context"][0] == ACTIVITY_STREAMS


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("video/mp4", "Video"),
        ("audio/flac", "Audio"),
        ("image/png", "Image"),
        ("text/plain", "Document"),
        ("", "Document"),
    ],
)
def test_the_kind_of_object_follows_from_the_media_type(media_type: str, expected: str) -> None:
    assert object_type(media_type) == expected


def test_times_are_in_utc_and_whole_seconds() -> None:
    assert time(NOW.astimezone(timezone(timedelta(hours=5)))) == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (ACTIVITY_JSON, ACTIVITY_JSON),
        (ACTIVITY_JSON.upper(), ACTIVITY_JSON),
        (f"{ACTIVITY_JSON}, {PROFILE}", ACTIVITY_JSON),
        (PROFILE, PROFILE),
        (f'{LD_JSON};profile="https://other {ACTIVITY_STREAMS}"', PROFILE),
        (f"text/html;q=0.5, {ACTIVITY_JSON};q=0.6", ACTIVITY_JSON),
        (f"{ACTIVITY_JSON};q=0.6, text/html;q=0.7", ""),
        (f"text/html, {ACTIVITY_JSON}", ""),
        (f"{ACTIVITY_JSON};q=0", ""),
        (f"{ACTIVITY_JSON};q=nonsense", ""),
        (LD_JSON, ""),
        (f'{LD_JSON}; profile="https://other"', ""),
        ("application/json", ""),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ""),
        ("*/*", ""),
        ("", ""),
    ],
)
def test_who_wants_activitypub(accept: str, expected: str) -> None:
    assert prefers_activity(accept) == expected


@given(st.text(max_size=200))
def test_no_header_breaks_anything(accept: str) -> None:
    assert prefers_activity(accept) in ("", ACTIVITY_JSON, PROFILE)
