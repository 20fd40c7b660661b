"""The REST API as commands use it: :mod:`artdag_client`, with tokens from the state folder and errors of ours."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx

import artdag_client
from artdag_cli import exits, logins
from artdag_cli.state import owner_token, running
from artdag_client import ClientError, FileInTheWayError, Patience, RefusedError, RunFailedError, WrongContentError
from artdag_client import Event as ServerEvent
from artdag_client.asking import Progress, nothing
from artdag_client.errors import refusal
from artdag_client.events import ENDINGS as TERMINAL
from artdag_common.errors import ArtdagError

__all__ = ["TERMINAL", "Client", "NotRunningError", "RequestFailedError", "ServerEvent", "failed", "problem_of"]

LOSSES_AT_MOST = 20
"""Connections in a row that brought no event."""
RECONNECT_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""How long a request that was not answered is sent again."""

UNAUTHENTICATED = 401
SIGN_IN_AGAIN = "sign in again: artdag login URL"


OF_ITS_OWN = (FileInTheWayError, RunFailedError, WrongContentError)
"""Errors that have exit codes of their own."""


class NotRunningError(ArtdagError):
    """No system runs on this state folder. Start one with ``artdag up``."""

    exit_code = exits.AWAY


class RequestFailedError(ArtdagError):
    """The server refused a request; the message is its own.

    ``status``: of HTTP; not there: it did not answer. ``hint``: what to do.
    """

    @property
    def exit_code(self) -> int:
        """Whether it refused, wants to know who asks, or did not answer."""
        status = self.values.get("status")
        if status is None:
            return exits.AWAY
        return exits.SIGN_IN if status == UNAUTHENTICATED else exits.REFUSED


class Client(artdag_client.Client):
    """A connection to one gateway. Its own methods, not those of ``runs``, ``content`` …, raise errors of ours."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token, patience=Patience(PATIENCE_SECONDS, RECONNECT_SECONDS, LOSSES_AT_MOST))

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
        if facts == {}:
            raise NotRunningError(f"the system on {state} is just starting or stopping; try again")
        if not facts:
            raise NotRunningError(f"no system runs on {state}; start one with `artdag up`")
        return cls(facts["local_url"], owner_token(state))

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON answer to a request, as :meth:`ask`; that of a write which is kept for later as it is.

        Args:
            arguments: as httpx takes them; ``files`` have to be open at their beginning.

        Raises:
            RequestFailedError: the server refused, with its own words, or does not answer.
        """
        with _ours():
            return self.ask(method, path, settle=False, **arguments)

    def upload(self, path: str | Path, name: str = "", progress: Progress = nothing) -> str:
        """Upload a file and return its CID."""
        with _ours():
            return super().upload(path, name, progress)

    def upload_recipe(self, path: Path) -> str:
        """Upload a recipe and return its id."""
        with _ours():
            return self.recipes.upload(path)["recipe_id"]

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run as the read model has it."""
        with _ours():
            return {**self.runs.get(run_id)}

    def download(self, cid: str, target: str | Path, progress: Progress = nothing, *, replace: bool = True) -> Path:
        """Write content to a file."""
        with _ours():
            return super().download(cid, target, progress, replace=replace)

    def save(self, path: str, file: IO[bytes], progress: Progress = nothing) -> None:
        """Write the answer to a GET request to a file; ``progress`` is told bytes done and in all (0: unknown).

        Raises:
            RequestFailedError: the server refused, with its own words, or broke off.
        """
        with _ours():
            self._connection.save(path, file, progress)

    def text(self, path: str, media_type: str, params: dict[str, Any]) -> str:
        """Return the answer to a GET request as text.

        Raises:
            RequestFailedError: the server refused, with its own words.
        """
        with _ours():
            return self._connection.send("GET", path, params=params, headers={"Accept": media_type}).text

    def stream(self, path: str, params: dict[str, Any]) -> Generator[ServerEvent]:
        """Yield server-sent events that are not stored, until the server ends them or they break off.

        Raises:
            RequestFailedError: the server refused, with its own words.
        """
        with _ours():
            yield from self._connection.listen(path, **params)

    def events(self, run_id: str) -> Generator[ServerEvent]:
        """Yield a run's events until it is over; goes on where it was after a lost connection."""
        with _ours():
            yield from self.runs.follow(run_id)


@contextmanager
def _ours() -> Iterator[None]:
    """Have what the server refuses, and that it does not answer, be errors of ours."""
    try:
        yield
    except OF_ITS_OWN:
        raise
    except ClientError as error:
        raise failed(error) from error


def failed(error: ClientError) -> RequestFailedError:
    """Return an error of the client as one of ours."""
    if isinstance(error, RefusedError):
        # Problems that are listed say more than what is said of all refusals of the kind.
        hint = SIGN_IN_AGAIN if error.status == UNAUTHENTICATED else "" if error.problems else error.hint
        return RequestFailedError(error.message, status=error.status, hint=hint)
    return RequestFailedError(error.message)


def problem_of(response: httpx.Response) -> str:
    """Return a refusal in the server's own words."""
    return refusal(response.status_code, response.headers, response.content).message
