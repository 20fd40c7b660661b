"""What the registry tells this server of what it published, after it had answered; and what others try to tell it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Federation
from tests.e2e.people import Person, until

ACTIVITY_JSON = "application/activity+json"
Send = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def wire() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=90) as client:
        yield client


@pytest.fixture
def send(federation: Federation, wire: httpx.AsyncClient) -> Send:
    """Send an activity to our inbox, as the registry's actor or with fields of one's own."""

    async def sent(kind: str, activity: str | dict[str, str], **more: Any) -> httpx.Response:
        actor = f"{federation.registry.url}/actor"
        body = {"id": f"{actor}/sent/1", "type": kind, "actor": actor, "object": activity} | more
        signed = federation.registry.signed(f"{federation.url}/actor/inbox", body)
        signed.headers["content-type"] = ACTIVITY_JSON
        return await wire.send(signed)

    return sent


async def standing(ada: Person, cid: str) -> dict[str, Any]:
    """Return how it stands with a publication."""
    return dict((await ada.l1.get(f"/cache/{cid}/publish")).json()["published"]["activity"])


async def published(ada: Person) -> tuple[str, dict[str, Any]]:
    """Publish something and wait until the registry took it; return its CID and how it stands."""
    run = await ada.made()
    await ada.publish(run)

    async def delivered() -> dict[str, Any] | None:
        found = await standing(ada, run["output_cid"])
        return found if found["state"] == "delivered" else None

    return run["output_cid"], await until(delivered)


async def test_a_registry_that_decides_later_is_heard(federation: Federation, ada: Person, send: Send) -> None:
    cid, activity = await published(ada)
    at_registry = f"{federation.registry.url}/assets/elsewhere"

    async def shows(state: str, name: str, value: str | None) -> bool:
        found = await standing(ada, cid)
        return (found["state"], found[name]) == (state, value)

    answer = await send("Accept", {"type": "Create", "id": activity["id"]}, result=at_registry)
    assert (answer.status_code, answer.json()) == (202, {"noted": True})
    await until(lambda: shows("delivered", "link", at_registry))
    answer = await send("Accept", activity["id"], url="https://evil.example/")
    assert answer.json() == {"noted": True}
    answer = await send("Reject", activity["id"], summary="too many\ncats")
    assert answer.json() == {"noted": True}
    await until(lambda: shows("refused", "last_error", "too many cats"))
    assert (await standing(ada, cid))["link"] is None
    # Only she who published it is told why.
    async with httpx.AsyncClient(base_url=federation.url, timeout=90) as anybody:
        (shown,) = (await anybody.get(f"/cache/{cid}/meta")).json()["published"]
        assert (shown["activity"]["state"], shown["activity"]["last_error"]) == ("refused", None)


async def test_anything_else_changes_nothing(federation: Federation, ada: Person, send: Send) -> None:
    cid, activity = await published(ada)
    for kind, what in (
        ("Follow", f"{federation.url}/actor"),
        ("Delete", activity["id"]),
        ("Accept", f"{federation.url}/activities/none"),
        ("Reject", f"https://evil.example/activities/{activity['id'].rpartition('/')[2]}"),
        ("Reject", ""),
    ):
        answer = await send(kind, what)
        assert (answer.status_code, answer.json()) == (202, {"noted": False}), (kind, what)
    assert await standing(ada, cid) == activity


async def test_nobody_but_the_registry_is_heard(federation: Federation, ada: Person, wire: httpx.AsyncClient) -> None:
    cid, activity = await published(ada)
    actor = f"{federation.registry.url}/actor"
    url = f"{federation.url}/actor/inbox"
    reject = {"id": "x", "type": "Reject", "actor": actor, "object": activity["id"]}

    async def refused(request: httpx.Request, status: int = 401) -> None:
        request.headers["content-type"] = ACTIVITY_JSON
        answer = await wire.send(request)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

    signed = federation.registry.signed
    await refused(httpx.Request("POST", url, json=reject))
    await refused(signed(url, reject, key_id=f"http://127.0.0.1:{federation.standin.elsewhere}/actor#main-key"))
    await refused(signed(url, reject, key_id=f"{federation.registry.url}/users/{ada.name}#main-key"))
    await refused(signed(url, reject | {"actor": f"{federation.registry.url}/users/{ada.name}"}))
    await refused(signed(url, ["Reject"]), 422)  # type: ignore[arg-type]
    changed = signed(url, {**reject, "type": "Follow"})
    await refused(httpx.Request("POST", url, headers=_without_length(changed), content=json.dumps(reject).encode()))
    for_another = signed(f"{federation.url}/auth/revoke", reject)
    await refused(httpx.Request("POST", url, headers=_without_length(for_another), content=for_another.content))
    assert await standing(ada, cid) == activity
    assert not federation.standin.strayed
    # The same words of the registry's own count, once.
    taken = signed(url, reject)
    taken.headers["content-type"] = ACTIVITY_JSON
    assert (await wire.send(taken)).json() == {"noted": True}
    await refused(taken)


def _without_length(request: httpx.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name != "content-length"}
