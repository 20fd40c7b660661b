"""Problems as people read them, and where those may have wanted to go."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from starlette.requests import Request

from services.gateway.web.pages import here
from services.gateway.web.refusals import PLACES, nearest, refusal_of


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/rnus", "/runs"),
        ("/run/0000", "/runs"),
        ("/RECIPE/x", "/recipes"),
        ("/recpies/", "/recipes"),
        ("/cache/bafy", "/media"),
        ("/medias", "/media"),
        ("/storag/type/s3", "/storage"),
        ("/download", "/download/client"),
        ("/login/x", "/auth"),
    ],
)
def test_the_nearest_right_thing_is_found(path: str, there: str) -> None:
    found = nearest(path)
    assert found
    assert found[0] == there


@pytest.mark.parametrize("path", ["/", "/wp-admin.php", "/" + "x" * 5000, "/runs", "/runs/"])
def test_nothing_is_near_what_is_like_nothing_or_the_thing_itself(path: str) -> None:
    assert nearest(path) is None


def test_every_place_has_words() -> None:
    assert all(there.startswith("/") and words for there, words in PLACES.values())


def problem(status: int, code: str, detail: str = "no such thing") -> dict[str, object]:
    return {"status": status, "code": code, "title": code.replace("-", " ").capitalize(), "detail": detail}


def test_words_of_programs_are_kept_from_people_who_are_not_signed_in() -> None:
    told = refusal_of(problem(401, "unauthenticated", "send Authorization: Bearer <token>"), "/storage", {})
    assert told.title == "Sign in first"
    assert told.plainly
    assert "Bearer" not in told.words


def test_what_the_server_says_of_a_thing_becomes_a_sentence() -> None:
    told = refusal_of(problem(409, "run-active", "run 7 is still running"), "/runs/7", {})
    assert (told.title, told.detail, told.plainly) == ("Run active", "Run 7 is still running.", False)
    assert refusal_of(problem(409, "run-active", "why?"), "/runs/7", {}).detail == "Why?"


@pytest.mark.parametrize(("said", "wait"), [("7", 7), ("", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)])
def test_when_to_try_again_is_taken_from_the_header(said: str, wait: int) -> None:
    assert refusal_of(problem(503, "service-unavailable"), "/", {"Retry-After": said}).wait == wait


def test_only_what_is_missing_has_something_near_it() -> None:
    assert refusal_of(problem(404, "run-not-found"), "/run/7", {}).near
    assert refusal_of(problem(409, "run-active"), "/run/7", {}).near is None


@pytest.mark.parametrize("status", [each.value for each in HTTPStatus if each.value >= 400])
def test_every_status_has_a_title(status: int) -> None:
    assert refusal_of(problem(status, "some-code"), "/", {}).title


@pytest.mark.parametrize(
    ("path", "query", "there"),
    [
        ("/runs", b"status=failed&owner=me", "/runs?status=failed&owner=me"),
        ("//evil.example/x", b"", "/"),
        ("/\\evil.example", b"", "/%5Cevil.example"),
        ("/a b", b"x=%22", "/a%20b?x=%22"),
        ("/runs", b"\tx", "/"),
    ],
)
def test_the_way_back_leads_nowhere_else(path: str, query: bytes, there: str) -> None:
    scope = {"type": "http", "path": path, "query_string": query, "headers": [(b"host", b"l1.example")]}
    assert here(Request({**scope, "server": ("l1.example", 80), "scheme": "http"})) == there
