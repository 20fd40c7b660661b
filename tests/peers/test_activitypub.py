"""What other servers understand of this one, and it of them: by Fedify, an independent ActivityPub library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import httpx
import pytest

from artdag_cli.system import System
from artdag_common.errors import SignatureError
from artdag_common.federation import l2 as module
from artdag_common.federation.documents import ACTIVITY_JSON, Documents, Published, encode, in_context
from artdag_common.federation.l2 import L2
from artdag_common.federation.signatures import read_key

STREAMS = "https://www.w3.org/ns/activitystreams"
PUBLIC = f"{STREAMS}#Public"
TERMS = "urn:artdag:ns:"


@pytest.fixture
async def wire(fedify: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the peer."""
    async with httpx.AsyncClient(base_url=fedify, timeout=90) as client:
        yield client


@pytest.fixture(scope="session")
async def api(live: System) -> AsyncIterator[httpx.AsyncClient]:
    """A client of ours, with the owner's token."""
    headers = {"Authorization": f"Bearer {live.token}"}
    address = live.url.replace("localhost", "127.0.0.1")
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
async def l2(live: System, fedify: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[L2]:
    """Our client of a registry, which the peer is; the peer has to load a lot at first."""
    monkeypatch.setattr(module, "TIMES", aiohttp.ClientTimeout(total=90, sock_connect=30))
    it = L2(fedify, live.url, "")
    yield it
    await it.close()


async def understood(wire: httpx.AsyncClient, kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return what the peer makes of a document."""
    answer = await wire.post("/read", json={"type": kind, "document": document})
    assert answer.status_code == 200, answer.json()["detail"]
    return dict(answer.json())


async def get(api: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    answer = await api.get(path, headers={"Accept": ACTIVITY_JSON})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == ACTIVITY_JSON
    return dict(answer.json())


def own_key(live: System) -> Any:
    return read_key(str(Path(live.state) / "actor.key"))


# --- signatures -----------------------------------------------------------------------------------------------------


async def test_the_peer_takes_what_we_sign(live: System, l2: L2) -> None:
    """It fetches our actor from the running system, and our key with it."""
    documents = Documents(live.url)
    what = Published("1", "bafy", "video/mp4", "Cat", "", datetime.now(UTC))
    answer = await l2.deliver(encode(in_context(documents.create(what))), own_key(live), documents.key_id)
    assert answer.taken, answer.reason


async def test_the_peer_refuses_what_another_key_signed(live: System, l2: L2) -> None:
    from artdag_common.federation.signatures import new_key, private_key

    documents = Documents(live.url)
    answer = await l2.deliver(b"{}", private_key(new_key()), documents.key_id)
    assert (answer.taken, answer.reason) == (False, "401: not signed")


async def test_we_take_what_the_peer_signs_once_and_as_it_is(live: System, wire: httpx.AsyncClient, l2: L2) -> None:
    body = b'{"type": "Accept"}'
    url = f"{live.url}/actor/inbox"
    headers = (await wire.post("/sign", json={"url": url, "body": body.decode()})).json()
    assert "signature-input" in headers
    for address, content in ((f"{url}?a", body), (url, body + b" ")):
        with pytest.raises(SignatureError):
            await l2.check_signed("POST", address, headers, content)
    await l2.check_signed("POST", url, headers, body)
    with pytest.raises(SignatureError, match="came before"):
        await l2.check_signed("POST", url, headers, body)


# --- documents ------------------------------------------------------------------------------------------------------


async def test_the_peer_understands_our_actor(live: System, api: httpx.AsyncClient, wire: httpx.AsyncClient) -> None:
    facts = await understood(wire, "Application", await get(api, "/actor"))
    actor = f"{live.url}/actor"
    assert (facts["id"], facts["inbox"], facts["outbox"]) == (actor, f"{actor}/inbox", f"{actor}/outbox")
    assert (facts["username"], facts["sharedInbox"]) == ("artdag", f"{actor}/inbox")
    assert facts["key"] == {"id": f"{actor}#main-key", "owner": actor, "algorithm": "RSASSA-PKCS1-v1_5"}


async def test_the_peer_understands_what_is_published(
    live: System, api: httpx.AsyncClient, wire: httpx.AsyncClient
) -> None:
    data = b"RIFF$\0\0\0WAVEfmt " + uuid4().bytes
    cid = (await api.post("/cache/upload", files={"file": ("a.wav", data)})).json()["cid"]
    said = {"name": "Noise", "description": "<i>much</i>\nof it"}
    publication = (await api.post(f"/cache/{cid}/publish", json=said)).json()["published"]
    created = await get(api, httpx.URL(publication["activity"]["id"]).path)
    facts = await understood(wire, "Create", created)
    assert (facts["type"], facts["actor"], facts["to"]) == ("Create", f"{live.url}/actor", [PUBLIC])
    assert facts["object"] == {"id": publication["object"], "type": "Audio"}
    served = await get(api, httpx.URL(publication["object"]).path)
    assert served == await get(api, f"/cache/{cid}")
    facts = await understood(wire, "Audio", served)
    assert (facts["name"], facts["content"]) == ("Noise", "&lt;i&gt;much&lt;/i&gt;<br>of it")
    assert (facts["attributedTo"], facts["to"]) == ([f"{live.url}/actor"], [PUBLIC])
    assert facts["urls"] == [[f"{live.url}/cache/{cid}/raw", "audio/wav"]]

    (await api.delete(f"/cache/{cid}/publish")).raise_for_status()
    tombstone = await get(api, httpx.URL(publication["object"]).path, 410)
    facts = await understood(wire, "Tombstone", tombstone)
    assert (facts["id"], facts["type"]) == (publication["object"], "Tombstone")
    standing = (await api.get(f"/cache/{cid}/publish")).json()
    deleted = await get(api, httpx.URL(standing["activities"][0]["id"]).path)
    facts = await understood(wire, "Delete", deleted)
    assert facts["object"] == {"id": publication["object"], "type": "Tombstone"}


async def test_the_peer_understands_our_own_words(wire: httpx.AsyncClient) -> None:
    """The context defines them, so that they are kept apart from anybody else's."""
    record = {"recipe": "dog", "inputs": [{"name": "cat", "cid": "bafyin"}], "output": {"name": "o", "cid": "bafy"}}
    what = Published("1", "bafy", "video/mp4", "Cat", "", datetime.now(UTC), "", "r-1", "bafyr", "bafyp", record)
    document = in_context(Documents("https://l1.example").object(what))
    answer = await wire.post("/expand", json={"document": document})
    (expanded,) = answer.json()
    assert expanded[f"{TERMS}cid"] == [{"@value": "bafy"}]
    (provenance,) = expanded[f"{TERMS}provenance"]
    assert {name.removeprefix(TERMS): value for name, value in provenance.items()} == {
        "run_id": [{"@value": "r-1"}],
        "inputs": [{"@list": [{f"{STREAMS}#name": [{"@value": "cat"}], f"{TERMS}cid": [{"@value": "bafyin"}]}]}],
        "output": [{f"{STREAMS}#name": [{"@value": "o"}], f"{TERMS}cid": [{"@value": "bafy"}]}],
        "recipe": [{"@value": "dog"}],
        "recipe_cid": [{"@value": "bafyr"}],
        "provenance_cid": [{"@value": "bafyp"}],
    }


async def test_the_peer_understands_our_outbox(api: httpx.AsyncClient, wire: httpx.AsyncClient) -> None:
    ids = []
    for number in range(2):
        cid = (await api.post("/cache/upload", files={"file": ("a.bin", uuid4().bytes)})).json()["cid"]
        answer = await api.post(f"/cache/{cid}/publish", json={"name": f"Thing {number}"})
        ids.append(answer.json()["published"]["activity"]["id"])
    head = await understood(wire, "OrderedCollection", await get(api, "/actor/outbox"))
    assert head["total"] >= 2
    first = httpx.URL(head["first"])
    page = await understood(wire, "OrderedCollectionPage", await get(api, first.raw_path.decode()))
    assert page["partOf"] == head["id"]
    assert page["items"][:2] == [["Create", ids[1]], ["Create", ids[0]]]


async def test_nodeinfo_names_the_software(api: httpx.AsyncClient) -> None:
    (link,) = (await api.get("/.well-known/nodeinfo")).json()["links"]
    said = (await api.get(httpx.URL(link["href"]).path)).json()
    assert (said["version"], said["software"]["name"], said["protocols"]) == ("2.1", "artdag", ["activitypub"])
