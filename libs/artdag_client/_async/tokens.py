"""Who is signed in, and the tokens that do it."""

from __future__ import annotations

from artdag_client._async.connection import AsyncConnection
from artdag_client.asking import keyed, part
from artdag_client.clocks import async_pause, monotonic
from artdag_client.errors import NoAnswerError, RefusedError, WaitedTooLongError
from artdag_client.shapes import Codes, Grant, TokenPage, TokenRevoked, Who

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_SECONDS = 5
"""By how much the time between two questions grows when the server asks for it."""

PENDING = "authorization_pending"
TOO_MANY, SERVER_FAILED = 429, 500


class AsyncTokens:
    """``client.tokens``."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def who(self) -> Who:
        """Return who is signed in by this client's token."""
        found: Who = await self._connection.ask("GET", "/auth")
        return found

    async def list(self) -> TokenPage:
        """Return the tokens that sign you in, newest first: their ids, never themselves."""
        found: TokenPage = await self._connection.ask("GET", "/auth/tokens")
        return found

    async def create(self, name: str = "a program") -> str:
        """Return another token of yours, for a program that is to work as you. It lasts for 30 days.

        It is made as :meth:`begin` and :meth:`take` make one, and allowed by this client itself.
        """
        codes = await self.begin(name)
        await self.confirm(codes["user_code"])
        return await self.take(codes)

    async def begin(self, name: str) -> Codes:
        """Begin to sign a program in: a person confirms ``user_code`` at ``verification_uri``. Needs no token.

        ``name``: what the program calls itself.
        """
        codes: Codes = await self._connection.ask("POST", "/auth/device", json={"client_id": name})
        return codes

    async def confirm(self, user_code: str, allow: bool = True) -> Grant:
        """Allow a program that shows a code to work as you, or not."""
        decision = "allow" if allow else "deny"
        grant: Grant = await self._connection.ask(
            "POST", "/auth/device/confirm", json={"user_code": user_code, "decision": decision}
        )
        return grant

    async def waiting(self, user_code: str) -> Grant:
        """Return which program waits with a code."""
        grant: Grant = await self._connection.ask("GET", "/auth/device", params={"user_code": user_code})
        return grant

    async def take(self, codes: Codes) -> str:
        """Return the token, once the program that has these codes is allowed to sign in.

        Raises:
            RefusedError: it is not allowed.
            WaitedTooLongError: nobody confirmed the code before it was over.
        """
        asked = {"grant_type": GRANT_TYPE, "device_code": codes["device_code"]}
        interval, until = float(codes["interval"]), monotonic() + codes["expires_in"]
        while monotonic() < until:
            try:
                given = await self._connection.once("POST", "/auth/device/token", json=asked)
                return str(given.json()["access_token"])
            except NoAnswerError:  # it may be back before the code is over
                pass
            except RefusedError as error:
                why = error.values.get("error")
                if why == "slow_down" or error.status == TOO_MANY:
                    interval += SLOWER_SECONDS
                elif why != PENDING and error.status < SERVER_FAILED:
                    raise
            await async_pause(interval)
        raise WaitedTooLongError(f"nobody confirmed the code {codes['user_code']} in time; begin again")

    async def revoke(self, token_id: str, key: str | None = None) -> TokenRevoked:
        """Have a token of yours refused from now on; :meth:`list` tells the ids."""
        found: TokenRevoked = await self._connection.ask("DELETE", f"/auth/tokens/{part(token_id)}", headers=keyed(key))
        return found

    async def revoke_this(self) -> None:
        """Have the token of this client refused from now on."""
        await self._connection.ask("POST", "/auth/revoke", json={})

    async def revoke_all(self) -> int:
        """Have all tokens of yours refused from now on, this client's too; return how many they were."""
        found: dict[str, int] = await self._connection.ask("POST", "/auth/revoke-user", json={})
        return found["revoked"]
