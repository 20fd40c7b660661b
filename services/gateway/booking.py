"""Bytes that came in are taken into the books, and somebody looks into what they are."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from artdag_common.commands import ImportObject
from services.gateway.deriving import look_into
from services.gateway.issuing import patience_of
from services.gateway.launching import OWN_WRITES_SECONDS
from services.gateway.parts import Gateway
from services.gateway.projections import objects
from services.gateway.uploads import Uploaded, refused
from services.gateway.views import raw_url

NAME_CHARACTERS = 200


def check_name(name: str, files: int = 1) -> None:
    """Raise unless files that come in may be called so.

    Raises:
        InvalidRequestError: too long, not printable, or one name for several files.
    """
    rule = ""
    if name and files > 1:
        rule = "for a single file; send several one by one to name them"
    elif len(name) > NAME_CHARACTERS:
        rule = f"at most {NAME_CHARACTERS} characters"
    elif not name.isprintable():
        rule = "made of printable characters only"
    if rule:
        raise refused("name", name[:80], rule)


async def book(
    parts: Gateway, request: Request, file: Uploaded, origin: str, owner: str, name: str, command_id: str
) -> dict[str, Any]:
    """Take stored bytes into the books, and return what is known of them.

    Raises:
        Pending: the books are kept later; the command is.
    """
    command = ImportObject(file.cid, file.size_bytes, file.media_type, origin, owner, name)
    await parts.issuer.issue(command, command_id, f"/cache/{file.cid}", patience_of(request))

    async def check() -> bool:
        if name:
            return await objects.has_name(parts.pool, file.cid, owner, name)
        return await objects.has(parts.pool, owner, file.cid)

    await parts.projector.until(check, OWN_WRITES_SECONDS)
    await look_into(parts, request, file.cid, file.media_type)
    return {
        "cid": file.cid,
        "size_bytes": file.size_bytes,
        "media_type": file.media_type,
        "name": name or None,
        "filename": file.filename or None,
        "links": {"self": f"/cache/{file.cid}", "raw": raw_url(file.cid), "meta": f"/cache/{file.cid}/meta"},
    }
