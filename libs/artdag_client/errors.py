"""What can go wrong, one tree. A server's refusal (RFC 9457) is a :class:`RefusedError`, or one of its kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

SHOWN_CHARACTERS = 500


class ClientError(Exception):
    """Base of all errors of this client. ``message``: for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class AddressError(ClientError, ValueError):
    """What was given as a server's address is none. It is scheme, host and port: ``https://l1.example.org``."""


class NoAnswerError(ClientError):
    """The server cannot be reached, or broke off again and again. Whether a write was done is known by asking."""


class StillPendingError(ClientError):
    """The server keeps a write for later, and has not come to it in time. It will: look at ``links``.

    Attributes:
        command_id: ``GET /api/commands/{command_id}`` tells what became of it.
        links: ``command`` and ``resource``.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(f"the server keeps it for later: command {answer.get('command_id')}")
        self.command_id = str(answer.get("command_id", ""))
        self.links: dict[str, str] = dict(answer.get("links") or {})


class WaitedTooLongError(ClientError, TimeoutError):
    """What was waited for did not come within ``timeout``. It goes on; wait again, or stop it."""


class RunFailedError(ClientError):
    """A run ended without an output. ``run``: it, with ``error`` that says why and what to do."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        error = run.get("error") or {}
        where = f"step {error['step']}, {error['node']}: " if error.get("node") else ""
        why = f"{where}{error.get('reason') or 'no reason was given'}"
        super().__init__(f"run {run.get('run_id')} {run.get('status')}: {why}")
        self.run = run


class WrongContentError(ClientError):
    """The bytes that came do not hash to the CID that was asked for. Nothing of them was kept."""


class FileInTheWayError(ClientError, FileExistsError):
    """There is a file already where one is to be written; nothing was asked for. ``replace=True`` writes over it."""


class RefusedError(ClientError):
    """The server refuses, in its own words.

    Attributes:
        status: of HTTP.
        code: stable name of the kind of refusal, such as ``run-not-found``; empty: the server gave none.
        detail: one sentence.
        hint: when it happens and what to do; may be empty.
        problems: every rule that is broken; of a recipe, with ``line``, ``column``, ``field`` and ``problem``.
        values: all members of the problem document.
        retry_after: seconds after which it is worth asking again; None: the server does not say.
        by_proxy: it is not the server that answers, but something before it.
    """

    by_proxy = False

    def __init__(self, status: int, document: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.code = str(document.get("code") or "")
        self.detail = str(document.get("detail") or document.get("title") or dict(document))
        self.hint = str(document.get("hint") or "")
        self.problems: list[Any] = list(document.get("problems") or ())
        self.values = dict(document)
        self.retry_after = retry_after
        super().__init__("\n".join((self.detail, *map(_line_of, self.problems))))


class UnauthenticatedError(RefusedError):
    """401: no token, or one that is no good any more. Sign in again."""


class ForbiddenError(RefusedError):
    """403: it is somebody else's, or the operator's to do."""


class NotFoundError(RefusedError):
    """404: there is no such thing, or it is not for you to see."""


class GoneError(RefusedError):
    """410: it was here once."""


class ConflictError(RefusedError):
    """409: not as things are now; the detail says what has to happen first."""


class ChangedMeanwhileError(RefusedError):
    """412: somebody changed it since you looked (``if_match``)."""


class TooLargeError(RefusedError):
    """413, 414, 431: larger than this server accepts."""


class InvalidError(RefusedError):
    """400, 415, 416, 422, 460: a rule is broken; ``problems`` has every one."""


class InvalidRecipeError(InvalidError):
    """A recipe has problems; ``problems`` lists every one with line, field and the rule it breaks."""


class InvalidEffectError(InvalidError):
    """An effect has problems; ``problems`` lists every one with line, field and the rule it breaks."""


class InvalidInputsError(InvalidError):
    """A run's inputs do not fit its recipe: one is missing, unknown, or not stored at the server."""


class BusyError(RefusedError):
    """423, 429, 503: not now; ``retry_after`` says when to ask again."""


class NoRoomError(RefusedError):
    """507: the server's disk is full, or your quota is used up. Delete what you no longer need."""


class ServerError(RefusedError):
    """Any other 5xx: a defect of the server, or of what it depends on."""


BY_STATUS: dict[int, type[RefusedError]] = {
    400: InvalidError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    412: ChangedMeanwhileError,
    413: TooLargeError,
    414: TooLargeError,
    415: InvalidError,
    416: InvalidError,
    422: InvalidError,
    423: BusyError,
    429: BusyError,
    431: TooLargeError,
    460: InvalidError,
    503: BusyError,
    507: NoRoomError,
}
BY_CODE: dict[str, type[RefusedError]] = {
    "invalid-recipe": InvalidRecipeError,
    "invalid-effect": InvalidEffectError,
    "invalid-inputs": InvalidInputsError,
}


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> RefusedError:
    """Return the error that an answer stands for. ``headers``: found in any case of letters."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    by_server = isinstance(document, dict)
    if not isinstance(document, dict) or not document:
        document = {"detail": f"{status}: {body[:SHOWN_CHARACTERS].decode(errors='replace')}"}
    kind = BY_CODE.get(str(document.get("code"))) or BY_STATUS.get(status)
    if kind is None:
        kind = ServerError if status >= 500 else RefusedError
    after = headers.get("Retry-After", "")
    refused = kind(status, document, float(after) if after.isdigit() else None)
    refused.by_proxy = not by_server
    return refused


def _line_of(problem: Any) -> str:
    if not isinstance(problem, dict):
        return f"  {problem}"
    place = f"line {problem['line']}, {problem.get('field')}: " if problem.get("line") else ""
    return f"  {place}{problem.get('problem') or problem}"
