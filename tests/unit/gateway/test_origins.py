"""Which pages may ask, as browsers tell it."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from artdag_common.errors import ForeignOriginError
from services.gateway.origins import check_page


def fetched(method: str, site: str, mode: str, dest: str) -> None:
    """Ask as a browser does."""
    check_page(method, Headers({"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}))


@pytest.mark.parametrize(
    ("method", "site", "mode", "dest"),
    [
        ("GET", "same-origin", "cors", "empty"),
        ("POST", "same-origin", "cors", "empty"),
        ("GET", "none", "navigate", "document"),
        ("GET", "cross-site", "navigate", "document"),
        ("HEAD", "same-site", "navigate", "document"),
    ],
)
def test_our_own_pages_and_links(method: str, site: str, mode: str, dest: str) -> None:
    fetched(method, site, mode, dest)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
@pytest.mark.parametrize(
    ("method", "mode", "dest"),
    [
        ("GET", "no-cors", "image"),
        ("GET", "no-cors", "script"),
        ("GET", "cors", "empty"),
        ("GET", "cors", "event-stream"),
        ("GET", "navigate", "iframe"),
        ("GET", "navigate", "object"),
        ("POST", "navigate", "document"),
        ("DELETE", "cors", "empty"),
    ],
)
def test_pages_of_others(site: str, method: str, mode: str, dest: str) -> None:
    with pytest.raises(ForeignOriginError):
        fetched(method, site, mode, dest)


def test_no_preflight_succeeds_and_who_is_no_browser_says_nothing() -> None:
    with pytest.raises(ForeignOriginError):
        check_page("OPTIONS", Headers({"access-control-request-method": "PATCH"}))
    check_page("OPTIONS", Headers())
    check_page("POST", Headers())
