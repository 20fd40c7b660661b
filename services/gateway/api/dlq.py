"""Dead letters: what gave up, shown to the operator, who sends it again or drops it."""

from __future__ import annotations

import base64
import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import Response as Plain

from artdag_common.codec import decode_command
from artdag_common.commands import COMMANDS, Command, RepeatNotice
from artdag_common.domain.access import OWNER
from artdag_common.domain.audit import MOST_CHARACTERS, Audit
from artdag_common.errors import (
    LetterNotFoundError,
    LetterNotResendableError,
    MalformedMessageError,
    NotYoursError,
)
from artdag_common.messaging import subjects
from artdag_common.messaging.dead_letters import COMMAND_ID, document
from artdag_common.messaging.permissions import ACCOUNTS
from services.gateway.api.documentation import RUN_ID, TIME, answers
from services.gateway.api.shapes import ByName
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway, Parts, User
from services.gateway.problems import Json
from services.gateway.projections import audit
from services.gateway.views import read_cursor

router = APIRouter(prefix="/api/dlq", tags=["dead letters"])

LETTER: dict[str, Any] = {
    "id": 7,
    "service": "planner",
    "name": "StartRun",
    "subject": f"cmd.planner.StartRun.{RUN_ID}",
    "key": RUN_ID,
    "reason": "RuntimeError('disk on fire')",
    "at": TIME,
    "since": TIME,
    "tried": 10,
    "tries": [{"at": TIME, "reason": "RuntimeError('disk on fire')"}],
    "headers": ByName({"Command-Id": "1f6e…"}),
    "retry": {"able": True, "how": None},
    "links": {"self": "/api/dlq/7", "retry": "/api/dlq/7/retry"},
}
DETAIL = LETTER | {"payload": {"json": ByName(run_id=RUN_ID), "hex": None, "size_bytes": 412}}
SENT: dict[str, Any] = {"id": 7, "retried": True, "subject": f"cmd.planner.StartRun.{RUN_ID}"}

WORK_HOW = (
    "the planner sends steps to executors again by itself, within 5 s and as long as a run waits for them; see that"
    " planner and executors are of one version, then drop this letter"
)
EVENT_HOW = (
    "an event stays in its stream and is tried again every minute by itself, until a version runs that knows it;"
    " upgrade the service, then drop this letter"
)
UNSOUND_HOW = "it is no command that a gateway sends: whoever sent it has to send a sound one; drop this letter"
OTHER_HOW = "whoever gave it up has another way to begin it again, see docs/dead-letters.md; then drop this letter"

WEBHOOK = ("cache", "WebhookDelivery")
"""Service and name of the letters of what a webhook did not take."""

LetterId = Annotated[int, Path(description="Id of the letter", ge=1, le=2**62, examples=[7])]


@router.get(
    "", summary="List dead letters", responses=answers({"letters": [LETTER], "total": 1, "next": None}, 401, 403)
)
async def list_letters(
    parts: Parts,
    viewer: User,
    service: Annotated[str, Query(description="Only what this service gave up", pattern="^[a-z]{0,32}$")] = "",
    name: Annotated[
        str,
        Query(description="Only of this name: of a command, an event, a delivery", pattern="^[A-Za-z0-9_-]{0,64}$"),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before", max_length=18)] = None,
) -> Plain:
    """What gave up after many attempts, or could not be read, oldest first. For the operator.

    Letters are kept for 90 days.
    """
    _operator(viewer)
    found = await parts.auth.letters(service, name, read_cursor(cursor) or 0, limit)
    letters = [letter_view(letter) for letter in found["letters"]]
    return Json({"letters": letters, "total": found["total"], "next": str(found["next"]) if found["next"] else None})


@router.get("/{letter_id}", summary="See a dead letter", responses=answers(DETAIL, 401, 403, 404))
async def get_letter(letter_id: LetterId, parts: Parts, viewer: User) -> Plain:
    """With its payload: as JSON where it is a message of this system, without its secrets; else its bytes in hex."""
    _operator(viewer)
    return Json(letter_view((await parts.auth.letter(letter_id))["letter"]))


@router.post("/{letter_id}/retry", summary="Send a dead letter again", responses=answers(SENT, 401, 403, 404, 409))
async def retry_letter(request: Request, letter_id: LetterId, parts: Parts, viewer: User) -> Plain:
    """Put a command back where it came from. What did happen of it does not happen twice: it keeps its first id.

    The letter goes once the bus has the command again; if that gives up once more there is a new letter. What cannot be
    sent again from here is refused, with what to do instead. A letter that was sent again is not sent once more: the
    answer is that of the first time, as long as the audit trail tells of it.
    """
    _operator(viewer)
    await parts.issuer.command_id(request, viewer, b"")
    try:
        found = await parts.auth.letter(letter_id, raw=True)
    except LetterNotFoundError as gone:
        settled = await _settled(parts, letter_id)
        if isinstance(settled, Audit.LetterRetried):
            place = settled.subject or f"{settled.service}/{settled.name}"
            return Json({"id": letter_id, "retried": True, "subject": place})
        raise _told(gone, settled) from gone
    letter, data = found["letter"], base64.b64decode(found["data"])
    occasion = f"letter/{letter_id}/{letter['at']}"
    if command := _repetition(letter, document(data)):
        subject = subjects.command(command.SERVICE, type(command).__name__, command.key)
        await parts.bus.send(command, occasion)
    elif how := obstacle(letter, data):
        raise LetterNotResendableError(f"dead letter {letter_id} ({letter['name']}) is not sent from here: {how}")
    else:
        subject = letter["subject"]
        await parts.bus.send_again(subject, data, letter["headers"][COMMAND_ID], occasion)
    with contextlib.suppress(LetterNotFoundError):  # another request was faster
        await parts.auth.settle_letter(letter_id, viewer, dropped=False)
    return Json({"id": letter_id, "retried": True, "subject": subject})


@router.delete(
    "/{letter_id}", summary="Drop a dead letter", status_code=204, responses=answers("", 401, 403, 404, status=204)
)
async def drop_letter(
    request: Request,
    letter_id: LetterId,
    parts: Parts,
    viewer: User,
    reason: Annotated[
        str, Query(description="Why; the audit trail keeps it", min_length=1, max_length=MOST_CHARACTERS)
    ],
) -> Response:
    """Let it go for good. The audit trail keeps who did it, and the reason; not the payload.

    Of a letter that was dropped the first reason stays.
    """
    _operator(viewer)
    await parts.issuer.command_id(request, viewer, b"")
    try:
        await parts.auth.settle_letter(letter_id, viewer, dropped=True, reason=reason)
    except LetterNotFoundError as gone:
        settled = await _settled(parts, letter_id)
        if not isinstance(settled, Audit.LetterDropped):
            raise _told(gone, settled) from gone
    return Response(status_code=204)


async def _settled(parts: Gateway, letter_id: int) -> Audit.LetterRetried | Audit.LetterDropped | None:
    """Return what became of a letter that is gone, as the audit trail tells it; None: it does not know of one."""
    found: Audit.LetterRetried | Audit.LetterDropped | None = None

    async def known() -> bool:
        nonlocal found
        found, whole = await audit.settled_letter(parts.pool, letter_id)
        return whole or found is not None

    await parts.projector.until(known, OWN_WRITES_SECONDS)
    return found


def _told(gone: LetterNotFoundError, settled: Audit.LetterRetried | Audit.LetterDropped | None) -> LetterNotFoundError:
    """Return the refusal of what cannot be done with a letter any more, with what was done, where that is known."""
    if settled is None:
        return gone
    when = f"at {settled.timestamp:%Y-%m-%d %H:%M:%S} UTC"
    what = "sent again" if isinstance(settled, Audit.LetterRetried) else f"dropped ({settled.reason})"
    return LetterNotFoundError(f"dead letter {settled.letter} was {what} {when}", letter=settled.letter)


def _operator(viewer: str) -> None:
    if viewer != OWNER:
        raise NotYoursError("only the operator of this system sees what gave up")


def _repetition(letter: dict[str, Any], payload: Any) -> Command | None:
    """Return the command by which a delivery is tried again that is no command itself; None: there is none."""
    if (letter["service"], letter["name"]) != WEBHOOK:
        return None
    match payload:
        case {"webhook_id": str(webhook_id), "owner": str(owner), "notice_id": str(notice_id)}:
            return RepeatNotice(webhook_id, owner, notice_id)
    return None


def obstacle(letter: dict[str, Any], data: bytes | None = None) -> str:
    """Return why a letter cannot be sent again from here, and what to do instead; empty: it can.

    Args:
        data: its payload, if it is to be looked at too.
    """
    place, _, rest = letter["subject"].partition(".")
    if (letter["service"], letter["name"]) == WEBHOOK:
        return "" if data is None else OTHER_HOW
    if place == "work":
        return WORK_HOW
    if place == "evt":
        return EVENT_HOW
    if place != "cmd":
        return OTHER_HOW
    service, name, key = (*rest.split("."), "", "", "")[:3]
    known = COMMANDS.get(name)
    if known is None or name not in ACCOUNTS["gateway"].commands or service != known.SERVICE:
        return UNSOUND_HOW
    if rest.count(".") != 2 or not subjects.KEY.fullmatch(key) or not letter["headers"].get(COMMAND_ID):
        return UNSOUND_HOW
    if data is not None:
        try:
            decode_command(name, data)
        except MalformedMessageError:
            return UNSOUND_HOW
    return ""


def letter_view(letter: dict[str, Any]) -> dict[str, Any]:
    """Return a letter with what can be done about it."""
    payload = letter.get("payload")
    how = obstacle(letter) or (UNSOUND_HOW if payload is not None and payload["json"] is None else "")
    if payload is not None and _repetition(letter, payload["json"]):
        how = ""
    place = f"/api/dlq/{letter['id']}"
    return letter | {
        "retry": {"able": not how, "how": how or None},
        "links": {"self": place, "retry": None if how else f"{place}/retry"},
    }
