"""``artdag login``, ``logout``: signed in at a server, by a code that one confirms in any browser (RFC 8628)."""

from __future__ import annotations

import json
import os
import platform
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from artdag_cli import logins
from artdag_cli.client import RequestFailedError, problem_of
from artdag_cli.exits import AWAY, SIGN_IN
from artdag_cli.messages import console, errors
from artdag_cli.options import Json, State, state_folder
from artdag_cli.state import running
from artdag_common.errors import ArtdagError, ConfigurationError

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_SECONDS = 5
"""By how much the time between two questions grows when the server asks for it."""
LONGEST_SECONDS = 1800
TIMES = httpx.Timeout(30)
PENDING = ("authorization_pending", "slow_down")
PLAIN = ("localhost", "127.0.0.1", "::1")


Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        envvar="ARTDAG_SERVER",
        help="The server's address.  [default: the system on the state folder]",
        show_default=False,
    ),
]


class LoginRefusedError(ArtdagError):
    """The sign-in was refused or not confirmed in time. Begin again with ``artdag login``."""

    exit_code = SIGN_IN


def login(
    url: Url = "",
    browser: Annotated[bool, typer.Option(help="Open a browser, if there is one.")] = True,
    state: State = None,
    json_output: Json = False,
) -> None:
    """Sign in at a server: confirm a code in a browser, on this machine or any other. The token is kept for later.

    Other commands use it with --server URL, or with ARTDAG_SERVER in the environment.
    """
    folder = state_folder(state)
    server = _server(url, folder)
    with httpx.Client(base_url=server, timeout=TIMES) as http:
        token = granted(http, server, browser, json_output)
        who = _answer(http, "GET", "/auth", headers={"Authorization": f"Bearer {token}"})
    logins.keep(folder, server, token)
    if json_output:
        print(json.dumps({"server": server, "user": who["user"], "handle": who["handle"]}))
    else:
        console.print(f"signed in at {server} as {who['handle']}", highlight=False, markup=False, soft_wrap=True)


def logout(url: Url = "", state: State = None, json_output: Json = False) -> None:
    """Sign out at a server: the token counts no more, and is not kept any longer.

    Where the server does not answer, the token is kept: say it again later.
    """
    folder = state_folder(state)
    server = _server(url, folder)
    token = logins.token_for(folder, server)
    refused: RequestFailedError | None = None
    try:
        with httpx.Client(base_url=server, timeout=TIMES) as http:
            _answer(http, "POST", "/logout", headers={"Authorization": f"Bearer {token}"})
    except RequestFailedError as error:
        if error.exit_code == AWAY:
            raise
        refused = error
    logins.forget(folder, server)
    if refused and refused.exit_code != SIGN_IN:  # else it counted no more already
        raise refused
    if json_output:
        print(json.dumps({"server": server, "signed_in": False}))
    else:
        console.print(f"signed out at {server}", highlight=False, markup=False, soft_wrap=True)


def granted(
    http: httpx.Client,
    server: str,
    browser: bool = False,
    quiet: bool = False,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Return the token that the server gives once a person has confirmed the code that this shows.

    Raises:
        LoginRefusedError: the person said no, or nothing in time.
        RequestFailedError: the server does not answer as it should.
    """
    began = clock()
    codes = _answer(http, "POST", "/auth/device", json={"client_id": f"artdag on {platform.node() or 'a machine'}"})
    try:
        link, code = str(codes["verification_uri_complete"]), str(codes["user_code"])
        interval, lasts = float(codes["interval"]), float(codes["expires_in"])
        question = {"grant_type": GRANT_TYPE, "device_code": str(codes["device_code"])}
    except (KeyError, TypeError, ValueError) as error:
        raise RequestFailedError(f"{server} does not answer as an Art DAG server does") from error
    _show(link, code, browser, quiet)
    while clock() - began < min(lasts, LONGEST_SECONDS):
        wait(interval)
        try:
            answer = http.post("/auth/device/token", data=question)
        except httpx.TransportError:  # it may be back before the code is over
            continue
        said = _json(answer)
        if answer.status_code == 200 and isinstance(said.get("access_token"), str):
            return str(said["access_token"])
        if said.get("error") == "slow_down" or answer.status_code == 429:
            interval += SLOWER_SECONDS
        elif said.get("error") not in PENDING and answer.status_code < 500:
            reason = said.get("error_description") or problem_of(answer)
            raise LoginRefusedError(f"{server} does not sign you in: {reason}")
    raise LoginRefusedError(f"nobody confirmed the code {code} in time; begin again")


def _show(link: str, code: str, browser: bool, quiet: bool) -> None:
    """Tell where to confirm, and open a browser there if one can be seen."""
    if quiet:
        said = json.dumps({"verification_uri_complete": link, "user_code": code})
        errors.print(said, highlight=False, markup=False, soft_wrap=True)
    else:
        for line in ("confirm in a browser, on this machine or any other:", f"  {link}", f"  code: {code}"):
            errors.print(line, highlight=False, markup=False, soft_wrap=True)
    seen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or platform.system() == "Darwin"
    if browser and not quiet and seen and link.startswith(("http://", "https://")):
        webbrowser.open(link)


def _server(url: str, state: Path) -> str:
    if url:
        server = logins.server_url(url)
        host = httpx.URL(server).host
        if server.startswith("http:") and host not in PLAIN:
            console.print(f"{server} is not encrypted: whoever is on the way sees the token", highlight=False)
        return server
    facts = running(state)
    if not facts:
        raise ConfigurationError(f"no system runs on {state}; say where to: artdag login URL")
    return str(facts["local_url"])


def _answer(http: httpx.Client, method: str, path: str, **arguments: Any) -> dict[str, Any]:
    try:
        response = http.request(method, path, **arguments)
    except httpx.HTTPError as error:
        raise RequestFailedError(f"{http.base_url}: {str(error) or type(error).__name__}") from error
    if response.has_redirect_location:
        there = response.headers["Location"]
        raise RequestFailedError(f"{http.base_url} sends on to {there}; give the address that it is reached by at once")
    if not response.is_success:
        raise RequestFailedError(problem_of(response), status=response.status_code)
    return _json(response)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
