"""Where somebody who is signed in by a link comes from, and where they may go on to."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from artdag_common.federation.l2 import origin_of

PATH_CHARACTERS = 2000


def local_path(text: str) -> str:
    """Return a path of this server, with its query, that a browser goes nowhere else by; empty: it is none.

    Browsers take a backslash for a slash, two slashes for a host, and leave out tabs and line breaks.
    """
    if not text.startswith("/") or text.startswith("//") or len(text) > PATH_CHARACTERS:
        return ""
    if "\\" in text or not text.isprintable() or not text.isascii() or " " in text:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return "" if parts.scheme or parts.netloc else text


def comes_from(headers: Headers, origin: str, typed: bool = False) -> bool:
    """Return whether a link is followed from a page of ``origin``, as far as the browser says.

    A program that says nothing of the kind followed no foreign page's link. Whoever is sent here by another page, or by
    a link that somebody else gave them, is asked first: else they would work, unawares, in that somebody's name.

    Args:
        typed: a link that was typed or opened from outside any page is good too.
    """
    site, referer = headers.get("sec-fetch-site", "").lower(), headers.get("referer", "")
    if referer:
        return bool(origin) and origin_of(referer) == origin_of(origin)
    return not site or (typed and site == "none")
