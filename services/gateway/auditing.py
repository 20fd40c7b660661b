"""What this gateway refuses: counted in memory, handed over every few seconds, so that an attack is a few small events.

Nothing that a client sends is written down: see :mod:`artdag_common.domain.audit`. Whose token it was, and whether what
was not found is there and another's, is looked up when refusals are handed over, not while somebody waits for the
answer: it takes as long for what is hidden as for what is not there.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Set
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import orjson
import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artdag_common.commands import NoteRefusals
from artdag_common.domain.access import Token, hash_token
from artdag_common.domain.audit import HIDDEN, MOST_AN_HOUR, MOST_TOLD, Tally, address_key, hour_of
from artdag_common.errors import ServiceUnavailableError
from artdag_common.eventstore.postgres import LOST
from artdag_common.messaging.bus import Bus
from artdag_common.sealing import Sealer
from artdag_common.turning import Loop
from services.gateway.access import COOKIE, bearer_of
from services.gateway.problems import reason
from services.gateway.projections import audit
from services.gateway.projections.rows import UNLISTED
from services.gateway.visibility import seen_content

GATHER_SECONDS = 2.0
"""How long refusals gather before they are handed over."""

SPARING_SECONDS = 60.0
"""How long while the hour has less than half of its room left."""

ANSWER_SECONDS = 8.0
LAST_SECONDS = 4.5
"""How long a gateway that stops tries to hand over."""

MOST_TOKENS = 4
"""Tokens that are looked up, of those that come from one address to one place for one reason."""

MOST_KEY_CHARACTERS = 256
NOTED = frozenset({401, 403, 429})
LOOKED_AT = NOTED | {404}
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
CODE = "artdag.refusal"
"""Where a request's scope holds the code of its refusal; else the name of the status stands for it."""

NAMED_BY = {
    "run-not-found": "run_id",
    "content-not-found": "cid",
    "recipe-not-found": "recipe",
    "effect-not-found": "effect",
    "storage-not-found": "storage_id",
}
"""Refusals that may hide that something is another's, and the part of the path that names it."""

OWNERS = f"""
SELECT 'run_id' AS what, run_id AS key, ARRAY[owner] AS owners FROM rm_runs
WHERE run_id = ANY ($1::text[]) AND NOT deleted AND NOT published AND owner <> '{UNLISTED}'
UNION ALL SELECT 'storage_id', storage_id, ARRAY[owner] FROM rm_storage WHERE storage_id = ANY ($1::text[])
UNION ALL SELECT 'recipe', cid, array_agg(owner) FROM rm_recipes
WHERE cid = ANY ($1::text[]) AND NOT deleted AND owner <> '{UNLISTED}' GROUP BY cid HAVING NOT bool_or(published)
UNION ALL SELECT 'effect', cid, array_agg(owner) FROM rm_effects
WHERE cid = ANY ($1::text[]) AND NOT deleted GROUP BY cid HAVING NOT bool_or(published)
"""
"""Of what exists and is not public: whose it is."""

STORED = "SELECT cid FROM rm_objects WHERE cid = ANY ($1::text[]) AND NOT evicted"

Asked = tuple[str, str, str]
"""A user, and what was asked for: the name of the path's part, and its value."""

Sought = tuple[str, str, str, str, str]
"""Route, token hash and address of a request, and what it asked for: the name of the path's part, and its value."""

log = structlog.get_logger(__name__)


class Gathered:
    """Refusals since the last hand-over. Their parties have the hash of the token where later the user stands."""

    def __init__(self) -> None:
        self.tally = Tally(MOST_TOLD)
        self.sought: dict[Sought, tuple[int, int, int]] = {}
        self._tokens: dict[tuple[str, str, str], set[str]] = {}

    def __bool__(self) -> bool:
        return bool(len(self.tally) or self.sought)

    def refused(self, code: str, route: str, token: str, address: str, now_ms: int) -> None:
        """Count a refusal."""
        self.tally.add((code, route, self._told(code, route, token, address), address), 1, now_ms, now_ms)

    def not_found(self, route: str, token: str, address: str, what: tuple[str, str], now_ms: int) -> None:
        """Note what was not found, to be looked at later; of more than there is room for nothing is noted."""
        sought = (route, self._told(HIDDEN, route, token, address), address, *what)
        count, first, _ = self.sought.get(sought, (0, now_ms, now_ms))
        if count or len(self.sought) < MOST_TOLD:
            self.sought[sought] = count + 1, first, now_ms

    def _told(self, code: str, route: str, token: str, address: str) -> str:
        """Return the hash of a token, or nothing where its sender has tried many: then they are no tokens."""
        if not token or (len(self._tokens) >= MOST_TOLD and (code, route, address) not in self._tokens):
            return ""
        tokens = self._tokens.setdefault((code, route, address), set())
        if len(tokens) < MOST_TOKENS:
            tokens.add(token)
        return token if token in tokens else ""


class Auditing(Loop):
    """Collects refusals and hands them over to the auth service."""

    def __init__(
        self,
        bus: Bus,
        pool: asyncpg.Pool,
        sealer: Sealer,
        shared: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing happens yet.

        Args:
            sealer: its key keys the hashes of addresses; without one a key does that this process alone has.
            shared: several people use this server.
        """
        self._shared = shared
        self._bus = bus
        self._pool = pool
        self._key = sealer.fingerprint(b"/audit/address") if sealer.able else os.urandom(32)
        self._clock = clock
        self._gathered = Gathered()
        self._taken: Gathered | None = None
        self._command: tuple[NoteRefusals, str] | None = None
        self._more = asyncio.Event()
        self._pause = GATHER_SECONDS

    async def start(self) -> None:
        """Hand over in the background."""
        self._begin_loop(self._work(), "hand over refusals")

    async def stop(self) -> None:
        """Hand over what there is, if that can be done soon."""
        await super().stop()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while self._taken or self._gathered:
                    await self._hand_over()
        except (ServiceUnavailableError, asyncpg.PostgresError, TimeoutError, *LOST) as error:
            log.warning("refusals are lost", error=str(error) or type(error).__name__)

    def note(self, scope: Scope, status: int) -> None:
        """Look at an answer that begins; if it is a refusal, count it."""
        code = str(scope.get(CODE, ""))
        if status not in NOTED and (status != 404 or code not in NAMED_BY):
            return
        now_ms = int(self._clock() * 1000)
        route, token = route_of(scope), token_of(scope)
        address = address_key(self._key, address_of(scope))
        if status in NOTED:
            self._gathered.refused(code or reason(status), route, token, address, now_ms)
        else:
            part = NAMED_BY[code]
            value = str(scope.get("path_params", {}).get(part, ""))
            if not 0 < len(value) <= MOST_KEY_CHARACTERS:
                return
            self._gathered.not_found(route, token, address, (part, value), now_ms)
        self._more.set()

    async def _work(self) -> None:
        while True:
            await self._more.wait()
            await asyncio.sleep(self._pause)
            self._more.clear()
            try:
                await self._hand_over()
            except (ServiceUnavailableError, asyncpg.PostgresError, *LOST) as error:
                log.warning("refusals are handed over later", error=str(error) or type(error).__name__)
                self._more.set()
            except Exception as error:  # they are counted on, so that one that cannot be told does not stop the others
                log.error("refusals are lost", exc_info=error)
                self._taken = self._command = None

    async def _hand_over(self) -> None:
        """Hand over what was gathered. What was begun before goes first, with the same id: it counts once."""
        if self._taken is None:
            self._taken, self._gathered = self._gathered, Gathered()
        if self._command is None:
            tally = await self._told(self._taken)
            if len(tally):
                hour = hour_of(datetime.fromtimestamp(self._clock(), UTC))
                self._command = NoteRefusals(hour, tally.told()), str(uuid4())
        if self._command is not None:
            command, command_id = self._command
            outcome = await self._bus.request(command, command_id, ANSWER_SECONDS)
            if outcome is not None and outcome.accepted:
                room = orjson.loads(outcome.values)["room"]
                self._pause = GATHER_SECONDS if 2 * room >= MOST_AN_HOUR else SPARING_SECONDS
            elif outcome is not None:
                log.error("refusals were not taken", code=outcome.code, reason=outcome.message)
        self._taken = self._command = None

    async def _told(self, gathered: Gathered) -> Tally:
        """Return what was gathered with users in the place of tokens, and with what was hidden."""
        refusals = gathered.tally.told()
        users = await self._users({each.user for each in refusals} | {token for _, token, *_ in gathered.sought})
        tally = Tally(MOST_TOLD)
        for each in refusals:
            party = (each.code, each.route, users.get(each.user, ""), each.address)
            tally.add(party, each.count, each.first_ms, each.last_ms)
        asked = {(users.get(token, ""), what, key) for _, token, _, what, key in gathered.sought}
        hidden = await self._hidden(asked)
        for (route, token, address, what, key), counted in gathered.sought.items():
            user = users.get(token, "")
            if (user, what, key) in hidden:
                tally.add((HIDDEN, route, user, address), *counted)
        return tally

    async def _users(self, hashes: set[str]) -> Mapping[str, str]:
        holders = await audit.holders(self._pool, [Token.stream(each) for each in hashes - {""}])
        return {stream.partition("-")[2]: holder for stream, holder in holders.items()}

    async def _hidden(self, asked: Set[Asked]) -> Set[Asked]:
        """Return what is there, of what users asked for, and is another's and not public."""
        if not asked:
            return set()
        keys = list({key for _, _, key in asked})
        owners = {(row["what"], row["key"]): row["owners"] for row in await self._pool.fetch(OWNERS, keys)}
        hidden = {each for each in asked if each[1:] in owners and each[0] not in owners[each[1:]]}
        stored = {row["cid"] for row in await self._pool.fetch(STORED, keys)}
        contents = {each for each in asked if each[1] == "cid" and each[2] in stored}
        for user in {each[0] for each in contents}:
            cids = {key for each, _, key in contents if each == user}
            seen = await seen_content(self._pool, user, cids, self._shared)
            hidden |= {(user, "cid", cid) for cid in cids - seen}
        return hidden


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from, as whoever knows the proxies has put it."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def route_of(scope: Scope) -> str:
    """Return method and template of the route that a request was for; empty: none was looked for, or there is none."""
    method = scope.get("method", "")
    template = getattr(scope.get("route"), "path", "")
    return f"{method} {template}" if template and method in METHODS else ""


def token_of(scope: Scope) -> str:
    """Return the hash of the token that a request shows; empty: none."""
    request = Request(scope)
    shown = bearer_of(request) or request.cookies.get(COOKIE, "")
    return hash_token(shown) if shown else ""


class Audited:
    """Middleware, the outermost: has refusals counted as their answers begin, whoever makes them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in LOOKED_AT:
                scope["app"].state.gateway.auditing.note(scope, message["status"])
            await send(message)

        await self._app(scope, receive, watched)
