"""L2, the ActivityPub registry: the one server that says who people are and takes what they publish.

Only addresses of ``L2_SERVER`` are ever asked, no redirect is followed, an answer is read up to 64 KiB and waited for
up to ten seconds. While it does not answer, most callers are told so without asking again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from cryptography.hazmat.primitives.asymmetric import rsa

from artdag_common.errors import L2RefusedError, L2UnavailableError, SignatureError, WrongScopeError
from artdag_common.federation import signatures
from artdag_common.federation.documents import ACTIVITY_JSON
from artdag_common.federation.replays import Replays
from artdag_common.federation.signatures import TOLERANCE_SECONDS, Headers, key_id_of

TIMES = aiohttp.ClientTimeout(total=10.0, sock_connect=3.0)
ANSWER_BYTES = 64 * 1024
ATTEMPTS = 2
RETRY_SECONDS = 0.2
ACTOR_SECONDS = 600.0
"""How long the registry's actor document counts."""
ASK_AGAIN_SECONDS = 60.0
"""How long a key that is not in it stays unknown: nobody makes us ask more often."""
FAILURES = 5
"""In a row, after which the registry counts as down."""
DOWN_SECONDS = 5.0
LONGEST_DOWN_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 3600.0
SHOWN_CHARACTERS = 300
URL_CHARACTERS = 500
AGAIN = frozenset({408, 425, 429})
"""Refusals that are about the moment (RFC 9110, 8470, 6585)."""
NAME = re.compile(r"[^\s@/?#%&<>\"'\\:;,]{1,100}")


@dataclass(frozen=True, slots=True)
class Verified:
    """What the registry says of a token that it vouches for.

    Attributes:
        actor: URL of the person.
        l1_server: the server that the token is for; empty: it does not say.
        expires_at: unix seconds; 0: it does not say.
    """

    username: str
    actor: str
    l1_server: str = ""
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an activity that the registry has decided on.

    Attributes:
        taken: False: it refused it for good.
        reason: in its own words; empty where it was taken.
        url: of what it made of it; empty: it does not say.
    """

    taken: bool
    reason: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Actor:
    """The registry's actor document, as far as it matters."""

    inbox: str
    keys: Mapping[str, rsa.RSAPublicKey]
    read_at: float


def normal_url(url: str) -> str:
    """Return a URL as it is compared: lower-case scheme and host, no default port, no slash at its end.

    Empty where it is no HTTP URL, or holds a user name, a query or a fragment.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return ""
    if parts.query or parts.fragment:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    given = "" if port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{given}{parts.path.rstrip('/')}"


def origin_of(url: str) -> str:
    """Return scheme, host and port of an HTTP URL; empty where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return normal_url(f"{parts.scheme}://{parts.netloc}")


class Circuit:
    """Knows whether it is worth asking: after some failures in a row, one try at a time, farther and farther apart."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    def wait_seconds(self) -> float:
        """Return for how long nobody is to ask; 0: ask now, and say what came of it."""
        now = self._clock()
        if self._failures < FAILURES:
            return 0.0
        if now < self._until:
            return self._until - now
        self._until = now + TIMES.total  # type: ignore[operator]  # others wait for what this one finds out
        return 0.0

    def answered(self) -> None:
        """It does answer."""
        self._failures = 0

    def failed(self) -> None:
        """It does not."""
        self._failures += 1
        more = max(0, self._failures - FAILURES)
        self._until = self._clock() + min(DOWN_SECONDS * 2.0 ** min(more, 10), LONGEST_DOWN_SECONDS)


class L2:
    """The registry at ``L2_SERVER``."""

    def __init__(
        self,
        server: str,
        own_url: str,
        domain: str,
        replays: Replays | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Nothing is asked yet.

        Args:
            server: ``L2_SERVER``: scheme, host and port.
            own_url: ``L1_PUBLIC_URL``.
            domain: ``L2_DOMAIN``, the host of people's actors; empty: that of the server.
            replays: signatures that were used; None: this process remembers them.
        """
        self.server = normal_url(server)
        self.own_url = normal_url(own_url)
        self.host = urlsplit(self.server).netloc
        self.domain = domain or self.host
        self.actor_id = f"{self.server}/actor"
        self._replays = replays or Replays()
        self._clock = clock
        self._wall = wall
        self._circuit = Circuit(clock)
        self._actor: _Actor | None = None
        self._refetched_at = float("-inf")
        self._reading = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close its connections."""
        if self._session:
            await self._session.close()

    async def verify(self, token: str) -> Verified:
        """Ask whose token this is.

        Raises:
            L2RefusedError: the registry does not vouch for it, or names an actor of another server.
            WrongScopeError: it is for another L1.
            L2UnavailableError: no answer, or none that can be understood.
        """
        body = json.dumps({"token": token, "l1_server": self.own_url}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = await self._ask("POST", f"{self.server}/auth/verify", headers, body)
                break
            except L2UnavailableError as error:
                if attempt == ATTEMPTS or error.values.get("slow") or error.values.get("circuit"):
                    raise
                await asyncio.sleep(RETRY_SECONDS)
        if reply.status in (401, 403):
            raise L2RefusedError(f"{self.server} does not vouch for this token: it answers {reply.status}")
        if reply.status != 200:
            raise self._nonsense(f"/auth/verify answers {reply.status}")
        return self._verified(self._document(reply, "/auth/verify"))

    def _verified(self, said: Mapping[str, Any]) -> Verified:
        if said.get("valid") is False:
            raise L2RefusedError(f"{self.server} does not vouch for this token: it says that it is not valid")
        username, scope, expires = said.get("username"), said.get("l1_server"), said.get("expires_at")
        if not isinstance(username, str) or not NAME.fullmatch(username) or not username.isprintable():
            raise self._nonsense("/auth/verify names no user")
        actor = said.get("actor") or f"https://{self.domain}/users/{quote(username, safe='')}"
        if not isinstance(actor, str) or len(actor) > URL_CHARACTERS or not normal_url(actor):
            raise self._nonsense("the actor that /auth/verify names is no URL")
        if urlsplit(actor).netloc.lower() not in (self.domain.lower(), self.host):
            raise L2RefusedError(f"{self.server} vouches for an actor of another server: {actor}")
        if scope is not None and (not isinstance(scope, str) or normal_url(scope) != self.own_url):
            raise WrongScopeError(f"the token is for {str(scope)[:URL_CHARACTERS]}, and this is {self.own_url}")
        if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int | float)):
            raise self._nonsense("/auth/verify says expires_at, and not in seconds")
        return Verified(username, actor, scope or "", int(expires or 0))

    async def key(self, key_id: str) -> rsa.RSAPublicKey:
        """Return a key of the registry's actor.

        Raises:
            SignatureError: it has no such key; that of another server is never asked for.
            L2UnavailableError: it cannot be asked.
        """
        return (await self._keys(key_id))[key_id]

    async def check_signed(self, method: str, url: str, headers: Headers, body: bytes) -> None:
        """Take a request that the registry's actor has signed, once.

        Args:
            url: absolute, under ``L1_PUBLIC_URL``, with its query.
            headers: all lines, those that appear twice too.

        Raises:
            SignatureError: it is not signed by the registry, recently, over this very body; or it came before.
            L2UnavailableError: the key cannot be asked for.
        """
        if origin_of(url) != origin_of(self.own_url):
            raise SignatureError(f"{url[:URL_CHARACTERS]} is not an address of {self.own_url}")
        lines = list(headers.items() if isinstance(headers, Mapping) else headers)
        key_id = key_id_of(lines)
        keys = await self._keys(key_id)
        try:
            signed = signatures.verify(keys, method, url, lines, body, self._wall())
        except SignatureError:
            if not self._may_ask_again():  # a key that was replaced under the same name
                raise
            keys = {**(await self._read_again()).keys}
            signed = signatures.verify(keys, method, url, lines, body, self._wall())
        left = signed.created + TOLERANCE_SECONDS - int(self._wall().timestamp())
        if not await self._replays.first(signed.digest, left + 1):
            raise SignatureError("this signed request came before; a signature counts once")

    async def deliver(self, activity: bytes, key: rsa.RSAPrivateKey, key_id: str) -> Answer:
        """Send an activity to the registry's inbox, signed; asking again with the same activity does no harm.

        Raises:
            L2UnavailableError: it has not decided; ``retry_after``: when to ask again (s), where it says so.
        """
        inbox = (await self._registry()).inbox
        headers = {"Content-Type": ACTIVITY_JSON, "Accept": "application/json"}
        signed = signatures.sign(key, key_id, "POST", inbox, headers, activity, self._wall())
        reply = await self._ask("POST", inbox, signed, activity)
        if 200 <= reply.status < 300:
            return Answer(True, url=self._link(reply))
        if 400 <= reply.status < 500 and reply.status not in AGAIN:
            return Answer(False, f"{reply.status}: {_shown(reply.body)}".rstrip(": "))
        raise self._nonsense(f"its inbox answers {reply.status}")

    def _link(self, reply: _Reply) -> str:
        """Return where the registry shows what it took: an address of its own, or nothing."""
        try:
            said = json.loads(reply.body or b"null")
        except ValueError:
            said = None
        found = [said.get("url"), said.get("id")] if isinstance(said, dict) else []
        for each in (*found, reply.headers.get("Location")):
            if isinstance(each, str) and self.owns(each):
                return each
        return ""

    def owns(self, url: str) -> bool:
        """Return whether an address is one of the registry's, or of the domain of its people."""
        if len(url) > URL_CHARACTERS or not url.isprintable():
            return False
        return origin_of(url) in (self.server, f"https://{self.domain.lower()}")

    # --- the registry's actor -----------------------------------------------------------------------------------------

    async def _keys(self, key_id: str) -> Mapping[str, rsa.RSAPublicKey]:
        if not key_id.startswith(f"{self.actor_id}#") and key_id != self.actor_id:
            raise SignatureError(f"the request is signed with {key_id[:URL_CHARACTERS]}, not with a key of L2_SERVER")
        keys = (await self._registry()).keys
        if key_id not in keys and self._may_ask_again():
            keys = (await self._read_again()).keys
        if key_id not in keys:
            raise SignatureError(f"{self.actor_id} has no key {key_id[:URL_CHARACTERS]}")
        return keys

    def _may_ask_again(self) -> bool:
        return self._clock() - self._refetched_at >= ASK_AGAIN_SECONDS

    async def _registry(self) -> _Actor:
        async with self._reading:
            if self._actor is None or self._clock() - self._actor.read_at >= ACTOR_SECONDS:
                self._actor = await self._read_actor()
            return self._actor

    async def _read_again(self) -> _Actor:
        async with self._reading:
            if self._may_ask_again() or self._actor is None:
                self._refetched_at = self._clock()
                self._actor = await self._read_actor()
            return self._actor

    async def _read_actor(self) -> _Actor:
        reply = await self._ask("GET", self.actor_id, {"Accept": ACTIVITY_JSON}, b"")
        if reply.status != 200:
            raise self._nonsense(f"/actor answers {reply.status}")
        said = self._document(reply, "/actor")
        inbox = said.get("inbox")
        if said.get("id") != self.actor_id or not isinstance(inbox, str) or origin_of(inbox) != self.server:
            raise self._nonsense(f"/actor is not {self.actor_id} with an inbox of its own")
        listed = said.get("publicKey")
        keys = {}
        for each in listed if isinstance(listed, list) else [listed]:
            if isinstance(each, dict) and each.get("owner", self.actor_id) == self.actor_id:
                key_id, pem = each.get("id"), each.get("publicKeyPem")
                if isinstance(key_id, str) and isinstance(pem, str):
                    with contextlib.suppress(SignatureError):  # of a kind that nobody is asked to sign with here
                        keys[key_id] = signatures.public_key(pem)
        return _Actor(inbox, keys, self._clock())

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> _Reply:
        """Ask once; a reply is one that was read whole and is not about the server's own trouble."""
        if wait := self._circuit.wait_seconds():
            raise self._down(f"{self.server} did not answer lately", wait, circuit=True)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=TIMES, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(
                method,
                url,
                headers={**headers, "Accept-Encoding": "identity", "User-Agent": "artdag"},
                data=body or None,
                allow_redirects=False,
            ) as response:
                reply = _Reply(response.status, response.headers, await _read(response))
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is one of OSError's
            self._circuit.failed()
            said = str(error)[:SHOWN_CHARACTERS] or type(error).__name__
            raise self._down(f"{self.server}: {said}", slow=isinstance(error, TimeoutError)) from error
        if reply.status >= 500 or reply.status in AGAIN:
            if reply.status >= 500:
                self._circuit.failed()
            wait = retry_after_seconds(reply.headers.get("Retry-After", ""), self._wall())
            raise self._down(f"{self.server} answers {reply.status} to {urlsplit(url).path}", wait)
        self._circuit.answered()
        return reply

    def _document(self, reply: _Reply, path: str) -> Mapping[str, Any]:
        try:
            said = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise self._nonsense(f"{path} does not answer in JSON") from error
        if not isinstance(said, dict):
            raise self._nonsense(f"{path} answers JSON that is no object")
        return said

    def _nonsense(self, said: str) -> L2UnavailableError:
        return self._down(f"{self.server}: {said}")

    def _down(self, message: str, retry_after: float = 0.0, **values: Any) -> L2UnavailableError:
        if retry_after:
            values["retry_after"] = max(1, round(retry_after))
        return L2UnavailableError(f"the registry does not answer as it should: {message}", **values)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer.

    Raises:
        ValueError: it has more than 64 KiB, or is compressed although nobody asked for that.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ValueError("its answer is compressed")
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > ANSWER_BYTES:
            raise ValueError(f"its answer has more than {ANSWER_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def retry_after_seconds(text: str, now: datetime) -> float:
    """Return what a ``Retry-After`` asks for, seconds, up to an hour; 0: nothing that can be read."""
    if re.fullmatch("[0-9]{1,9}", text):
        return min(float(text), LONGEST_WAIT_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    return min(max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()), LONGEST_WAIT_SECONDS)


def _shown(body: bytes) -> str:
    """Return what a refusal says, as it may be shown: one line of text, not long."""
    text = body.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        text = next(
            (said[name] for name in ("detail", "error", "message", "title") if isinstance(said.get(name), str)), text
        )
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
