"""The REST API as a program uses it."""

from __future__ import annotations

import json
import mimetypes
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from artdag_cli import logins
from artdag_cli.system import owner_token, running
from artdag_common.errors import ArtdagError

TERMINAL = frozenset({"RunCompleted", "RunFailed", "RunCancelled", "RunDeleted"})
NO_MORE = 204
LOSSES_AT_MOST = 20
"""Connections in a row that brought no event."""
RECONNECT_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""How long a request that was not answered is sent again."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})


class NotRunningError(ArtdagError):
    """No system runs on this state folder. Start one with ``artdag up``."""


class RequestFailedError(ArtdagError):
    """The server refused a request; the message is its own."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A server-sent event. ``position`` is 0 for progress, which is not stored."""

    position: int
    type: str
    data: dict[str, Any]


class Client:
    """A connection to one gateway."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(60, read=600),
            transport=httpx.HTTPTransport(retries=3),
        )

    @classmethod
    def of(cls, state: Path, server: str) -> Client:
        """Connect to a server that ``artdag login`` signed in at; empty: to the system that runs on the state folder.

        Raises:
            NotSignedInError: no token for the server is kept in the state folder.
            NotRunningError: no system runs on it.
        """
        if not server:
            return cls.of_state(state)
        url = logins.server_url(server)
        return cls(url, logins.token_for(state, url))

    @classmethod
    def of_state(cls, state: Path) -> Client:
        """Connect to the system that runs on a state folder.

        Raises:
            NotRunningError: none does.
        """
        facts = running(state)
        if not facts:
            raise NotRunningError(f"no system runs on {state}; start one with `artdag up`")
        return cls(facts["local_url"], owner_token(state))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON answer to a request.

        It is sent again for some seconds where the connection breaks, or the server cannot answer now. A write has a
        key, by which the server knows it again: whatever was lost, it is done once.

        Args:
            arguments: as httpx takes them; ``files`` have to be open at their beginning.

        Raises:
            RequestFailedError: the server refused, with its own words, or does not answer.
        """
        if method not in READING:
            arguments["headers"] = {"Idempotency-Key": str(uuid4()), **arguments.get("headers", {})}
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self._http.request(method, path, **arguments)
                wait = _later(response)
            except httpx.TransportError as error:
                wait = RECONNECT_SECONDS
                if time.monotonic() + wait > until:
                    raise RequestFailedError(f"{method} {path}: {error or type(error).__name__}") from error
            except httpx.HTTPError as error:
                raise RequestFailedError(f"{method} {path}: {error or type(error).__name__}") from error
            else:
                if wait is None or time.monotonic() + wait > until:
                    break
            time.sleep(wait)
            for file in arguments.get("files", {}).values():
                file[1].seek(0)
        if response.is_error:
            raise RequestFailedError(problem_of(response), status=response.status_code)
        return response.json() if response.content else None

    def upload(self, path: Path, name: str = "") -> str:
        """Upload a file and return its CID."""
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with path.open("rb") as file:
            answer = self.call(
                "POST", "/cache/upload", data={"name": name or path.stem}, files={"file": (path.name, file, kind)}
            )
        return str(answer["cid"])

    def upload_recipe(self, path: Path) -> str:
        """Upload a recipe and return its id."""
        answer = self.call(
            "POST", "/recipes/upload", content=path.read_bytes(), headers={"Content-Type": "application/yaml"}
        )
        return str(answer["recipe_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run as the read model has it."""
        answer: dict[str, Any] = self.call("GET", f"/api/run/{quote(run_id)}")
        return answer

    def download(self, cid: str, target: Path) -> None:
        """Write content to a file."""
        self.save(f"/cache/{quote(cid)}/raw", target)

    def save(self, path: str, target: Path, progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Write the answer to a GET request to a file; ``progress`` is told bytes done and in all (0: unknown).

        Raises:
            RequestFailedError: the server refused, with its own words, or broke off.
        """
        try:
            with self._http.stream("GET", path) as response, target.open("wb") as file:
                if response.is_error:
                    response.read()
                    raise RequestFailedError(problem_of(response), status=response.status_code)
                total = int(response.headers.get("content-length") or 0)
                for chunk in response.iter_bytes():
                    file.write(chunk)
                    progress(response.num_bytes_downloaded, total)
        except httpx.HTTPError as error:
            raise RequestFailedError(f"GET {path}: {error or type(error).__name__}") from error

    def text(self, path: str, media_type: str, params: dict[str, Any]) -> str:
        """Return the answer to a GET request as text.

        Raises:
            RequestFailedError: the server refused, with its own words.
        """
        try:
            response = self._http.get(path, params=params, headers={"Accept": media_type})
        except httpx.HTTPError as error:
            raise RequestFailedError(f"GET {path}: {error or type(error).__name__}") from error
        if response.is_error:
            raise RequestFailedError(problem_of(response), status=response.status_code)
        return response.text

    def stream(self, path: str, params: dict[str, Any]) -> Generator[ServerEvent]:
        """Yield server-sent events that are not stored, until the server ends them or they break off.

        Raises:
            RequestFailedError: the server refused, with its own words.
        """
        headers = {"Accept": "text/event-stream"}
        try:
            with self._http.stream("GET", path, params=params, headers=headers) as response:
                if response.is_error:
                    response.read()
                    raise RequestFailedError(problem_of(response), status=response.status_code)
                yield from _server_events(response.iter_lines())
        except httpx.TransportError as error:
            raise RequestFailedError(f"GET {path}: {error or type(error).__name__}") from error

    def events(self, run_id: str) -> Generator[ServerEvent]:
        """Yield a run's events until it is over; goes on where it was after a lost connection."""
        position, losses = 0, 0
        while True:
            headers = {"Last-Event-ID": str(position)} if position else {}
            try:
                with self._http.stream("GET", f"/runs/{quote(run_id)}/events", headers=headers) as response:
                    if response.status_code == NO_MORE:
                        return
                    if response.is_error:
                        response.read()
                        raise RequestFailedError(problem_of(response), status=response.status_code)
                    for event in _server_events(response.iter_lines()):
                        losses = 0
                        position = event.position or position
                        over = event.type in TERMINAL
                        yield event
                        if over:
                            return
                lost = "the server ends it"
            except httpx.TransportError as error:
                lost = str(error) or type(error).__name__
            losses += 1
            if losses > LOSSES_AT_MOST:
                raise RequestFailedError(f"the events of run {run_id} cannot be followed: {lost}")
            if losses > 1:
                time.sleep(RECONNECT_SECONDS)


def _later(response: httpx.Response) -> float | None:
    """Return after how many seconds a request is worth sending again as it is; None: its answer is the last word."""
    after = response.headers.get("Retry-After", "")
    if response.status_code not in (409, 503) or not after.isdigit():
        return None
    return float(after)


def _server_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Read server-sent events as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
            continue
        if "data" in fields:
            yield ServerEvent(int(fields.get("id") or 0), fields.get("event", "message"), json.loads(fields["data"]))
        fields = {}


def problem_of(response: httpx.Response) -> str:
    """Return a refusal in the server's own words."""
    try:
        body = response.json()
    except ValueError:
        return f"{response.status_code}: {response.text[:500]}"
    lines = [str(body.get("detail") or body.get("title") or body)]
    for problem in body.get("problems") or []:
        if isinstance(problem, dict):
            place = f"line {problem['line']}, {problem.get('field')}: " if problem.get("line") else ""
            lines.append(f"  {place}{problem.get('problem') or problem}")
        else:
            lines.append(f"  {problem}")
    return "\n".join(lines)
