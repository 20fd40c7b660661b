"""What a problem (RFC 9457) is called on a page, what people can do about it, and where else they may want to go."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TITLES = {
    "unauthenticated": "Sign in first",
    "token-revoked": "You were signed out",
    "token-expired": "You were signed in for long enough",
    "not-found": "There is nothing here",
    "not-yours": "This is somebody else's",
    "method-not-allowed": "That cannot be done here",
}
"""Of problems by their code; all others by their status, or as the API calls them."""

STATUS_TITLES = {
    429: "Too much at once",
    500: "Something is broken here",
    503: "Not now",
    507: "There is no room left",
}
WORDS = {
    401: "This is for people who are signed in.",
    403: "You may not do this, or not from here.",
    404: "It was deleted, it was never here, or it is not for you to see.",
    409: "As things stand, this cannot be done. Nothing was changed.",
    429: "The server takes only so many requests in a while. Nothing was changed.",
    500: "This is a defect of the server, not yours. Whoever runs it finds more in its log.",
    503: "A part of the server does not answer at the moment. Nothing is lost.",
    507: "Delete something that you do not need any more, and try again.",
}
SPECIFIC = {
    "token-revoked": "Your sign-in was ended, here or at your registry. Sign in again to go on.",
    "token-expired": "Sign in again to go on.",
}
"""Instead of those of the status."""

PLACES: dict[str, tuple[str, str]] = {
    "run": ("/runs", "All runs"),
    "runs": ("/runs", "All runs"),
    "recipe": ("/recipes", "All recipes"),
    "recipes": ("/recipes", "All recipes"),
    "configs": ("/recipes", "All recipes"),
    "effects": ("/effects", "All effects"),
    "effect": ("/effects", "All effects"),
    "media": ("/media", "All media"),
    "cache": ("/media", "All media"),
    "ipfs": ("/media", "All media"),
    "storage": ("/storage", "Storage"),
    "auth": ("/auth", "Who is signed in"),
    "login": ("/auth", "Who is signed in"),
    "download": ("/download/client", "The command line client"),
    "client": ("/download/client", "The command line client"),
    "docs": ("/docs", "The API"),
    "api": ("/docs", "The API"),
}
"""By the first part of an address: where what people look for is listed."""

ALIKE = 0.6


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem for people.

    Attributes:
        detail: what the server says, as a sentence.
        plainly: whether that is put in words for programs.
        wait: seconds after which it is worth trying again; 0: unknown.
        near: where else they may want to go: address and words; None: nowhere.
    """

    status: int
    title: str
    words: str
    detail: str
    plainly: bool
    wait: int
    near: tuple[str, str] | None


def refusal_of(problem: Mapping[str, Any], path: str, headers: Mapping[str, str]) -> Refusal:
    """Return how a problem at an address reads on a page."""
    status, code = problem["status"], problem.get("code", "")
    detail = str(problem["detail"])
    known = {name.lower(): value for name, value in headers.items()}
    after = known.get("retry-after", "")
    return Refusal(
        status,
        TITLES.get(code) or STATUS_TITLES.get(status) or problem["title"],
        SPECIFIC.get(code) or WORDS.get(status, ""),
        f"{detail[:1].upper()}{detail[1:]}{'' if detail.endswith(('.', '?', '!')) else '.'}",
        code in ("unauthenticated", "token-revoked", "token-expired", "not-found", "internal-server-error"),
        int(after) if after.isdigit() else 0,
        nearest(path) if status == 404 else None,
    )


def nearest(path: str) -> tuple[str, str] | None:
    """Return where whoever asked for an address may have wanted to go; None: no idea."""
    first = path.strip("/").partition("/")[0].lower()
    found = difflib.get_close_matches(first[:40], PLACES, n=1, cutoff=ALIKE)
    place = PLACES[found[0]] if found else None
    return None if place is None or place[0] == path.rstrip("/") else place
