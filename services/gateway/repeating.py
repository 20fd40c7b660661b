"""Writes that may be repeated: a key names a request, and what was answered to it is answered again.

``Idempotency-Key`` as draft-ietf-httpapi-idempotency-key-header has it. A key counts for one user, method and address,
for 8 days. Three things make a repeat harmless:

* Ids of commands derive from the key, and owners keep what came of a command for as long: whatever dies, and at
  whichever gateway, a repeat is the same command.
* What was answered is kept, and answered again as it was. It is sealed by the key itself, so that nobody who reads the
  table learns what it says. Refusals are not kept: nothing came of them, and a repeat is judged anew; what the owner of
  a command refused it refuses again, unless it was for want of room.
* While a request is being handled, a repeat waits for its answer, and is told to come again (409) if there is none in
  time. A request that a lost gateway was handling holds a repeat up for 10 s at most.

An answer of 202 is not kept either: the command is, and a repeat is answered 202 until its owner has handled it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import orjson
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artdag_common.errors import (
    IdempotencyBusyError,
    IdempotencyConflictError,
    InvalidRequestError,
)
from artdag_common.messaging.bus import Outcome
from services.gateway.problems import Json

COMMAND_IDS = UUID("0f1e7a3c-6d55-5d8a-9a35-61727464616e")
KEY = "idempotency-key"
KEY_CHARACTERS = 255
REPLAYED = "Idempotent-Replayed"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PLACE = "artdag.idempotency"
"""Where a request's scope has its :class:`Hold`."""

DAYS = 8
"""How long a key counts; rows of the inbox, and with them what came of a command, are kept as long."""

HOLD_SECONDS = 10
LOOK_SECONDS = 0.05
SWEEP_SECONDS = 60.0
SWEPT = 1000
ANSWER_BYTES = 256 * 1024
"""What is kept of an answer; a longer one is made again, by the same commands."""

NONCE_BYTES = 12
SIGNING = "it signs in or out; nobody is signed in yet, or any more, whose key it could be"
TUS = "tus 1.0 has a way of its own: HEAD says how far an upload is, and bytes count only at their offset"
EXEMPT = {
    "POST /auth": SIGNING,
    "POST /logout": SIGNING,
    "POST /auth/device": SIGNING,
    "POST /auth/device/token": "a program asks again and again by its device code, until the answer is another",
    "POST /auth/device/confirm": "the first decision stays",
    "POST /auth/revoke": SIGNING + "; a token that is revoked again stays revoked",
    "POST /auth/revoke-user": SIGNING + "; tokens that are revoked again stay revoked",
    "POST /actor/inbox": "the registry's activities have ids of their own, and each is noted once",
    "POST /cache/uploads": TUS + "; one that nobody goes on with is removed",
    "PATCH /cache/uploads/{upload_id}": TUS,
    "POST /cache/uploads/{upload_id}": TUS,
    "DELETE /cache/uploads/{upload_id}": TUS,
    "POST /api/recipes/check": "it keeps nothing; the same text is told the same",
}
"""Writes that look at no key, and why."""

DDL = """
CREATE TABLE IF NOT EXISTS gateway_idempotency (
    key        text PRIMARY KEY,
    body_hash  bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS gateway_idempotency_age ON gateway_idempotency (created_at);
ALTER TABLE gateway_idempotency
    ADD COLUMN IF NOT EXISTS holder     uuid,
    ADD COLUMN IF NOT EXISTS held_until timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN IF NOT EXISTS foretold   bytea,
    ADD COLUMN IF NOT EXISTS answer     bytea;
"""
FREE = "known.answer IS NULL AND known.held_until < now() AND known.body_hash = EXCLUDED.body_hash"
BEGIN = f"""INSERT INTO gateway_idempotency AS known (key, body_hash, holder, held_until)
VALUES ($1, $2, $3, now() + interval '{HOLD_SECONDS} seconds')
ON CONFLICT (key) DO UPDATE SET
    holder = CASE WHEN {FREE} THEN EXCLUDED.holder ELSE known.holder END,
    held_until = CASE WHEN {FREE} THEN EXCLUDED.held_until ELSE known.held_until END
RETURNING body_hash, holder = $3 AS ours, foretold, answer"""
LOOK = "SELECT body_hash, false AS ours, held_until < now() AS free, answer FROM gateway_idempotency WHERE key = $1"
FORETELL = "UPDATE gateway_idempotency SET foretold = $3 WHERE key = $1 AND holder = $2"
END = """UPDATE gateway_idempotency
SET held_until = '-infinity', answer = coalesce(answer, $3::bytea)
WHERE key = $1 AND (holder = $2 OR $3::bytea IS NOT NULL)"""
SWEEP = f"""DELETE FROM gateway_idempotency WHERE key IN (
    SELECT key FROM gateway_idempotency WHERE created_at < now() - interval '{DAYS} days'
    ORDER BY created_at LIMIT {SWEPT}
)"""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Hold:
    """What a request holds: its key's row, named as its command, while it is being handled.

    ``secret`` seals what is kept of the answer.
    """

    row: str = ""
    holder: UUID | None = None
    secret: bytes = b""


class Repeated(Exception):  # noqa: N818  (not an error: the request was answered before)
    """What was answered to this request."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        response.headers[REPLAYED] = "true"
        self.response = response


class Keys:
    """The keys that were used, and what was answered to them."""

    def __init__(self, pool: asyncpg.Pool, handled: Callable[[str], Awaitable[Outcome | None]]) -> None:
        """``handled``: command id → what came of it, or None."""
        self._pool = pool
        self._handled = handled
        self._swept = -SWEEP_SECONDS

    async def begin(self, request: Request, owner: str, body: bytes, patience: float) -> str:
        """Return the id of the command that a request leads to; the first of it with this key holds the key.

        Args:
            body: what the request says, besides its address: the same for the same request, however it is encoded.
            patience: seconds to wait for the answer to the same request, where that is being handled.

        Raises:
            Repeated: it was answered.
            IdempotencyConflictError: the key was used for something else.
            IdempotencyBusyError: it is still being handled.
            InvalidRequestError: a key of no or too many characters.
        """
        key = request.headers.get(KEY) if request.method in WRITES else None
        if key is None:
            return str(uuid4())
        if not 0 < len(key) <= KEY_CHARACTERS:
            raise InvalidRequestError(
                f"Idempotency-Key has {len(key)} characters: it takes 1 to {KEY_CHARACTERS}",
                problems=[{"field": "Idempotency-Key", "value": key[:40], "problem": "1 to 255 characters"}],
            )
        named = "\0".join((owner, request.method, request.url.path, key))
        hold = Hold(str(uuid5(COMMAND_IDS, named)), uuid4(), hmac.digest(named.encode(), b"artdag/answer", "sha256"))
        digest = hashlib.sha256(request.url.query.encode() + b"\0" + body).digest()
        await self._sweep()
        row = await self._take(hold, digest, patience)
        if not hmac.compare_digest(row["body_hash"], digest):
            raise IdempotencyConflictError(
                f"Idempotency-Key {key!r} was used before for another request to {request.url.path}", key=key
            )
        if row["answer"] is not None:
            raise Repeated(opened(hold.secret, row["answer"]))
        if not row["ours"]:
            raise IdempotencyBusyError(
                f"the first request with Idempotency-Key {key!r} is being handled; repeat it in a second", retry_after=1
            )
        if PLACE in request.scope:
            request.scope[PLACE] |= {"hold": hold}
        if row["foretold"] is not None:
            outcome = await self._handled(hold.row)
            if outcome is not None and outcome.accepted:
                raise Repeated(opened(hold.secret, row["foretold"]))
        return hold.row

    async def _take(self, hold: Hold, digest: bytes, patience: float) -> asyncpg.Record:
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            row = await self._pool.fetchrow(BEGIN, hold.row, digest, hold.holder)
            assert row
            if row["ours"] or row["answer"] is not None or not hmac.compare_digest(row["body_hash"], digest):
                return row
            while True:
                if asyncio.get_running_loop().time() >= deadline:
                    return row
                await asyncio.sleep(LOOK_SECONDS)  # another gateway may be at it: there is nothing here to wait for
                seen = await self._pool.fetchrow(LOOK, hold.row)
                if seen is None or seen["free"]:
                    break

    async def foretell(self, request: Request, content: dict[str, Any]) -> None:
        """Note what is to be answered (200) once the command is accepted, where that cannot be found out any more then:
        what is deleted has no name."""
        hold = held(request.scope)
        if hold is not None:
            response = Json(content)
            sealed = sealed_answer(hold.secret, 200, list(response.raw_headers), bytes(response.body))
            await self._pool.execute(FORETELL, hold.row, hold.holder, sealed)

    async def end(self, hold: Hold, answer: bytes | None) -> None:
        """Let a key go. ``answer``: to be given again, sealed; None: a repeat is handled anew."""
        await self._pool.execute(END, hold.row, hold.holder, answer)

    async def _sweep(self) -> None:
        """Remove what is too old, a thousand rows at a time, each minute."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        while (await self._pool.execute(SWEEP)).endswith(f" {SWEPT}"):
            pass


def held(scope: Scope) -> Hold | None:
    """Return what a request holds; None: no key, or it was answered from what is kept."""
    hold: Hold | None = scope.get(PLACE, {}).get("hold")
    return hold


def sealed_answer(secret: bytes, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return an answer as it is kept."""
    shown = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name != b"content-length"]
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(secret).encrypt(nonce, orjson.dumps([status, shown]) + b"\n" + body, None)


def opened(secret: bytes, answer: bytes) -> Response:
    """Return an answer that was kept.

    Raises:
        IdempotencyConflictError: it was sealed by another key.
    """
    try:
        text = AESGCM(secret).decrypt(answer[:NONCE_BYTES], answer[NONCE_BYTES:], None)
    except InvalidTag as error:
        raise IdempotencyConflictError("Idempotency-Key: what was answered to it cannot be read") from error
    head, _, body = text.partition(b"\n")
    status, headers = orjson.loads(head)
    response = Response(body if body else None, status)
    response.raw_headers.extend((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    return response


class Repeatable:
    """Middleware: keeps the answers to requests whose routes hold a key. It is the innermost."""

    def __init__(self, app: ASGIApp, keys: Callable[[], Keys]) -> None:
        """``keys``: gives them, once there is something to keep."""
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in WRITES or KEY not in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        scope[PLACE] = {}
        waiting: list[Message] = []
        ended = False

        async def end(answer: bytes | None) -> None:
            nonlocal ended
            hold = held(scope)
            if hold is not None and not ended:
                ended = True
                await asyncio.shield(self._end(hold, answer))

        async def keep(message: Message) -> None:
            hold = held(scope)
            if hold is None or ended:
                await send(message)
                return
            waiting.append(message)
            size = sum(len(each.get("body", b"")) for each in waiting)
            if message["type"] == "http.response.start" or (message.get("more_body", False) and size <= ANSWER_BYTES):
                return
            status, answer = waiting[0]["status"], None
            if 200 <= status < 400 and status != 202 and size <= ANSWER_BYTES:
                body = b"".join(each.get("body", b"") for each in waiting)
                answer = sealed_answer(hold.secret, status, list(waiting[0].get("headers", [])), body)
            await end(answer)
            for each in waiting:
                await send(each)

        try:
            await self._app(scope, receive, keep)
        finally:
            await end(None)

    async def _end(self, hold: Hold, answer: bytes | None) -> None:
        try:
            await self._keys().end(hold, answer)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("an answer is not kept", error=str(error) or type(error).__name__)
