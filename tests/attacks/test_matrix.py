"""Every route by everybody: whose things are whose, wherever they are asked for.

A route that is not in :data:`RULES` fails the test, so that nobody adds one without deciding who may use it.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.gateway.api.effects import SOURCE_EXAMPLE
from tests.attacks.conftest import NOBODY_THERE, Person
from tests.attacks.documented import Documented
from tests.unit.media.hostile import png


class Rule(StrEnum):
    """Who may."""

    OPEN = "everybody, and no token is looked at"
    LISTED = "everybody sees what is theirs or published, and nothing else; a token that is no good is refused"
    SEEN = "whose it is; others once it is published, until then it is not there for them"
    CHANGED = "whose it is; to others it is not there, and once it is published they are told that it is not theirs"
    PERSONAL = "whose it is; to others it is never there"
    MADE = "everybody who is signed in, for themselves"
    OPAQUE = "whose it is; others are told what they are told of what does not exist"
    OPERATED = "the operator"
    ENTRANCE = "whoever shows a token, a signature or a code: tests of their own"


RULES: dict[Rule, tuple[str, ...]] = {
    Rule.OPEN: (
        "GET /",
        "GET /health",
        "GET /ready",
        "GET /metrics",
        "GET /download/client",
        "GET /download/client/artdag.py",
        "OPTIONS /cache/uploads",
        "OPTIONS /cache/uploads/{upload_id}",
        "GET /storage/type/{type}",
        "GET /actor",
        "GET /actor/outbox",
        "GET /.well-known/webfinger",
        "GET /.well-known/nodeinfo",
        "GET /nodeinfo/2.1",
        "GET /activities/{activity_id}",
        "GET /objects/{object_id}",
    ),
    Rule.LISTED: (
        "GET /runs",
        "GET /recipes",
        "GET /configs",
        "GET /effects",
        "GET /cache",
        "GET /assets",
        "GET /media",
    ),
    Rule.SEEN: (
        "GET /runs/{run_id}",
        "GET /api/run/{run_id}",
        "GET /api/run/{run_id}/plan",
        "GET /api/run/{run_id}/analysis",
        "GET /api/run/{run_id}/history",
        "GET /api/run/{run_id}/steps/{step}/log",
        "GET /runs/{run_id}/events",
        "GET /recipes/{recipe}",
        "GET /configs/{recipe}",
        "GET /effects/{effect}",
        "GET /effects/{effect}/source",
        "GET /cache/{cid}",
        "GET /cache/{cid}/meta",
        "GET /cache/{cid}/publish",
        "HEAD /cache/{cid}/raw",
        "GET /cache/{cid}/raw",
        "GET /cache/{cid}/thumbnail",
        "GET /cache/{cid}/poster",
        "GET /cache/{cid}/waveform",
        "GET /cache/{cid}/spectrogram",
        "HEAD /cache/{cid}/mp4",
        "GET /cache/{cid}/mp4",
        "HEAD /ipfs/{cid}/raw",
        "GET /ipfs/{cid}/raw",
    ),
    Rule.CHANGED: (
        "DELETE /runs/{run_id}",
        "POST /runs/{run_id}/cancel",
        "POST /runs/{run_id}/pause",
        "POST /runs/{run_id}/resume",
        "POST /runs/{run_id}/steps/{step}/cancel",
        "POST /runs/{run_id}/retry",
        "POST /runs/{run_id}/rerun",
        "POST /runs/{run_id}/publish",
        "DELETE /recipes/{recipe}",
        "DELETE /configs/{recipe}",
        "DELETE /effects/{effect}",
        "PATCH /cache/{cid}/meta",
        "POST /cache/{cid}/publish",
        "DELETE /cache/{cid}/publish",
        "DELETE /cache/{cid}",
    ),
    Rule.PERSONAL: (
        "GET /api/run/{run_id}/export",
        "GET /cache/uploads/{upload_id}",
        "HEAD /cache/uploads/{upload_id}",
        "PATCH /cache/uploads/{upload_id}",
        "POST /cache/uploads/{upload_id}",
        "DELETE /cache/uploads/{upload_id}",
        "GET /storage/{storage_id}",
        "PATCH /storage/{storage_id}",
        "DELETE /storage/{storage_id}",
        "POST /storage/{storage_id}/test",
        "GET /storage/{storage_id}/copies",
        "POST /storage/{storage_id}/retry",
        "GET /webhooks/{webhook_id}",
        "PATCH /webhooks/{webhook_id}",
        "DELETE /webhooks/{webhook_id}",
        "POST /webhooks/{webhook_id}/test",
        "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
    ),
    Rule.OPAQUE: ("GET /api/commands/{command_id}", "GET /ipfs/{cid}"),
    Rule.MADE: (
        "POST /runs",
        "POST /runs/import",
        "POST /api/plan",
        "POST /api/execute",
        "POST /api/run-recipe",
        "POST /recipes/upload",
        "POST /api/recipes/check",
        "POST /recipes/{recipe}/run",
        "POST /configs/upload",
        "POST /configs/{recipe}/run",
        "POST /effects/upload",
        "POST /cache/uploads",
        "POST /cache/upload",
        "POST /cache/import",
        "POST /storage",
        "POST /storage/add",
        "GET /storage",
        "POST /webhooks",
        "GET /webhooks",
        "GET /auth/tokens",
        "GET /api/usage",
        "GET /api/audit",
    ),
    Rule.OPERATED: (
        "GET /cache/gc",
        "POST /cache/gc",
        "GET /api/users",
        "GET /api/users/{user_id}",
        "DELETE /api/users/{user_id}",
        "GET /api/dlq",
        "GET /api/dlq/{letter_id}",
        "POST /api/dlq/{letter_id}/retry",
        "DELETE /api/dlq/{letter_id}",
        "GET /api/doctor",
        "GET /api/ops",
    ),
    Rule.ENTRANCE: (
        "GET /auth",
        "POST /auth",
        "GET /login",
        "GET /logout",
        "POST /logout",
        "POST /auth/revoke",
        "POST /auth/revoke-user",
        "POST /auth/device",
        "GET /auth/device",
        "POST /auth/device/token",
        "POST /auth/device/confirm",
        "DELETE /auth/tokens/{token_id}",
        "POST /actor/inbox",
    ),
}
RULE_OF = {route: rule for rule, routes in RULES.items() for route in routes}

PRIVATE, PUBLISHED = "private", "published"
SECONDS = 30.0
ABSENT_CODES = ("nothing-to-show",)
UNKNOWN: dict[str, str] = {
    "cid": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "run_id": "00000000-0000-4000-8000-000000000000",
    "recipe": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "effect": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "upload_id": "00000000000040008000000000000000",
    "storage_id": "00000000-0000-4000-8000-000000000000",
    "webhook_id": "00000000-0000-4000-8000-000000000000",
    "delivery_id": "00000000-0000-4000-8000-000000000000",
    "command_id": "00000000-0000-4000-8000-000000000000",
    "user_id": "u-aaaaaaaaaaaaaaaaaaaaaaaaaa",
    "letter_id": "999999999",
    "token_id": "0000000000000000",
}
"""Ids of nothing."""


@dataclass
class Things:
    """What somebody has, by the name that routes have for its id."""

    ids: dict[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()


def recipe_text() -> str:
    """Return a recipe that nobody has."""
    name, salt = f"mine-{uuid4().hex[:10]}", uuid4().hex
    return (
        f"name: {name}\ninputs:\n  media: {{type: any}}\nsteps:\n"
        f"  - {{id: s, type: NOOP, inputs: [media], config: {{salt: {salt}}}}}\noutput: s\n"
    )


async def good(answer: Awaitable[httpx.Response]) -> Any:
    """Return what was answered, which has to be good."""
    response = await answer
    assert response.status_code in (200, 201, 202), (response.request.url, response.text)
    return response.json()


async def made_by(person: Person, *, publish: bool) -> Things:
    """Have somebody make one of everything."""
    api, name = person.api, f"thing-{uuid4().hex[:10]}"
    picture = png(64, 64) + uuid4().bytes
    cid = (await good(api.post("/cache/upload", files={"file": picture}, data={"name": name})))["cid"]
    text = recipe_text()
    recipe = (await good(api.post("/recipes/upload", content=text)))["recipe_id"]
    source = SOURCE_EXAMPLE.replace('"fade"', f'"{name}"') + f"# {uuid4().hex}\n"
    effect = (await good(api.post("/effects/upload", content=source)))["cid"]
    webhook = (await good(api.post("/webhooks", json={"url": NOBODY_THERE})))["webhook_id"]
    run = (await good(api.post(f"/recipes/{recipe}/run", json={"inputs": {"media": cid}})))["run_id"]
    async with asyncio.timeout(SECONDS):
        while (shown := await good(api.get(f"/runs/{run}")))["status"] != "completed":
            assert shown["status"] not in ("failed", "cancelled"), shown
            await asyncio.sleep(0.02)
    async with asyncio.timeout(SECONDS):
        while not (told := (await good(api.get(f"/webhooks/{webhook}")))["deliveries"]):
            await asyncio.sleep(0.02)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "9"}
    folder = tempfile.mkdtemp(dir=os.environ["ARTDAG_STORAGE_DIRS"])
    place = {"type": "local", "name": name, "settings": {"path": folder}}
    kept = await api.post("/cache/upload", files={"file": uuid4().bytes}, headers={"Prefer": "wait=0"})
    things = Things(
        {
            "cid": cid,
            "recipe": recipe,
            "effect": effect,
            "run_id": run,
            "upload_id": (await good(api.post("/cache/uploads", headers=tus)))["upload_id"],
            "storage_id": (await good(api.post("/storage/add", json=place)))["storage_id"],
            "webhook_id": webhook,
            "delivery_id": told[0]["delivery_id"],
            "command_id": kept.json().get("command_id", "") or "none",
            "user_id": person.user,
            "letter_id": UNKNOWN["letter_id"],
            "token_id": UNKNOWN["token_id"],
            "type": "s3",
            "step": "1",
            "activity_id": UNKNOWN["run_id"],
            "object_id": UNKNOWN["run_id"],
        },
        (cid, recipe, effect, run, name),
    )
    if publish:
        await good(api.post(f"/cache/{cid}/publish", json={"name": name}))
        await good(api.post(f"/runs/{run}/publish", json={"name": name}))
        await good(api.post(f"/cache/{effect}/publish", json={"name": name}))
        async with asyncio.timeout(SECONDS):
            async with httpx.AsyncClient(base_url=api.base_url, timeout=60) as nobody:
                while (await nobody.get(f"/runs/{run}")).status_code != 200:
                    await asyncio.sleep(0.02)
    return things


@pytest.fixture(scope="module")
async def things(ada: Person) -> dict[str, Things]:
    """What Ada has."""
    return {PRIVATE: await made_by(ada, publish=False), PUBLISHED: await made_by(ada, publish=True)}


@pytest.fixture(scope="module")
async def bad_tokens(
    shared: Any, url: str, ada: Person, someone: Callable[..., Awaitable[Person]]
) -> AsyncIterator[Any]:
    """Clients whose tokens are no good any more, or here: of Ada's own, revoked, and for another server."""
    second = await someone(ada.user)
    revoked = await second.api.post("/auth/revoke", json={"token": second.token})
    assert revoked.json() == {"revoked": True}
    assert ada.elsewhere
    tokens = {"revoked": second.token, "wrong scope": ada.elsewhere, "made up": uuid4().hex}
    clients = {
        name: httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS)
        for name, token in tokens.items()
    }
    yield clients
    for client in clients.values():
        await client.aclose()


def request_of(route: str, ids: dict[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Return method, address and the rest of a request that is in order, so that only who sends it counts."""
    method, _, template = route.partition(" ")
    path = re.sub(r"{(\w+)}", lambda found: ids[found[1]], template)
    more: dict[str, Any] = {"headers": {"Prefer": "wait=5"}}
    if template.startswith("/cache/uploads"):
        more["headers"] |= {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
        if method in ("PATCH", "POST"):
            more["headers"]["Content-Type"] = "application/offset+octet-stream"
            more["content"] = b"abc"
        if template == "/cache/uploads":
            more["headers"] |= {"Upload-Length": "9"}
        elif method == "POST":
            more["headers"] |= {"X-HTTP-Method-Override": "HEAD"}
            more["content"] = b""
    bodies: dict[str, dict[str, Any]] = {
        "PATCH /cache/{cid}/meta": {"json": {"description": "mine"}},
        "POST /cache/{cid}/publish": {"json": {}},
        "POST /runs/{run_id}/publish": {"json": {}},
        "POST /runs/{run_id}/cancel": {"json": {}},
        "POST /runs/{run_id}/steps/{step}/cancel": {"json": {}},
        "POST /runs/{run_id}/retry": {"json": {}},
        "POST /runs/{run_id}/rerun": {"json": {}},
        "PATCH /storage/{storage_id}": {"json": {"name": "mine"}},
        "PATCH /webhooks/{webhook_id}": {"json": {"enabled": True}},
        "POST /webhooks": {"json": {"url": NOBODY_THERE}},
        "POST /cache/gc": {"json": {}},
        "POST /runs": {"json": {"recipe": ids["recipe"], "inputs": {"media": ids["cid"]}}},
        "POST /runs/import": {"json": {"manifest": ids["recipe"], "events": ids["recipe"]}},
        "POST /api/plan": {"json": {"recipe": ids["recipe"], "inputs": {"media": ids["cid"]}}},
        "POST /api/run-recipe": {"json": {"recipe": ids["recipe"], "inputs": {"media": ids["cid"]}}},
        "POST /api/execute": {"json": {"run_id": ids["run_id"]}},
        "POST /recipes/{recipe}/run": {"json": {"inputs": {"media": ids["cid"]}}},
        "POST /configs/{recipe}/run": {"json": {"inputs": {"media": ids["cid"]}}},
        "POST /recipes/upload": {"content": recipe_text()},
        "POST /configs/upload": {"content": recipe_text()},
        "POST /api/recipes/check": {"content": recipe_text()},
        "POST /effects/upload": {"content": SOURCE_EXAMPLE + f"# {uuid4().hex}\n"},
        "POST /cache/upload": {"files": {"file": uuid4().bytes}},
        "POST /storage": {"data": {"type": "local", "name": "x", "path": "/nowhere"}},
        "POST /storage/add": {"json": {"type": "local", "name": "x", "settings": {"path": "/nowhere"}}},
    }
    if template == "/cache/import":
        more["params"] = {"path": "/etc/passwd"}
    if route == "DELETE /api/dlq/{letter_id}":
        more["params"] = {"reason": "nobody needs it"}
    if template == "/.well-known/webfinger":
        more["params"] = {"resource": "acct:nobody@nowhere"}
    return method, path, more | bodies.get(route, {})


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


async def ask(client: httpx.AsyncClient, route: str, ids: dict[str, str]) -> httpx.Response:
    """Send a request, all in one trace, which answers name; of an answer that goes on, only the beginning is read."""
    method, path, more = request_of(route, ids)
    more["headers"] = {**more.get("headers", {}), "traceparent": TRACE}
    if path.endswith("/events"):
        async with client.stream(method, path, **more) as answer:
            if answer.status_code != 200:
                await answer.aread()
            return answer
    return await client.request(method, path, **more)


def plain(answer: httpx.Response, ids: dict[str, str]) -> tuple[int, str]:
    """Return an answer as it would be for any id."""
    text = answer.text if answer.request.method != "HEAD" else ""
    for each in sorted(set(ids.values()), key=len, reverse=True):
        text = text.replace(each, "…")
    return answer.status_code, text


def test_every_route_has_a_rule(document: dict[str, Any]) -> None:
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert routes - set(RULE_OF) == set(), "decide who may use it, in RULES"
    assert set(RULE_OF) - routes == set(), "these are gone"


def by(*rules: Rule) -> list[str]:
    return [route for rule in rules for route in RULES[rule]]


@pytest.mark.parametrize("route", by(*Rule))
async def test_a_token_that_is_no_good_is_refused_and_never_nobodys(
    route: str, things: dict[str, Things], bad_tokens: dict[str, httpx.AsyncClient], nobody: httpx.AsyncClient
) -> None:
    """Revoked, for another server, or made up: also where nobody would be let in, and for what is published."""
    if RULE_OF[route] is Rule.ENTRANCE:
        return
    for which in (PRIVATE, PUBLISHED):
        for name, client in bad_tokens.items():
            answer = await ask(client, route, things[which].ids)
            if RULE_OF[route] is Rule.OPEN:
                usual = (await ask(nobody, route, things[which].ids)).status_code
                assert answer.status_code == usual or route == "GET /ready", name
            else:
                assert answer.status_code == 401, (name, which, answer.text)


@pytest.mark.parametrize("route", by(Rule.SEEN, Rule.CHANGED, Rule.PERSONAL))
async def test_what_is_private_is_not_there_for_others(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, mallory: Person
) -> None:
    """Nothing tells a thing that others have from one that does not exist."""
    ids = things[PRIVATE].ids
    absent = ids | UNKNOWN
    answer = await ask(mallory.api, route, ids)
    assert answer.status_code == 404, answer.text
    assert plain(answer, ids) == plain(await ask(mallory.api, route, absent), absent)
    unsigned = await ask(nobody, route, ids)
    assert unsigned.status_code == (404 if RULE_OF[route] is Rule.SEEN else 401), unsigned.text
    assert plain(unsigned, ids) == plain(await ask(nobody, route, absent), absent)


@pytest.mark.parametrize("route", by(Rule.SEEN))
async def test_what_is_published_is_there_for_all(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, mallory: Person, ada: Person
) -> None:
    ids = things[PUBLISHED].ids
    own = await ask(ada.api, route, ids)
    async with asyncio.timeout(120):
        while own.status_code == 202:  # it is being made
            own = await ask(ada.api, route, ids)
    for client in (nobody, mallory.api):
        answer = await ask(client, route, ids)
        assert answer.status_code == own.status_code, answer.text
        if answer.status_code == 404:
            assert answer.request.method == "HEAD" or answer.json()["code"] in ABSENT_CODES, answer.text


@pytest.mark.parametrize("route", by(Rule.CHANGED))
async def test_what_is_published_is_nobody_elses_to_change(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, mallory: Person, ada: Person
) -> None:
    ids = things[PUBLISHED].ids
    assert (await ask(nobody, route, ids)).status_code == 401
    answer = await ask(mallory.api, route, ids)
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == "not-yours"


@pytest.mark.parametrize("route", by(Rule.PERSONAL))
async def test_publishing_gives_nothing_else_away(
    route: str, things: dict[str, Things], mallory: Person, nobody: httpx.AsyncClient
) -> None:
    ids = things[PUBLISHED].ids
    if route.endswith("/export"):
        return  # of a published run: its record is public
    assert (await ask(mallory.api, route, ids)).status_code == 404
    assert (await ask(nobody, route, ids)).status_code == 401


@pytest.mark.parametrize("route", by(Rule.LISTED))
async def test_lists_and_counts_are_of_what_one_sees(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, mallory: Person, ada: Person
) -> None:
    path = route.partition(" ")[2]
    own = await ada.api.get(path, params={"limit": 200})
    assert any(mark in own.text for mark in things[PRIVATE].marks)
    for client in (nobody, mallory.api):
        page = await client.get(path, params={"limit": 200})
        assert page.status_code == 200
        assert not any(mark in page.text for mark in things[PRIVATE].marks)
        body = page.json()
        listed = next(value for value in body.values() if isinstance(value, list))
        assert body["total"] == len(listed) or body["next"]


@pytest.mark.parametrize("route", by(Rule.MADE))
async def test_what_is_made_needs_somebody_to_make_it(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, mallory: Person, ada: Person
) -> None:
    """And of things that are not theirs, nobody makes anything."""
    ids = things[PRIVATE].ids
    assert (await ask(nobody, route, ids)).status_code == 401
    answer = await ask(mallory.api, route, ids)
    uses = "recipe" in str(request_of(route, ids)[2]) or "{recipe}" in route or route == "POST /api/execute"
    if uses and "upload" not in route:
        assert answer.status_code == 404, answer.text
    else:
        assert answer.status_code not in (401, 403, 404), answer.text
    assert not any(mark in answer.text for mark in set(things[PRIVATE].marks) - {ids["recipe"], ids["run_id"]})
    mine = await ask(ada.api, route, ids)
    assert mine.status_code not in (401, 403, 404), mine.text


@pytest.mark.parametrize("route", by(Rule.OPERATED))
async def test_what_is_the_operators_is_nobody_elses(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, mallory: Person, operator: Person
) -> None:
    ids = things[PRIVATE].ids | {"user_id": UNKNOWN["user_id"]}
    assert (await ask(nobody, route, ids)).status_code == 401
    assert (await ask(mallory.api, route, ids)).status_code == 403
    assert (await ask(operator.api, route, ids)).status_code not in (401, 403)


@pytest.mark.parametrize("route", by(Rule.OPEN))
async def test_what_is_open_tells_everybody_the_same(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, ada: Person
) -> None:
    ids = things[PRIVATE].ids
    answers = [await ask(client, route, ids) for client in (nobody, ada.api)]
    # Whether all is ready may change from one to the other.
    assert answers[0].status_code == answers[1].status_code or route == "GET /ready"
    assert not any(mark in answers[1].text for mark in things[PRIVATE].marks)


async def test_no_method_does_what_is_not_documented(
    document: dict[str, Any], documented: Documented, things: dict[str, Things], mallory: Person
) -> None:
    """Also not by a header that claims to be the method."""
    ids = things[PRIVATE].ids
    for template, methods in document["paths"].items():
        path = re.sub(r"{(\w+)}", lambda found: ids[found[1]], template)
        known = {method.upper() for method in methods}
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "HEAD", "OPTIONS"):
            if documented.route("GET" if method == "HEAD" else method, path):
                continue
            answer = await mallory.api.request(method, path, headers={"X-HTTP-Method": "DELETE"})
            if method == "OPTIONS" and answer.status_code == 204:
                continue  # what it takes, and nothing done
            assert answer.status_code in (404, 405, 415), (method, template, answer.text)
            if answer.status_code == 405:
                assert known <= set(answer.headers["allow"].split(", ")), (method, template)
                assert method not in answer.headers["allow"].split(", ")


@pytest.mark.parametrize("route", by(Rule.OPAQUE))
async def test_what_is_said_tells_nothing(
    route: str, things: dict[str, Things], nobody: httpx.AsyncClient, mallory: Person
) -> None:
    ids = things[PRIVATE].ids
    absent = ids | UNKNOWN
    for client in (nobody, mallory.api):
        assert plain(await ask(client, route, ids), ids) == plain(await ask(client, route, absent), absent)


@pytest.mark.parametrize(
    "route",
    sorted(by(Rule.SEEN, Rule.PERSONAL, Rule.CHANGED), key=lambda route: str(route).startswith("DELETE")),
)
async def test_whose_it_is_may(route: str, things: dict[str, Things], ada: Person) -> None:
    """Last, for some of it is gone then."""
    answer = await ask(ada.api, route, things[PRIVATE].ids)
    assert answer.status_code not in (401, 403), answer.text
    if answer.status_code == 404 and answer.request.method != "HEAD":
        gone = ("recipe-not-found",) if route == "DELETE /configs/{recipe}" else ()  # by its other name, just now
        assert answer.json()["code"] in (*ABSENT_CODES, "not-published", *gone), answer.text
