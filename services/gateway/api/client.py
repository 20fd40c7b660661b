"""The command line client: one file, that knows where it came from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from artdag_common.version import VERSION
from services.gateway import web
from services.gateway.api.documentation import answers
from services.gateway.parts import Parts

router = APIRouter(tags=["server"])

NAME = "artdag.py"
SOURCE = Path(str(web.__file__)).parent / "download" / NAME
MEDIA_TYPE = "text/x-python"
SERVER_LINE = 'SERVER = "http://localhost:8100"\n'
VERSION_LINE = 'VERSION = "0"\n'
HEADERS = {"Content-Disposition": f'attachment; filename="{NAME}"'}
SHOWN: dict[int | str, dict[str, Any]] = answers("#!/usr/bin/env python3\n…", media_type=MEDIA_TYPE)
PAGE = {"text/html": {"schema": {"type": "string"}, "example": "<!doctype html>…"}}
SHOWN_OR_PAGE = {**SHOWN, 200: {**SHOWN[200], "content": SHOWN[200]["content"] | PAGE}}


@cache
def client_for(public_url: str) -> str:
    """Return the client for the server at this address."""
    source = SOURCE.read_text()
    for line, value in ((SERVER_LINE, public_url.rstrip("/")), (VERSION_LINE, VERSION)):
        assert source.count(line) == 1, line
        source = source.replace(line, f"{line.partition(' = ')[0]} = {value!r}\n")
    return source


@router.get("/download/client", summary="Get the command line client", responses=SHOWN_OR_PAGE)
@router.get(f"/download/client/{NAME}", summary="Get the command line client as a file", responses=SHOWN)
async def get_client(parts: Parts) -> Response:
    """One Python file that needs Python 3.9 and nothing else, with the address of this server in it.

    Browsers get a page at `/download/client` that says how to use it.
    """
    return Response(client_for(parts.settings.public_url), media_type=MEDIA_TYPE, headers=HEADERS)
