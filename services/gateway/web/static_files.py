"""The pages' scripts and styles, at addresses that name their content, so that browsers keep them for good.

While gateways are replaced one by one, a page of one version may ask a gateway of another for its scripts. It gets
those of that other version, which nobody is to keep: what is kept under an address is always what the address names.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

FOLDER = Path(__file__).with_name("static")
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
OF_ANOTHER_VERSION = {"Cache-Control": "no-store"}
STATE = re.compile("[0-9a-f]{16}")
PACKED = {".css", ".js", ".svg"}
"""Endings of files that gzip makes much smaller."""

router = APIRouter(include_in_schema=False)


@cache
def digest() -> str:
    """Return what names the present state of all files together: scripts name each other relatively."""
    state = hashlib.sha256()
    for file in sorted(FOLDER.rglob("*")):
        if file.is_file():
            state.update(f"{file.relative_to(FOLDER)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return state.hexdigest()[:16]


def address(name: str) -> str:
    """Return where a file is found."""
    return f"/static/{digest()}/{name}"


@cache
def _files() -> dict[str, Path]:
    return {str(file.relative_to(FOLDER)): file for file in FOLDER.rglob("*") if file.is_file()}


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_files()[name].read_bytes(), 9, mtime=0)


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether an answer may be packed by gzip (RFC 9110, 12.5.3)."""
    for each in accept_encoding.lower().split(","):
        coding, _, weight = (part.strip() for part in each.partition(";"))
        if coding in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


@router.get("/static/{state}/{name:path}")
async def static_file(request: Request, state: str, name: str) -> Response:
    """A file of the pages; where another state of them is asked for, as it is here, and not to be kept."""
    file = _files().get(name)
    if file is None or not STATE.fullmatch(state):
        raise HTTPException(404)
    headers = IMMUTABLE if state == digest() else OF_ANOTHER_VERSION
    kind = mimetypes.guess_type(name)[0]
    if file.suffix not in PACKED:
        return FileResponse(file, media_type=kind, headers=headers)
    headers = headers | {"Vary": "Accept-Encoding"}
    if not takes_gzip(request.headers.get("accept-encoding", "")):
        return FileResponse(file, media_type=kind, headers=headers)
    return Response(_packed(name), media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
