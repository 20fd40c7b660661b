"""People who use L1 and its registry: a browser for each of the two, and what they do with them."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

PASSWORD = "correct horse battery"
WAIT_SECONDS = 90.0
COOKIE = "artdag_token"

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """Return what ``look`` finds, as soon as it finds something true."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(0.02)


@dataclass(slots=True)
class Person:
    """Somebody with an account at the registry."""

    name: str
    l1: httpx.AsyncClient
    l2: httpx.AsyncClient
    l1_url: str
    l2_url: str

    async def link(self, following: str = "") -> httpx.URL:
        """Press Attach on the registry's page; return where that leads."""
        page = await self.l2.get("/renderers")
        assert f'value="{self.l1_url}"' in page.text
        fields = {"l1_server": self.l1_url, "next": following}
        answer = await self.l2.post("/renderers/attach", data=fields)
        assert answer.status_code == 303, answer.text
        return httpx.URL(answer.headers["location"])

    async def attach(self, following: str = "") -> httpx.Response:
        """Go through the whole flow; return L1's answer."""
        return await self.follow(await self.link(following))

    async def follow(self, link: httpx.URL) -> httpx.Response:
        """Open a link to L1, as a browser does that comes from the registry's page."""
        came_from = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "referer": f"{self.l2_url}/"}
        return await self.l1.get(link.raw_path.decode(), headers={"accept": "text/html,*/*;q=0.8"} | came_from)

    def cookie(self) -> str:
        """Return what L1 keeps in the browser; empty: nothing."""
        return self.l1.cookies.get(COOKIE) or ""

    async def token(self, renderer: str = "", seconds: int = 3600) -> str:
        """Make a token for a program."""
        fields = {"l1_server": renderer or self.l1_url, "seconds": str(seconds)}
        page = await self.l2.post("/tokens", data=fields)
        assert page.status_code == 200, page.text
        (found,) = re.findall(r"<textarea[^>]*>([^<]+)</textarea>", page.text)
        return html.unescape(found)

    async def revoke_newest(self) -> None:
        """Revoke the token that was made last."""
        page = await self.l2.get("/tokens")
        place = re.findall(r'action="(/tokens/[^"]+/revoke)"', page.text)[0]
        assert (await self.l2.post(place)).status_code == 303

    async def log_out(self) -> None:
        """Log out at the registry."""
        assert (await self.l2.post("/logout")).status_code == 303

    async def sign_in(self) -> None:
        """Sign in at the registry again."""
        answer = await self.l2.post("/login", data={"name": self.name, "password": PASSWORD})
        assert answer.status_code == 303

    async def write(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Do what a page of L1 does: the cookie, and the page's own Origin."""
        return await self.l1.request(method, path, headers={"origin": self.l1_url}, **arguments)

    async def upload(self, data: bytes, name: str = "") -> str:
        """Upload a file."""
        answer = await self.write("POST", "/cache/upload", files={"file": (name or "a.bin", data)})
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["cid"])

    async def run(self, recipe: str, inputs: list[str], name: str = "") -> dict[str, Any]:
        """Run a recipe or an effect, to its end."""
        started = await self.write("POST", "/runs", json={"recipe": recipe, "inputs": inputs, "output_name": name})
        assert started.status_code == 201, started.text
        run_id = started.json()["run_id"]

        async def finished() -> dict[str, Any] | None:
            run = (await self.l1.get(f"/runs/{run_id}")).json()
            return dict(run) if run["status"] in ("completed", "failed") else None

        return await until(finished)

    async def made(self, name: str = "") -> dict[str, Any]:
        """Run something that nobody ever ran before."""
        run = await self.run("identity", [await self.upload(uuid4().bytes)], name)
        assert run["status"] == "completed", run
        return run

    async def publish(self, run: dict[str, Any], name: str = "") -> None:
        """Publish what a run made."""
        answer = await self.write("POST", f"/runs/{run['run_id']}/publish", json={"name": name} if name else {})
        assert answer.status_code == 200, answer.text

    async def publication(self, cid: str) -> dict[str, Any]:
        """Return how the newest activity about content stands."""
        answer = await self.l1.get(f"/cache/{cid}/publish")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return dict(body["activities"][0], state=body["state"])

    async def listed(self) -> list[dict[str, Any]]:
        """Return what the registry lists as this person's, newest first."""
        found = (await self.l2.get(f"/users/{self.name}/outbox")).json()
        return list(found["orderedItems"])


@asynccontextmanager
async def person(l1_url: str, l2_url: str, behind: str = "", name: str = "") -> AsyncIterator[Person]:
    """Somebody who has just signed up, with a browser that knows nobody.

    Args:
        behind: address by which that browser reaches the registry, whatever stands in for it at ``l2_url``.
    """
    name = name or f"p{uuid4().hex[:12]}"
    async with contextlib.AsyncExitStack() as stack:
        l1, l2 = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=90))
            for url in (l1_url, behind or l2_url)
        ]
        answer = await l2.post("/signup", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield Person(name, l1, l2, l1_url, l2_url)


def query(url: httpx.URL) -> dict[str, str]:
    """Return the fields of a URL's query."""
    return dict(httpx.QueryParams(urlsplit(str(url)).query))
