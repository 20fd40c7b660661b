"""How many requests a user, and an address, may send: token buckets (GCRA), shared by all gateways through Redis.

A bucket holds its policy's quota and is refilled evenly over the window. Every gateway keeps buckets of its own, exact
and at once; what several gateways let pass together is counted in Redis, from which each takes a handful at a time, so
that most requests ask nobody. Without Redis the own buckets, which always count along, are what holds.

The answers say how one stands as draft-ietf-httpapi-ratelimit-headers (September 2025) has it.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from artdag_common.addresses import LOOPBACK, among, client_key
from artdag_common.config import Settings
from artdag_common.errors import ArtdagError, RateLimitedError
from services.gateway.access import READING, Access
from services.gateway.sessions import Session

WINDOW_SECONDS = 60
ADDRESS_SHARE = 4
"""How many times a user's quota an address has, behind which there may be several."""

HANDFULS = 50
"""In how many handfuls a quota is taken from Redis."""

MOST_BUCKETS = 20_000
AWAY_SECONDS = 2.0
"""How long Redis is not asked again after it did not answer."""

SIGN_IN, PUBLISH, WRITE, READ = "sign-in", "publish", "write", "read"
SIGNING_IN = re.compile(r"/(?:login|auth)(?:/(?!revoke).*)?")
"""Paths of attempts to sign in; what L2 revokes is none."""

UPLOADS = "/cache/uploads/"
CHECKING = "/api/recipes/check"
"""It changes nothing: a POST only because a recipe is too long for an address."""

TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local interval, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local room = math.floor((now + window - full_at) / interval)
if room < 1 then
  return {0, 0, math.ceil(full_at + interval - window - now)}
end
local granted = math.min(room, wanted)
full_at = full_at + granted * interval
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return {granted, room - granted, 0}
"""
"""Takes up to ARGV[3] requests out of a bucket; gives how many, how many are left, and microseconds to wait.

A bucket is the moment at which it will be full again.
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """How much is allowed in what time.

    Attributes:
        quota: in ``unit``.
        window_s: seconds; 0: for ever.
    """

    name: str
    quota: int
    window_s: int = WINDOW_SECONDS
    unit: str = ""

    @property
    def item(self) -> str:
        """The policy in ``RateLimit-Policy``."""
        unit = f';qu="{self.unit}"' if self.unit else ""
        window = f";w={self.window_s}" if self.window_s else ""
        return f'"{self.name}";q={self.quota}{unit}{window}'


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands with a policy.

    Attributes:
        left: what may still be used.
        wait_s: seconds until there is more; of a refused request, until it may be tried again.
    """

    policy: Policy
    left: int
    wait_s: float
    refused: bool = False

    @property
    def item(self) -> str:
        """The standing in ``RateLimit``."""
        wait = f";t={math.ceil(self.wait_s)}" if self.policy.window_s else ""
        return f'"{self.policy.name}";r={max(0, self.left)}{wait}'


@dataclass(slots=True)
class Charges:
    """What a request was charged for.

    Attributes:
        kind: of request; empty: no limits apply.
    """

    kind: str
    standings: list[Standing] = field(default_factory=list)
    user: str = ""


CHARGES: ContextVar[Charges | None] = ContextVar("charges", default=None)
"""Of the request that is being answered."""


def note(standing: Standing) -> None:
    """Have the answer to the present request say how its sender stands."""
    charges = CHARGES.get()
    if charges is not None:
        charges.standings = [each for each in charges.standings if each.policy.name != standing.policy.name]
        charges.standings.append(standing)


def kind_of(method: str, path: str, query: bytes = b"") -> str:
    """Return what kind of request this is. The bytes of uploads, in as many pieces as it takes, count least."""
    if SIGNING_IN.fullmatch(path) and (query or method not in READING):  # else it only asks who is signed in
        return SIGN_IN
    if method in READING or path.startswith(UPLOADS) or path == CHECKING:
        return READ
    return PUBLISH if path.endswith(("/publish", "/unpublish")) else WRITE


@dataclass(slots=True)
class _Bucket:
    """What one gateway knows of a bucket; times as its clock has them.

    Attributes:
        full_at: when it is full again, if only this gateway counts.
        held: requests taken from Redis and not used yet.
        shared_left: what was left in Redis then.
        closed_until: until then Redis has nothing.
    """

    full_at: float = 0.0
    held: int = 0
    shared_left: int = 0
    closed_until: float = 0.0


class RateLimiter:
    """Counts requests."""

    def __init__(
        self,
        cache: redis.asyncio.Redis,
        quotas: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Count in Redis.

        Args:
            quotas: requests a minute by kind; 0: no limit.
        """
        self._take = cache.register_script(TAKE)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._away_until = -math.inf
        self._of_user = {kind: Policy(kind, quota) for kind, quota in quotas.items() if quota and kind != SIGN_IN}
        self._of_address = {
            kind: Policy(kind, quota) if kind == SIGN_IN else Policy(f"{kind}-address", quota * ADDRESS_SHARE)
            for kind, quota in quotas.items()
            if quota
        }

    @classmethod
    def of(cls, settings: Settings, cache: redis.asyncio.Redis) -> RateLimiter:
        """Return a limiter with the quotas that are set."""
        quotas = {
            READ: settings.rate_read,
            WRITE: settings.rate_write,
            PUBLISH: settings.rate_publish,
            SIGN_IN: settings.rate_sign_in,
        }
        return cls(cache, quotas)

    async def charge_address(self, charges: Charges, address: str) -> None:
        """Count a request of an address.

        Raises:
            RateLimitedError: it sent too many.
        """
        policy = self._of_address.get(charges.kind)
        if policy:
            await self._charge(charges, policy, client_key(address), "your address")

    async def charge_user(self, charges: Charges, user: str) -> None:
        """Count a request of a user, once.

        Raises:
            RateLimitedError: they sent too many.
        """
        policy = self._of_user.get(charges.kind)
        if policy and charges.user != user:
            charges.user = user
            await self._charge(charges, policy, user, "you")

    async def _charge(self, charges: Charges, policy: Policy, who: str, called: str) -> None:
        standing = await self.take(policy, who)
        charges.standings.append(standing)
        if standing.refused:
            wait = math.ceil(standing.wait_s)
            raise RateLimitedError(
                f"{called} sent too many requests of this kind ({policy.name}): {policy.quota} in {policy.window_s} s"
                f" are taken; try again in {wait} s",
                policy=policy.name,
                quota=policy.quota,
                window_s=policy.window_s,
                retry_after=wait,
                **{"violated-policies": [policy.name]},
            )

    async def take(self, policy: Policy, who: str) -> Standing:
        """Take one request out of a bucket, if there is one."""
        key = f"artdag:rate:{policy.name}:{who}"
        bucket = self._bucket(key)
        now = self._clock()
        interval = policy.window_s / policy.quota
        full_at = max(bucket.full_at, now)
        late = full_at + interval - policy.window_s - now
        if late > 1e-9:
            return Standing(policy, 0, late, refused=True)
        bucket.full_at = full_at + interval  # before anything is awaited: many come at once
        own_left = int((policy.window_s - (bucket.full_at - now)) / interval + 1e-6)
        wait = await self._shared(key, bucket, policy, interval, now)
        if wait:
            bucket.full_at -= interval
            return Standing(policy, 0, wait, refused=True)
        return Standing(policy, min(own_left, bucket.held + bucket.shared_left), interval)

    async def _shared(self, key: str, bucket: _Bucket, policy: Policy, interval: float, now: float) -> float:
        """Use one request of those that Redis gave; return 0, or the seconds until it gives more."""
        if bucket.held:
            bucket.held -= 1
            return 0.0
        if bucket.closed_until > now:
            return bucket.closed_until - now
        if self._away_until <= now:
            arguments = (interval * 1e6, policy.window_s * 1_000_000, max(1, policy.quota // HANDFULS))
            try:
                granted, left, wait = await self._take(keys=[key], args=arguments)
            except (RedisError, OSError) as error:
                log.warning("redis is passed over", error=str(error))
                self._away_until = self._clock() + AWAY_SECONDS
            else:
                if not granted:
                    bucket.closed_until = now + wait / 1e6
                    return float(wait / 1e6)
                bucket.held += granted - 1
                bucket.shared_left = left
                return 0.0
        bucket.shared_left = policy.quota
        return 0.0

    def _bucket(self, key: str) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket


class CountedAccess(Access):
    """Tells who sends a request, and counts it."""

    def __init__(self, limiter: RateLimiter, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._limiter = limiter

    async def session(self, request: Request) -> Session | None:
        """Return what signs a request in, as the base class does.

        Raises:
            RateLimitedError: whom it signs in sent too many requests.
        """
        session = await super().session(request)
        charges = CHARGES.get()
        if session is not None and charges is not None:
            await self._limiter.charge_user(charges, session.user)
        return session


class LimitedRates:
    """Middleware: counts requests by address, and tells in every answer how whoever asks stands."""

    def __init__(
        self,
        app: ASGIApp,
        limiter: RateLimiter,
        personal: bool,
        refuse: Callable[[Request, ArtdagError], Awaitable[Response]],
    ) -> None:
        """Count.

        Args:
            personal: of whoever is on this machine only attempts to sign in are counted.
        """
        self._app = app
        self._limiter = limiter
        self._personal = personal
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope["client"] else ""
        kind = kind_of(scope["method"], scope["path"], scope["query_string"])
        if self._personal and kind != SIGN_IN and (not address or among(address, LOOPBACK)):
            kind = ""
        charges = Charges(kind)
        CHARGES.set(charges)

        async def tell(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and charges.standings:
                policies = ", ".join([each.policy.item for each in charges.standings])
                standings = ", ".join([each.item for each in charges.standings])
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"ratelimit-policy", policies.encode()),
                    (b"ratelimit", standings.encode()),
                ]
            await send(message)

        try:
            await self._limiter.charge_address(charges, address)
        except RateLimitedError as error:
            response = await self._refuse(Request(scope), error)
            await response(scope, receive, tell)
            return
        await self._app(scope, receive, tell)
