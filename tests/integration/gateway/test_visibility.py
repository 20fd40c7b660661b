"""Whose is what, on a server that several people use: what is another's is not there, and what is published is.

Ann has things, Ben asks for them. Each refusal is compared with the one for something that does not exist at all.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.backing import free_port
from artdag_cli.system import System
from artdag_common.cid import cid_of
from artdag_common.commands import AttachToken
from artdag_common.config import Settings
from artdag_common.domain.access import hash_token
from artdag_common.messaging.bus import Bus
from services.gateway.wiring import gateway
from tests.integration.events.appends import eventually

PATCH = {"Content-Type": "application/merge-patch+json"}
YAML = {"Content-Type": "application/yaml"}
EFFECT = """# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy"]
#
# [tool.artdag]
# name = "{name}"
# version = "1.0.0"
# author = "{author}"
# description = "As it is."
# ///
def process_frame(frame, params, state):
    return frame, state
"""


@dataclass
class Person:
    """Somebody, and a client that speaks for them at the shared server."""

    id: str
    client: httpx.AsyncClient

    async def upload(self, data: bytes, name: str = "") -> str:
        said = {"name": name} if name else {}
        answer = await self.client.post("/cache/upload", files={"file": ("a.bin", data)}, data=said)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["cid"])

    async def post(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.client.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    async def recipe(self, text: str) -> dict[str, Any]:
        answer = await self.client.post("/recipes/upload", content=text, headers=YAML)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def effect(self, source: str) -> str:
        answer = await self.client.post("/effects/upload", content=source, headers={"Content-Type": "text/x-python"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["cid"])

    async def events(self, run_id: str) -> str:
        """Return a run's live stream, to its end."""
        answer = await self.client.get(f"/runs/{run_id}/events")
        assert answer.status_code == 200, answer.text
        return answer.text

    async def rendered(self, recipe: str, *inputs: str, name: str = "") -> dict[str, Any]:
        started = await self.post("/runs", {"recipe": recipe, "inputs": list(inputs), "output_name": name})
        await self.events(started["run_id"])
        run = (await self.client.get(f"/runs/{started['run_id']}")).json()
        assert run["status"] == "completed", run
        return dict(run)

    async def json(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
async def shared(live: System) -> AsyncIterator[str]:
    """Address of a gateway of the running system that has a registry, so that several people use it."""
    port = free_port()
    own = {"HOST": "127.0.0.1", "PORT": port, "L2_SERVER": "http://127.0.0.1:9", "L2_DOMAIN": "l2.example"}
    async with gateway(Settings.model_validate(live.environment | own)):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
async def somebody(bus: Bus, shared: str) -> AsyncIterator[Callable[[str], Awaitable[Person]]]:
    """Sign somebody new in."""
    clients: list[httpx.AsyncClient] = []

    async def sign_in(name: str) -> Person:
        token, user = uuid4().hex, f"u-{name}{uuid4().hex[:8]}"
        outcome = await bus.request(AttachToken(hash_token(token), user), uuid4().hex, 60)
        assert outcome
        assert outcome.accepted, outcome
        client = httpx.AsyncClient(base_url=shared, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        clients.append(client)

        async def known() -> bool:
            return (await client.get("/api/usage")).status_code == 200

        await eventually(known, "a user who is signed in")
        return Person(user, client)

    yield sign_in
    for client in clients:
        await client.aclose()


@pytest.fixture
async def ann(somebody: Callable[[str], Awaitable[Person]]) -> Person:
    """Somebody who has things."""
    return await somebody("ann")


@pytest.fixture
async def ben(somebody: Callable[[str], Awaitable[Person]]) -> Person:
    """Somebody else."""
    return await somebody("ben")


@pytest.fixture(scope="module")
async def anybody(shared: str) -> AsyncIterator[Person]:
    """Whoever is not signed in."""
    async with httpx.AsyncClient(base_url=shared, timeout=60) as client:
        yield Person("", client)


@pytest.fixture(scope="module")
async def operator(live: System, shared: str) -> AsyncIterator[Person]:
    """The local owner."""
    headers = {"Authorization": f"Bearer {live.token}"}
    async with httpx.AsyncClient(base_url=shared, headers=headers, timeout=60) as client:
        yield Person("owner", client)


def chain(name: str, steps: int = 2, salt: str = "") -> str:
    """A recipe of no-op steps."""
    salt = salt or uuid4().hex
    lines = [f"name: {name}", "inputs:", "  media: {type: any, description: anything}", "steps:"]
    before = "media"
    for i in range(steps):
        lines.append(f"  - {{id: s{i}, type: NOOP, inputs: [{before}], config: {{salt: {salt}-{i}}}}}")
        before = f"s{i}"
    return "\n".join([*lines, f"output: {before}", ""])


def reading(cid: str, source: str = "cid") -> str:
    """A recipe that names content itself."""
    return (
        f"name: reads\ndag:\n  nodes:\n    - {{id: a, type: SOURCE, config: {{{source}: {cid}}}}}\n"
        "    - {id: b, type: NOOP, inputs: [a], config: {salt: x}}\n  output: b\n"
    )


def sound(hertz: float, seconds: float = 1.0) -> bytes:
    """A tone, as WAV."""
    rate = 8000
    wave = (int(12_000 * math.sin(2 * math.pi * hertz * i / rate)) for i in range(round(rate * seconds)))
    samples = b"".join(struct.pack("<h", each) for each in wave)
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(samples),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate,
        rate * 2,
        2,
        16,
        b"data",
        len(samples),
    )
    return head + samples


@dataclass
class Things:
    """What somebody has: names, and where they are found."""

    word: str
    data: bytes
    input: str
    recipe: dict[str, Any]
    effect: str
    run: dict[str, Any]


async def things_of(person: Person) -> Things:
    """Let somebody have one of everything, with a word in every name."""
    word = f"w{uuid4().hex[:10]}"
    data = uuid4().bytes
    cid = await person.upload(data, f"{word}-input")
    recipe = await person.recipe(chain(f"{word}-recipe"))
    effect = await person.effect(EFFECT.format(name=f"{word}-effect", author=word))
    run = await person.rendered(recipe["recipe_id"], cid, name=f"{word}-output")
    await person.client.patch(f"/cache/{cid}/meta", json={"description": f"{word} says", "tags": [word]}, headers=PATCH)
    return Things(word, data, cid, recipe, effect, run)


LISTS = ("/cache", "/media", "/assets", "/runs", "/recipes", "/configs", "/effects")


async def counted(person: Person) -> dict[str, int]:
    return {path: (await person.json(f"{path}?limit=1"))["total"] for path in LISTS}


# --- nobody else's --------------------------------------------------------------------------------------------------


async def test_what_is_another_s_is_on_no_list_and_in_no_count(ann, ben, anybody, operator):
    others = (ben, anybody, operator)
    before = [await counted(each) for each in others]
    own = await counted(ann)
    things = await things_of(ann)
    await ann.upload(b"\x89PNG\r\n\x1a\n" + uuid4().bytes, f"{things.word}-picture")
    for path in LISTS:
        assert things.word in (await ann.client.get(f"{path}?limit=200")).text or path == "/cache", path
        assert (await counted(ann))[path] > own[path]
        for each in others:
            shown = (await each.client.get(f"{path}?limit=200")).text
            assert things.word not in shown, (path, each.id)
            assert ann.id not in shown, (path, each.id)
    assert [await counted(each) for each in others] == before
    for query in (f"name={things.word}", f"tag={things.word}", f"owner={ann.id}"):
        assert (await ann.json(f"/cache?{query}"))["total"]
        for each in others:
            assert (await each.json(f"/cache?{query}"))["objects"] == []
    for path in ("/runs", "/recipes", "/media"):
        assert (await ben.json(f"{path}?owner={ann.id}"))["total"] == 0
        assert (await ann.json(f"{path}?owner=me"))["total"]
        assert (await anybody.client.get(f"{path}?owner=me")).status_code == 401


Ask = tuple[str, str, Any]

READS: tuple[str, ...] = (
    "/runs/RUN",
    "/api/run/RUN",
    "/api/run/RUN/plan",
    "/api/run/RUN/analysis",
    "/runs/RUN/events",
    "/cache/CID",
    "/cache/CID/raw",
    "/cache/CID/meta",
    "/cache/CID/mp4",
    "/cache/CID/thumbnail",
    "/cache/CID/poster",
    "/cache/CID/waveform",
    "/cache/CID/spectrogram",
    "/cache/CID/publish",
    "/ipfs/CID",
    "/ipfs/CID/raw",
    "/cache/OUTPUT/raw",
    "/cache/PLAN/raw",
    "/cache/PROVENANCE/raw",
    "/cache/RECIPE/raw",
    "/cache/SOURCE/raw",
    "/cache/EFFECT/raw",
    "/recipes/RECIPE",
    "/recipes/NAME-recipe",
    "/configs/RECIPE",
    "/effects/EFFECT",
    "/effects/NAME-effect",
    "/effects/EFFECT/source",
)
WRITES: tuple[Ask, ...] = (
    ("GET", "/api/run/RUN/export", None),
    ("POST", "/runs/RUN/cancel", {}),
    ("DELETE", "/runs/RUN", None),
    ("POST", "/runs/RUN/publish", {"name": "mine"}),
    ("POST", "/api/execute", {"run_id": "RUN"}),
    ("DELETE", "/cache/CID", None),
    ("PATCH", "/cache/CID/meta", {"name": "mine"}),
    ("POST", "/cache/CID/publish", {"name": "mine"}),
    ("DELETE", "/cache/CID/publish", None),
    ("DELETE", "/recipes/RECIPE", None),
    ("DELETE", "/recipes/NAME-recipe", None),
    ("POST", "/recipes/RECIPE/run", {"inputs": []}),
    ("DELETE", "/effects/EFFECT", None),
    ("POST", "/runs", {"recipe": "RECIPE", "inputs": []}),
    ("POST", "/runs", {"recipe": "NAME-recipe", "inputs": []}),
    ("POST", "/runs", {"recipe": "EFFECT", "inputs": []}),
    ("POST", "/runs", {"recipe": "NAME-effect", "inputs": []}),
    ("POST", "/runs", {"recipe": "identity", "inputs": ["CID"]}),
    ("POST", "/runs", {"recipe": "identity", "inputs": ["NAME-input"]}),
    ("POST", "/runs", {"recipe": "identity", "inputs": {"nonsense": "CID"}}),
    ("POST", "/api/plan", {"recipe": "identity", "inputs": ["CID"]}),
    ("POST", "/api/run-recipe", {"recipe": "identity", "inputs": ["OUTPUT"]}),
    ("POST", "/runs", {"recipe": reading("CID"), "inputs": []}),
    ("POST", "/runs", {"recipe": reading("NAME-input", "asset"), "inputs": []}),
    ("POST", "/runs", {"recipe": "name: x\ninputs: {a: {default: CID}}\nsteps:\n"
                                 "  - {id: b, type: NOOP, inputs: [a], config: {salt: x}}\noutput: b\n"}),
    ("POST", "/runs", {"recipe": "name: x\ninputs: {a: {}}\nsteps:\n"
                                 "  - {id: b, type: EFFECT, inputs: [a], config: {effect: EFFECT, params: {no: 1}}}\n"
                                 "output: b\n"}),
    ("POST", "/runs", {"recipe": "name: x\nregistry: {effects: {mine: {cid: EFFECT}}}\ndag:\n  nodes:\n"
                                 "    - {id: a, type: SOURCE_LIST, config: {input: true}}\n"
                                 "    - {id: m, type: MAP, inputs: [a], config: {operation: EFFECT, effect: mine}}\n"
                                 "    - {id: s, type: SEQUENCE, inputs: [m]}\n  output: s\n"}),
)  # fmt: skip


MEANT = r"; (?:did you mean|known are) ([^\"\\]*)"


def filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\b(RUN|CID|OUTPUT|PLAN|PROVENANCE|RECIPE|SOURCE|EFFECT|NAME)\b", lambda m: values[m[1]], text)


def said(answer: httpx.Response, values: dict[str, str]) -> tuple[int, str]:
    """Return an answer without the ids that were asked for, so that those to different ids can be compared.

    What may be meant depends on the name that was asked for, and is among what one has: nothing of what was asked for.
    """
    text = answer.text
    for value in sorted(values.values(), key=len, reverse=True):
        text = text.replace(value, "…")
    meant = re.search(MEANT, text)
    assert meant is None or "…" not in meant[1], text
    return answer.status_code, re.sub(MEANT, "", text)


IN_A_TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
"""Answers name the trace of their request."""


async def test_what_is_another_s_is_answered_as_what_is_not_there(ann, ben, anybody, operator):
    """Word for word, in every route, for every kind of thing, to all who are not its owner."""
    things = await things_of(ann)
    run = things.run
    theirs = {
        "RUN": run["run_id"],
        "CID": things.input,
        "OUTPUT": run["output_cid"],
        "PLAN": run["plan_cid"],
        "PROVENANCE": run["provenance_cid"],
        "RECIPE": things.recipe["recipe_id"],
        "SOURCE": things.recipe["source_cid"],
        "EFFECT": things.effect,
        "NAME": things.word,
    }
    absent = {name: cid_of(uuid4().bytes) for name in theirs} | {"RUN": str(uuid4()), "NAME": f"w{uuid4().hex[:10]}"}
    every = [("GET", path, None) for path in READS] + list(WRITES)

    async def asked(each: Person, ask: Ask, values: dict[str, str]) -> tuple[int, str]:
        method, path, body = ask
        sent = {"json": json.loads(filled(json.dumps(body), values))} if body is not None else {}
        return said(await each.client.request(method, filled(path, values), headers=IN_A_TRACE, **sent), values)

    for ask in every:
        allowed = (307,) if ask[1] == "/ipfs/CID" else (404, 422)  # to a gateway, whatever it is
        for each in (ben, operator, anybody):
            answer = await asked(each, ask, theirs)
            if each is anybody and ask in WRITES:
                assert answer[0] == 401, (ask, answer)
                continue
            assert answer[0] in allowed, (ask, answer)
            assert answer == await asked(each, ask, absent), (each.id, ask)
    assert (await ann.json(f"/runs/{run['run_id']}"))["status"] == "completed"
    assert (await ann.client.get(f"/cache/{things.input}/raw")).content == things.data


async def test_nobody_is_told_of_names_that_are_another_s(ann, ben):
    things = await things_of(ann)
    near = things.word[:-1] + "z"
    for method, path, body in (
        ("GET", f"/recipes/{near}-recipe", None),
        ("GET", f"/effects/{near}-effect", None),
        ("POST", "/runs", {"recipe": f"{near}-recipe", "inputs": []}),
        ("POST", "/runs", {"recipe": "identity", "inputs": [f"{near}-input"]}),
        ("POST", "/runs", {"recipe": reading(f"{near}-input", "asset"), "inputs": []}),
    ):
        sent = {"json": body} if body else {}
        own = await ann.client.request(method, path, **sent)
        other = await ben.client.request(method, path, **sent)
        assert things.word in own.text, (path, body)
        assert things.word not in other.text, (path, body)
        assert (own.status_code, other.status_code) in ((404, 404), (422, 422))


async def test_what_nobody_named_is_shown_as_one_s_own_run_was_to_call_it(ann, ben, anybody):
    word = f"w{uuid4().hex[:10]}"
    recipe = (
        f"name: r{uuid4().hex[:10]}\ninputs: {{music: {{type: audio}}}}\nsteps:\n"
        "  - {id: facts, type: ANALYZE, inputs: [music], config: {features: [metadata]}}\noutput: facts\n"
    )
    outs = set()
    for each, names in ((ann, (f"{word}-hers", "", f"{word}-hers-again", "")), (ben, ("his",))):
        # As long as no other sound here: its metadata would be theirs, and what is published of it, too.
        wav, known = await each.upload(sound(415.3, 1.25)), await each.recipe(recipe)
        outs |= {(await each.rendered(known["recipe_id"], wav, name=name))["output_cid"] for name in names}
    assert len(outs) == 1
    out, name = outs.pop(), f"{word}-hers-again"

    async def shown() -> bool:
        return (await ann.json(f"/cache/{out}/meta"))["title"] == name

    await eventually(shown, "the newest name of hers")
    for path in (f"/cache/{out}", f"/cache/{out}/meta"):
        found = await ann.json(path)
        assert (found["name"], found["title"], found["names"]) == (None, name, [])
    listed = (await ann.json(f"/cache?name={word.upper()}&kept=true"))["objects"]
    assert [(each["cid"], each["title"]) for each in listed] == [(out, name)]
    kept = (await ann.json("/cache?kept=true&owner=me"))["objects"]
    assert {each["cid"] for each in kept} == {wav, out}, "neither plans nor records"
    assert name in (await ann.client.get(f"/cache/{out}/raw")).headers["content-disposition"]
    # It is no name: nothing is found by it.
    assert word not in (await ann.client.get("/assets")).text
    refused = await ann.client.post("/runs", json={"recipe": "identity", "inputs": [name]})
    assert (refused.status_code, refused.json()["code"]) == (404, "content-not-found")
    # Ben sees his own, and nothing of hers.
    for path in (f"/cache/{out}", "/cache"):
        assert word not in (await ben.client.get(path)).text
    assert (await ben.json(f"/cache/{out}"))["title"] == "his"
    assert (await ben.json(f"/cache?name={word}"))["total"] == 0
    # A name that is given wins, her own and the one it is published under.
    await ann.post(f"/cache/{out}/publish", {"name": "Facts"})
    assert (await ann.json(f"/cache/{out}"))["title"] == "Facts"
    assert (await anybody.json(f"/cache/{out}"))["title"] == "Facts"
    assert name not in (await anybody.client.get(f"/cache/{out}")).text
    await ann.client.patch(f"/cache/{out}/meta", json={"name": "mine"}, headers=PATCH)
    assert (await ann.json(f"/cache/{out}"))["title"] == "mine"


async def test_an_upload_that_goes_on_is_its_owner_s(ann, ben):
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
    begun = await ann.client.post("/cache/uploads", headers=headers)
    path = begun.headers["Location"]
    assert (await ann.client.get(path)).json()["offset"] == 0
    for method in ("GET", "HEAD", "PATCH", "DELETE"):
        more = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        for place in (path, f"/cache/uploads/{uuid4().hex}"):
            assert (await ben.client.request(method, place, headers=headers | more)).status_code == 404, method
    assert (await ann.client.get(path)).json()["offset"] == 0


async def test_a_held_plan_is_its_owner_s(ann, ben):
    things = await things_of(ann)
    text, salt = chain("plan", 1, uuid4().hex), uuid4().bytes
    await ben.upload(salt)
    await ann.upload(salt)
    body = {"recipe": text, "inputs": [cid_of(salt)]}
    theirs, own = await ann.post("/api/plan", body), await ben.post("/api/plan", body)
    assert (theirs["plan_id"], theirs["plan_cid"]) == (own["plan_id"], own["plan_cid"]), "equal work has equal plans"
    assert theirs["run_id"] != own["run_id"]
    done = await ben.post("/api/execute", {"plan_id": own["plan_id"]})
    assert done["run_id"] == own["run_id"]
    assert (await ann.json(f"/runs/{theirs['run_id']}"))["status"] == "planned", "it waits for Ann"
    refused = await ben.client.post("/api/execute", json={"plan_cid": theirs["plan_cid"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "run-not-planned"), "Ben's own was executed"
    only = await ann.post("/api/plan", {"recipe": things.recipe["recipe_id"], "inputs": [things.input]})
    refused = await ben.client.post("/api/execute", json={"plan_id": only["plan_id"]})
    assert (refused.status_code, refused.json()["code"]) == (404, "run-not-found")


async def test_what_became_of_a_command_is_told_to_who_sent_it(live, ann, ben, anybody):
    data = uuid4().bytes
    cid = await ann.upload(data)
    books = live.supervisor.children["cache"].pid
    os.kill(books, signal.SIGSTOP)  # else it may have answered before anybody looks
    try:
        pending = await ann.client.delete(f"/cache/{cid}", headers={"Prefer": "wait=0"})
    finally:
        os.kill(books, signal.SIGCONT)
    assert pending.status_code == 202, pending.text
    path = pending.json()["links"]["command"]

    async def handled() -> bool:
        return bool((await ann.json(path))["status"] == "accepted")

    await eventually(handled, "a command that is handled")
    for each in (ben, anybody):
        assert await each.json(path) == {"command_id": path.rpartition("/")[2], "status": "pending"}


# --- published ------------------------------------------------------------------------------------------------------


async def test_what_is_published_is_seen_with_how_it_was_made_and_no_more(ann, ben, anybody):
    things = await things_of(ann)
    run, word = things.run, f"P{uuid4().hex[:8]}"
    # Its output is not its input, so that one can be seen and the other not.
    wav = await ann.upload(sound(440.0))
    recipe = await ann.recipe(
        f"name: {things.word}-analysis\ninputs: {{music: {{type: audio}}}}\nsteps:\n"
        "  - {id: facts, type: ANALYZE, inputs: [music], config: {features: [metadata]}}\noutput: facts\n"
    )
    run = await ann.rendered(recipe["recipe_id"], wav, name=f"{things.word}-output")
    out, run_id = run["output_cid"], run["run_id"]
    before = {each.id: await counted(each) for each in (ben, anybody)}
    await ann.post(f"/cache/{out}/publish", {"name": word, "description": "for all"})
    for each in (ben, anybody):
        shown = await each.json(f"/runs/{run_id}")
        assert (shown["owner"], shown["output_cid"], shown["inputs"]) == (ann.id, out, run["inputs"])
        plan = await each.json(f"/api/run/{run_id}/plan")
        assert [step["status"] for step in plan["steps"]] == ["cached", "completed"]
        analyses = (await each.json(f"/api/run/{run_id}/analysis"))["analyses"]
        assert "RunCompleted" in await each.events(run_id)
        records = [out, run["plan_cid"], run["provenance_cid"], recipe["recipe_id"], recipe["source_cid"]]
        for cid in (*records, *(analysis["cid"] for analysis in analyses)):
            answer = await each.client.get(f"/cache/{cid}/raw")
            assert (answer.status_code, cid_of(answer.content)) == (200, cid)
        assert (await each.json(f"/recipes/{recipe['recipe_id']}"))["owner"] == ann.id
        meta = await each.json(f"/cache/{out}")
        assert (meta["name"], meta["description"], meta["tags"]) == (word, "for all", [])
        assert [use["run_id"] for use in meta["used"]["runs"]] == [run_id]
        assert (await each.json(f"/cache?owner={ann.id}"))["total"] == 1
        grown = {path: total - before[each.id][path] for path, total in (await counted(each)).items()}
        assert grown == {
            "/cache": 1, "/media": 0, "/assets": 1, "/runs": 1, "/recipes": 1, "/configs": 1, "/effects": 0
        }  # fmt: skip
        for cid in (wav, things.input, things.recipe["recipe_id"], things.run["provenance_cid"]):
            assert (await each.client.get(f"/cache/{cid}/raw")).status_code == 404, "the rest is hers"
            assert (await each.client.get(f"/cache/{cid}")).status_code == 404
        assert (await each.client.get(f"/runs/{things.run['run_id']}")).status_code == 404
    for method, path, body in (
        ("POST", f"/runs/{run_id}/cancel", {}),
        ("DELETE", f"/runs/{run_id}", None),
        ("POST", f"/runs/{run_id}/publish", {"name": "mine"}),
        ("GET", f"/api/run/{run_id}/export", None),
        ("POST", "/api/execute", {"run_id": run_id}),
        ("DELETE", f"/cache/{out}", None),
        ("PATCH", f"/cache/{out}/meta", {"name": "mine"}),
        ("POST", f"/cache/{out}/publish", {"name": "mine"}),
        ("DELETE", f"/cache/{out}/publish", None),
        ("DELETE", f"/recipes/{recipe['recipe_id']}", None),
    ):
        sent = {"json": body} if body is not None else {}
        refused = await ben.client.request(method, path, **sent)
        assert (refused.status_code, refused.json()["code"]) == (403, "not-yours"), (path, refused.text)
        assert (await anybody.client.request(method, path, **sent)).status_code == 401, path
    # It may be used; by name too.
    planned = await ben.post("/api/plan", {"recipe": chain("uses"), "inputs": [word]})
    assert (await ben.json(f"/runs/{planned['run_id']}"))["inputs"][0]["cids"] == [out]
    # What she calls it for herself stays with her.
    await ann.client.patch(f"/cache/{out}/meta", json={"name": f"{things.word}-secret"}, headers=PATCH)
    assert things.word not in (await ben.client.get(f"/cache/{out}/meta")).text
    # Taken back, it is hers alone again, and Ben keeps what he used.
    assert (await ann.client.delete(f"/cache/{out}/publish")).status_code == 200
    assert await counted(anybody) == before[""]
    for path in (f"/cache/{out}/raw", f"/runs/{run_id}", f"/recipes/{recipe['recipe_id']}"):
        assert (await anybody.client.get(path)).status_code == 404, path
    assert (await ben.client.get(f"/runs/{run_id}")).status_code == 404
    assert (await ben.client.get(f"/cache/{out}/raw")).status_code == 200
    assert (await ben.client.post(f"/cache/{out}/publish", json={"name": "mine"})).status_code == 403, "it is an input"


async def test_names_mean_one_s_own_first(ann, ben):
    word = f"w{uuid4().hex[:10]}"
    theirs, own = await ann.upload(uuid4().bytes, word), await ben.upload(uuid4().bytes, word)
    await ann.post(f"/cache/{theirs}/publish", {"name": word})
    recipes = {each.id: await each.recipe(chain(word)) for each in (ann, ben)}
    effects = {each.id: await each.effect(EFFECT.format(name=word, author=each.id)) for each in (ann, ben)}
    await ann.post(f"/cache/{effects[ann.id]}/publish", {"name": "effect"})
    for each, cid in ((ann, theirs), (ben, own)):
        run = await each.rendered(word, word)
        assert (run["recipe_cid"], run["inputs"][0]["cids"]) == (recipes[each.id]["recipe_id"], [cid])
        assert (await each.json(f"/recipes/{word}"))["recipe_id"] == recipes[each.id]["recipe_id"]
        assert (await each.json(f"/effects/{word}"))["cid"] == effects[each.id]
    assert (await ben.client.delete(f"/effects/{word}")).json()["cid"] == effects[ben.id]
    assert (await ben.json(f"/effects/{word}"))["cid"] == effects[ann.id], "then what is published"


async def test_pictures_are_seen_with_what_they_show(ann, ben, held):
    wav = await ann.upload(sound(330.0))

    async def run_that_makes() -> str:
        waiting = await ann.client.get(f"/cache/{wav}/spectrogram", headers={"Prefer": "wait=0"})
        assert waiting.status_code == 202, waiting.text
        link = str(waiting.json()["links"]["run"])
        return link if (await ann.client.get(link)).status_code == 200 else ""

    run = await eventually(run_that_makes, "a run")
    assert (await ben.client.get(run)).status_code == 404
    held()

    async def picture() -> httpx.Response | None:
        answer = await ann.client.get(f"/cache/{wav}/waveform?width=160")
        return answer if answer.status_code == 200 else None

    made = await eventually(picture, "a waveform")
    cid = cid_of(made.content)
    assert (await ann.client.get(f"/cache/{cid}/raw")).content == made.content
    assert (await ben.client.get(f"/cache/{cid}/raw")).status_code == 404
    await ann.post(f"/cache/{wav}/publish", {"name": "tone"})
    assert (await ben.client.get(f"/cache/{cid}/raw")).content == made.content
    assert (await ben.client.get(run)).status_code == 200


# --- the same work --------------------------------------------------------------------------------------------------


async def test_equal_work_is_done_once_and_neither_learns_of_the_other(ann, ben):
    """Ann renders; then Ben brings the same bytes and the same recipe in other words, and renders too."""
    word = f"w{uuid4().hex[:10]}"
    wav, salt = sound(200.0 + uuid4().int % 4000), uuid4().hex
    hers = await ann.upload(wav, f"{word}-music")
    text = (
        "name: both\ninputs: {music: {type: audio}}\nsteps:\n"
        f"  - {{id: NODE, type: NOOP, inputs: [music], config: {{salt: {salt}}}}}\n"
        "  - {id: facts, type: ANALYZE, inputs: [NODE], config: {features: [metadata]}}\noutput: facts\n"
    )
    recipe = await ann.recipe(text.replace("NODE", word).replace("name: both", f"name: {word}"))
    first = await ann.rendered(recipe["recipe_id"], hers, name=f"{word}-out")
    await ann.recipe(f"# {word}\n{text.replace('NODE', 'n')}")
    await ann.client.patch(f"/cache/{hers}/meta", json={"description": word, "tags": [word]}, headers=PATCH)

    answer = await ben.client.post("/cache/upload", files={"file": ("b.wav", wav)})
    fresh = await ben.client.post("/cache/upload", files={"file": ("b.wav", sound(100.0 + uuid4().int % 90))})
    assert answer.status_code == fresh.status_code == 201
    assert answer.json().keys() == fresh.json().keys()
    own = await ben.recipe(text.replace("NODE", "n"))
    run = await ben.rendered(own["recipe_id"], hers)
    assert run["output_cid"] == first["output_cid"]
    assert (run["progress"]["cached"], run["progress"]["completed"]) == (3, 0), "nothing is computed twice"

    foreign = (ann.id, word, first["run_id"], recipe["recipe_id"], recipe["source_cid"], first["provenance_cid"])
    seen = [
        answer.text,
        await ben.events(run["run_id"]),
        (await ben.client.get(f"/api/run/{run['run_id']}/export")).content.decode("latin-1"),
    ]
    for path in (
        f"/runs/{run['run_id']}",
        f"/api/run/{run['run_id']}/plan",
        f"/api/run/{run['run_id']}/analysis",
        f"/recipes/{own['recipe_id']}",
        f"/cache/{own['source_cid']}/raw",
        *(
            f"/cache/{run[name]}{part}"
            for name in ("output_cid", "plan_cid", "provenance_cid")
            for part in ("", "/raw")
        ),
        f"/cache/{hers}",
        f"/cache/{hers}/meta",
        f"/cache/{own['recipe_id']}",
        *(f"{path}?limit=200" for path in LISTS),
        "/api/usage",
    ):
        got = await ben.client.get(path)
        assert got.status_code == 200, path
        seen.append(got.text)
    for text_seen in seen:
        for each in foreign:
            assert each not in text_seen, each
    stored, mine = (await ben.json(f"/cache/{hers}/meta")), (await ann.json(f"/cache/{hers}/meta"))
    assert stored["stored_at"] > mine["stored_at"], "it came to him when he brought it"
    assert (stored["origin"], stored["name"], stored["tags"]) == ("upload", None, [])

    # What she says of it does not show in what he is told, and does not stand in his way.
    tag = (await ben.client.get(f"/cache/{hers}/meta")).headers["etag"]
    await ann.client.patch(f"/cache/{hers}/meta", json={"name": "another"}, headers=PATCH)
    again = await ben.client.get(f"/cache/{hers}/meta", headers={"If-None-Match": tag})
    assert again.status_code == 304
    told = await ben.client.patch(f"/cache/{hers}/meta", json={"name": "his"}, headers=PATCH | {"If-Match": tag})
    assert told.status_code == 200, told.text
    # Neither does what he needs of it keep her from giving it up, nor tell her.
    assert (await ann.client.delete(f"/runs/{first['run_id']}")).status_code == 200
    gone = await ann.client.delete(f"/cache/{hers}")
    assert gone.json() == {"cid": hers, "deleted": True, "freed_bytes": len(wav)}, gone.text
    assert (await ann.client.get(f"/cache/{hers}/raw")).status_code == 404
    assert (await ben.client.get(f"/cache/{hers}/raw")).content == wav
    assert (await ben.json(f"/cache/{hers}"))["used"]["runs"][0]["run_id"] == run["run_id"]


async def test_two_wait_for_one_step_and_neither_sees_the_other_s_words(ann, ben, held):
    word, data, salt = f"w{uuid4().hex[:10]}", uuid4().bytes, uuid4().hex
    hers, his = await ann.upload(data), await ben.upload(data)
    first = await ann.post("/runs", {"recipe": chain(word, 2, salt), "inputs": [hers]})
    await asyncio.sleep(0)
    second = await ben.post("/runs", {"recipe": chain("plain", 2, salt), "inputs": [his]})
    held()
    events = await ben.events(second["run_id"])
    assert "StepCompleted" in events, "he waited for it too"
    assert word not in events
    assert first["run_id"] not in events
    export = (await ben.client.get(f"/api/run/{second['run_id']}/export")).content
    assert word.encode() not in export
    assert word not in (await ben.client.get(f"/api/run/{second['run_id']}/plan")).text


async def test_two_have_the_same_recipe_and_effect_and_one_gives_them_up(ann, ben, anybody):
    text, word = chain(f"both{uuid4().hex[:8]}"), f"w{uuid4().hex[:10]}"
    source = EFFECT.format(name=word, author="both")
    hers, his = await ann.recipe(f"# {word}\n{text}"), await ben.recipe(text)
    assert hers["recipe_id"] == his["recipe_id"]
    assert hers["source_cid"] != his["source_cid"]
    assert (hers["owner"], his["owner"]) == (ann.id, ben.id)
    assert (await ben.client.get(f"/cache/{hers['source_cid']}/raw")).status_code == 404
    effect = await ann.effect(source)
    assert await ben.effect(source) == effect
    for each in (ann, ben):
        assert (await each.json(f"/effects/{effect}"))["owner"] == each.id
        assert [row["recipe_id"] for row in (await each.json("/recipes?owner=me"))["recipes"]] == [hers["recipe_id"]]
    assert (await ann.client.delete(f"/recipes/{hers['recipe_id']}")).status_code == 200
    assert (await ann.client.delete(f"/effects/{effect}")).status_code == 200
    for path in (f"/recipes/{hers['recipe_id']}", f"/effects/{effect}", f"/cache/{hers['source_cid']}/raw"):
        assert (await ann.client.get(path)).status_code == 404, path
    data = uuid4().bytes
    assert (await ben.rendered(hers["recipe_id"], await ben.upload(data)))["status"] == "completed"
    assert (await ben.client.get(f"/effects/{effect}/source")).text == source
    assert (await ann.recipe(text))["recipe_id"] == hers["recipe_id"], "and it can come back"
    assert (await ann.json(f"/recipes/{hers['recipe_id']}"))["source_cid"] == his["source_cid"]
    assert (await anybody.client.get(f"/recipes/{hers['recipe_id']}")).status_code == 404


async def test_nobody_publishes_another_s_run_with_equal_bytes(ann, ben, anybody):
    """The output of a no-op is its input: Ben has the very bytes that Ann's run gave."""
    data = uuid4().bytes
    cid = await ann.upload(data)
    run = await ann.rendered(chain("equal", 1), cid)
    assert run["output_cid"] == cid
    await ben.upload(data)
    published = await ben.post(f"/cache/{cid}/publish", {"name": "mine"})
    assert published["published"]["run_id"] is None
    for path in (f"/runs/{run['run_id']}", f"/cache/{run['provenance_cid']}/raw"):
        assert (await anybody.client.get(path)).status_code == 404, path
    assert (await anybody.client.get(f"/cache/{cid}/raw")).content == data


# --- one person -----------------------------------------------------------------------------------------------------


async def test_a_personal_server_is_its_owner_s(api, stranger, asset, ann, anybody):
    """Whoever reaches it looks as the owner, who is one of several where there are several."""
    assert (await stranger.get(f"/cache/{asset}/raw")).status_code == 200
    assert (await anybody.client.get(f"/cache/{asset}/raw")).status_code == 404
    hers = await ann.upload(uuid4().bytes)
    for client in (api, stranger):
        assert (await client.get(f"/cache/{hers}/raw")).status_code == 404
    for path in ("/cache", f"/cache/{asset}/raw", "/runs", "/effects"):
        for client in (stranger, anybody.client):
            bad = await client.get(path, headers={"Authorization": "Bearer nobody's"})
            assert bad.status_code == 401, "a token that is none is not nobody"
