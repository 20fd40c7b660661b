"""Where somebody comes from who is signed in by a link, and where they may go on to."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from services.gateway.arriving import comes_from, local_path

L2 = "https://l2.example"


@pytest.mark.parametrize("path", ["/", "/runs?limit=5&q=a%20b", "/run/x#plan", "/auth/device?user_code=WDJB-MJHT"])
def test_a_path_of_this_server_stays(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "runs",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/ /evil.example",
        "https://evil.example/",
        "https:/evil.example",
        "javascript:alert(1)",
        " //evil.example",
        "/\u2028/evil.example",
        "/" + "a" * 2000,
        "/a\r\nSet-Cookie: artdag_token=x",
    ],
)
def test_what_leads_elsewhere_is_no_path(path: str) -> None:
    assert local_path(path) == ""


@given(st.text(alphabet="/\\.:@?#%\t\n evil", max_size=20))
def test_nothing_leads_to_another_host(path: str) -> None:
    found = local_path(path)
    assert found in ("", path)
    # What a browser makes of it: no tab, no line break, and a backslash is a slash.
    seen = found.strip().replace("\t", "").replace("\n", "").replace("\\", "/")
    assert urlsplit(urljoin("https://l1.example/auth", seen)).netloc == "l1.example"


@pytest.mark.parametrize(
    ("headers", "link", "typed"),
    [
        ({}, True, True),  # a program
        ({"referer": "https://l2.example/"}, True, False),
        ({"referer": "https://L2.example/renderers", "sec-fetch-site": "same-site"}, True, False),
        ({"referer": "https://l2.example", "sec-fetch-site": "cross-site"}, True, False),
        ({"referer": "https://l2.example:443/a", "sec-fetch-site": "cross-site"}, True, False),
        ({"sec-fetch-site": "cross-site"}, False, False),  # a page that does not say which it is
        ({"sec-fetch-site": "same-site"}, False, False),
        ({"sec-fetch-site": "same-origin"}, False, False),
        ({"sec-fetch-site": "none"}, False, True),  # typed, or from another program
        ({"referer": "https://evil.example/"}, False, False),
        ({"referer": "https://l2.example.evil.example/", "sec-fetch-site": "cross-site"}, False, False),
        ({"referer": "http://l2.example/", "sec-fetch-site": "cross-site"}, False, False),
        ({"referer": "https://evil.example/https://l2.example/"}, False, False),
        ({"referer": "about:blank"}, False, False),
        ({"referer": "https://["}, False, False),
    ],
)
def test_who_is_asked_first(headers: dict[str, str], link: bool, typed: bool) -> None:
    assert comes_from(Headers(headers), L2) is link
    assert comes_from(Headers(headers), "", typed=True) is typed
