"""Content for the other nodes of the cluster, over HTTP: for who proves that it has the cluster key."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from artdag_common.blobs.lease import lease, note_use
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.node import Membership
from artdag_common.cid import parse_cid
from artdag_common.errors import ContentNotFoundError, InvalidCidError

SHARED = ("0.0.0.0", "::", "")  # noqa: S104  (compared with, not listened on)


def create_app(blobs: LocalBlobStore, membership: Membership) -> Starlette:
    """Return the application. It serves what is on this node's disk: who wants more asks for itself."""

    async def content(request: Request) -> Response:
        """GET and HEAD ``/content/{cid}``, whole or a range (RFC 9110, section 14)."""
        if not membership.check(request.headers.get("authorization", ""), request.method, request.url.path):
            raise HTTPException(401, headers={"WWW-Authenticate": "Artdag"})
        try:
            cid = parse_cid(request.path_params["cid"])
            path = await blobs.path(cid)
        except (InvalidCidError, ContentNotFoundError) as error:
            raise HTTPException(404, error.message) from error
        descriptor = await asyncio.to_thread(lease, path)
        if descriptor is None:
            raise HTTPException(404, f"no content {cid} is stored here any more")
        note_use(path)
        headers = {"ETag": f'"{cid}"'}
        return Leased(descriptor, path, headers=headers, media_type="application/octet-stream")

    return Starlette(routes=[Route("/content/{cid}", content, methods=["GET", "HEAD"])])


class Leased(FileResponse):
    """A file that stays until it is sent."""

    chunk_size = 1 << 20

    def __init__(self, descriptor: int, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._descriptor = descriptor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)


def address(listener: socket.socket, host: str, url: str) -> str:
    """Return the address at which other nodes reach a listener.

    Args:
        host: what it listens on, as the settings say.
        url: what the settings say that others use; empty: made of host and port.
    """
    if url:
        return url
    port = listener.getsockname()[1]
    name = socket.gethostname() if host in SHARED else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
