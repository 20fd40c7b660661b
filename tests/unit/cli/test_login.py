"""``artdag login``: the code is shown, the token is kept for its server and for nobody else's eyes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from artdag_cli import logins
from artdag_cli.client import Client, RequestFailedError
from artdag_cli.login import LoginRefusedError, granted
from artdag_common.errors import ConfigurationError

URL = "https://l1.example"
CODES = {
    "device_code": "secret",
    "user_code": "WDJB-MJHT",
    "verification_uri": f"{URL}/auth/device",
    "verification_uri_complete": f"{URL}/auth/device?user_code=WDJB-MJHT",
    "expires_in": 600,
    "interval": 5,
}

Answer = httpx.Response | Exception


class Server:
    """Answers polls one by one; waiting makes the time go on."""

    def __init__(self, *polls: Answer) -> None:
        self.polls = list(polls)
        self.waited: list[float] = []
        self.now = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/device":
            assert json.loads(request.content)["client_id"].startswith("artdag on ")
            return httpx.Response(200, json=CODES)
        assert request.url.path == "/auth/device/token"
        assert parse_qs(request.content.decode())["device_code"] == ["secret"]
        answer = self.polls.pop(0) if self.polls else pending()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def sign_in(self) -> str:
        with httpx.Client(base_url=URL, transport=httpx.MockTransport(self)) as http:
            return granted(http, URL, wait=self.wait, clock=lambda: self.now)


def pending(error: str = "authorization_pending", status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"error": error, "error_description": f"it says {error}"})


def test_it_asks_until_the_person_has_said_yes() -> None:
    server = Server(pending(), httpx.ConnectError("gone"), httpx.Response(503), pending("slow_down"), pending())
    server.polls.append(httpx.Response(200, json={"access_token": "adt_x", "token_type": "Bearer"}))
    assert server.sign_in() == "adt_x"
    assert server.waited == [5, 5, 5, 5, 10, 10]


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant", "anything"])
def test_a_refusal_ends_it(error: str) -> None:
    server = Server(pending(), pending(error))
    with pytest.raises(LoginRefusedError, match=f"it says {error}"):
        server.sign_in()
    assert len(server.waited) == 2


def test_it_gives_up_when_the_code_is_over() -> None:
    server = Server()
    with pytest.raises(LoginRefusedError, match="WDJB-MJHT in time"):
        server.sign_in()
    assert sum(server.waited) == 600


@pytest.mark.parametrize(
    "answer",
    [lambda r: httpx.Response(200, text="<html>"), lambda r: httpx.Response(404, json={"detail": "nothing at /auth"})],
)
def test_what_is_no_art_dag_server_is_named(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    with (
        httpx.Client(base_url=URL, transport=httpx.MockTransport(answer)) as http,
        pytest.raises(RequestFailedError, match=r"does not answer as an Art DAG server does|nothing at"),
    ):
        granted(http, URL)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://L1.Example/", "https://l1.example"),
        ("l1.example", "https://l1.example"),
        ("https://l1.example:443", "https://l1.example"),
        ("http://127.0.0.1:8100", "http://127.0.0.1:8100"),
        ("http://[::1]:8100", "http://[::1]:8100"),
    ],
)
def test_a_server_has_one_name(text: str, url: str) -> None:
    assert logins.server_url(text) == url


@pytest.mark.parametrize(
    "text", ["ftp://l1.example", "https://u:p@l1.example", "https://l1.example/x", "https://", "a:b"]
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        logins.server_url(text)


def test_tokens_are_kept_by_server_for_the_owner_only(tmp_path: Path) -> None:
    logins.keep(tmp_path, URL, "one")
    logins.keep(tmp_path, "http://l1.example", "other")
    logins.keep(tmp_path, URL, "two")
    assert logins.token_for(tmp_path, URL) == "two"
    assert [f.stat().st_mode & 0o777 for f in (tmp_path / "logins").iterdir()] == [0o600, 0o600]
    assert (tmp_path / "logins").stat().st_mode & 0o777 == 0o700
    with Client.of(tmp_path, "L1.example") as client:
        assert client.url == URL
    logins.forget(tmp_path, URL)
    with pytest.raises(logins.NotSignedInError, match=r"artdag login https://l1\.example"):
        Client.of(tmp_path, URL)
    assert logins.token_for(tmp_path, "http://l1.example") == "other"
