"""What is known of content: lists, details, what people say of it, what is public, what is imported."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from artdag_common.cid import cid_of
from artdag_common.commands import AttachToken
from services.gateway.access import hash_token
from tests.unit.media.counted import write_counted

PATCH = {"Content-Type": "application/merge-patch+json"}
V0 = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"


@pytest.fixture
async def other(api, bus, live, url):
    """A client of another user, who has never done anything."""
    token = uuid4().hex
    outcome = await bus.request(AttachToken(hash_token(token), f"other-{token[:6]}"), token, 60)
    assert outcome is not None
    assert outcome.accepted
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for _ in range(200):
            if (await client.get("/cache?owner=me")).status_code == 200:
                break
            await asyncio.sleep(0.01)
        yield client


async def listed(client: httpx.AsyncClient, **query: str) -> list[str]:
    """Return the CIDs of a filtered list."""
    answer = await client.get("/cache", params=query)
    assert answer.status_code == 200, answer.text
    return [each["cid"] for each in answer.json()["objects"]]


async def patch(client: httpx.AsyncClient, cid: str, said: dict[str, object], **headers: str) -> httpx.Response:
    """Change the metadata of content."""
    return await client.patch(f"/cache/{cid}/meta", json=said, headers=PATCH | headers)


# --- lists ----------------------------------------------------------------------------------------------------------


async def test_the_list_is_newest_first_in_pages(api):
    cids = []
    for _ in range(3):
        answer = await api.post("/cache/upload", files={"file": uuid4().bytes})
        cids.append(answer.json()["cid"])
    first = (await api.get("/cache", params={"origin": "upload", "limit": 2})).json()
    assert [each["cid"] for each in first["objects"]] == [cids[2], cids[1]]
    assert first["total"] >= 3
    query = {"origin": "upload", "limit": 1, "cursor": first["next"]}
    second = (await api.get("/cache", params=query)).json()
    assert [each["cid"] for each in second["objects"]] == [cids[0]]


async def test_the_list_is_filtered(api, stranger, other, problem):
    word, tag = f"Wort-{uuid4().hex[:8]}", f"tag-{uuid4().hex[:8]}"
    png = b"\x89PNG\r\n\x1a\n" + uuid4().bytes
    one = (await api.post("/cache/upload", files={"file": png}, data={"name": f"a {word} b"})).json()["cid"]
    two = (await api.post("/cache/upload", files={"file": uuid4().bytes})).json()["cid"]
    await patch(api, two, {"tags": [tag], "description": "two"})
    signs = f"100%_{uuid4().hex[:8]}"
    three = (await api.post("/cache/upload", files={"file": uuid4().bytes}, data={"name": signs})).json()["cid"]
    assert await listed(api, name=word.lower()) == [one]
    assert await listed(api, tag=tag) == [two]
    assert await listed(api, tag=tag[:-1]) == []
    assert one in await listed(api, type="image")
    assert one in await listed(api, type="image/png")
    assert two not in await listed(api, type="image")
    assert await listed(api, type="image", tag=tag) == []
    assert {one, two} <= set(await listed(api, owner="me", origin="upload"))
    assert await listed(other, owner="me") == []
    assert await listed(api, name=signs[2:]) == [three]
    assert await listed(api, name=signs.replace("%", "_")) == []
    assert {one, two, three} & set(await listed(api, name="%")) == {three}, "a sign of the name, and no other"
    problem(await stranger.get("/cache?owner=me"), 401, "unauthenticated")
    problem(await api.get("/cache?cursor=x"), 422, "invalid-request")
    problem(await api.get("/cache?limit=0"), 422, "invalid-request")


async def test_the_gallery_shows_media_only_and_no_pictures_of_them(api, tmp_path, finish):
    cid = await film(api, tmp_path / "a.mp4")
    text = (await api.post("/cache/upload", files={"file": uuid4().hex.encode()})).json()["cid"]
    thumbnail = await until(api, f"/cache/{cid}/thumbnail")
    await looked_into(api, cid)
    items = {each["cid"]: each for each in (await api.get("/media?limit=200")).json()["media"]}
    assert cid in items
    assert text not in items
    assert cid_of(thumbnail.content) not in items
    assert items[cid]["kind"] == "video"
    assert items[cid]["preview"]["thumbnail"] == f"/cache/{cid}/thumbnail"
    assert items[cid]["facts"]["status"] == "known"
    assert cid in [each["cid"] for each in (await api.get("/media?kind=video&limit=200")).json()["media"]]
    assert cid not in [each["cid"] for each in (await api.get("/media?kind=audio&limit=200")).json()["media"]]
    ran = await api.post("/runs", json={"recipe": "invert", "inputs": [cid]})
    output = (await finish(ran.json()["run_id"]))["output_cid"]
    for _ in range(1000):  # the books follow the run
        newest = (await api.get("/media?limit=1")).json()["media"]
        if newest[0]["cid"] == output:
            break
        await asyncio.sleep(0.01)
    assert newest[0]["cid"] == output, "what people rendered is shown"


# --- one ------------------------------------------------------------------------------------------------------------


async def film(api: httpx.AsyncClient, path: Path) -> str:
    """Upload a film that no other test has."""
    write_counted(path, 12, first=uuid4().int % 200)
    path.write_bytes(path.read_bytes() + b"\0\0\0\x18free" + uuid4().bytes)
    return str((await api.post("/cache/upload", files={"file": path.read_bytes()})).json()["cid"])


async def until(api: httpx.AsyncClient, path: str) -> httpx.Response:
    """Ask until it is made."""
    for _ in range(20):
        answer = await api.get(path)
        if answer.status_code != 202:
            return answer
    raise AssertionError(f"{path} is not made")


async def looked_into(api: httpx.AsyncClient, cid: str) -> dict:
    """Return details once somebody looked into the content."""
    for _ in range(1000):
        details = (await api.get(f"/cache/{cid}")).json()
        if details["facts"]["status"] != "pending":
            return details
        await asyncio.sleep(0.01)
    raise AssertionError(f"nobody looks into {cid}")


async def test_details_say_what_media_hold_soon_after_the_upload(api, tmp_path):
    cid = await film(api, tmp_path / "a.mp4")
    details = await looked_into(api, cid)
    facts = details["facts"]
    assert facts["status"] == "known"
    assert facts["duration"] == pytest.approx(0.4)
    assert facts["video"]["codec"] == "h264"
    assert (facts["video"]["width"], facts["video"]["height"], facts["video"]["frames"]) == (128, 72, 12)
    assert facts["video"]["frame_rate"] == 30
    assert facts["audio"] is None
    assert facts["playable"] is True
    assert set(details["preview"]) == {"thumbnail", "poster", "mp4"}, "a silent film has no waveform"
    assert details["used"] == {"runs": [], "recipes": []}


async def test_details_say_why_media_cannot_be_read(api):
    broken = b"\0\0\0\x18ftypisom" + uuid4().bytes * 20
    cid = (await api.post("/cache/upload", files={"file": broken})).json()["cid"]
    details = await looked_into(api, cid)
    assert details["facts"]["status"] == "unreadable"
    assert details["facts"]["error"].startswith("cannot be read: ")
    assert details["preview"] == {}


async def test_details_say_where_content_is_used(api, make_recipe, asset, finish):
    recipe = await make_recipe(2)
    run = await finish((await api.post("/runs", json={"recipe": recipe["name"], "inputs": [asset]})).json()["run_id"])
    used = (await api.get(f"/cache/{asset}")).json()["used"]
    assert [(each["run_id"], each["as"]) for each in used["runs"]] == [(run["run_id"], ["input", "output", "step"])]
    assert [each["recipe_id"] for each in used["recipes"]] == [recipe["recipe_id"]]
    record = (await api.get(f"/cache/{run['provenance_cid']}")).json()
    assert record["facts"] is None
    assert [each["as"] for each in record["used"]["runs"]] == [["provenance"]]
    source = (await api.get(f"/cache/{recipe['source_cid']}")).json()["used"]
    assert [each["name"] for each in source["recipes"]] == [recipe["name"]]
    await api.delete(f"/runs/{run['run_id']}")
    assert (await api.get(f"/cache/{asset}")).json()["used"]["runs"] == []


async def test_details_show_the_copies_at_one_s_own_providers(api, other, imports):
    added = await other.post("/storage", data={"type": "local", "name": "disk", "path": str(imports)})
    assert added.status_code == 201, added.text
    data = uuid4().bytes
    cid = (await other.post("/cache/upload", files={"file": data})).json()["cid"]
    assert (await api.post("/cache/upload", files={"file": data})).json()["cid"] == cid
    for _ in range(6000):
        copies = (await other.get(f"/cache/{cid}")).json()["copies"]
        if [each["state"] for each in copies] == ["made"]:
            break
        await asyncio.sleep(0.01)
    assert [(each["storage_id"], each["name"]) for each in copies] == [(added.json()["storage_id"], "disk")]
    assert copies[0]["location"]
    assert (await api.get(f"/cache/{cid}")).json()["copies"] == [], "others' providers are their own matter"


async def test_the_earlier_way_to_download_still_does(api, asset):
    raw = await api.get(f"/cache/{asset}", headers={"Accept": "application/octet-stream"})
    assert cid_of(raw.content) == asset
    part = await api.get(f"/cache/{asset}", headers={"Accept": "application/octet-stream", "Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, raw.content[:4])


# --- what people say ------------------------------------------------------------------------------------------------


async def test_metadata_is_changed_by_merge_patch(api, asset, stranger, other):
    said = await patch(api, asset, {"name": "cat", "description": "a cat", "tags": ["b", " a ", "b"]})
    assert said.status_code == 200, said.text
    body = said.json()
    assert (body["name"], body["description"], body["tags"]) == ("cat", "a cat", ["a", "b"])
    assert (await api.get(f"/cache/{asset}/meta")).json() == body
    body = (await patch(api, asset, {"description": None})).json()
    assert (body["name"], body["description"], body["tags"]) == ("cat", "", ["a", "b"])
    await other.post("/cache/upload", files={"file": (await api.get(f"/cache/{asset}/raw")).content})
    body = (await patch(other, asset, {"name": "Katze", "tags": ["tier"]})).json()
    assert (body["name"], body["tags"]) == ("Katze", ["tier"]), "each sees their own words"
    body = (await api.get(f"/cache/{asset}/meta")).json()
    assert (body["name"], body["tags"]) == ("cat", ["a", "b"])
    assert [each["name"] for each in body["names"]] == ["cat"], "what others call it stays with them"
    assert (await stranger.get(f"/cache/{asset}/meta")).json() == body, "whoever reaches a personal server is its owner"
    body = (await patch(api, asset, {"name": None, "tags": []})).json()
    assert (body["name"], body["tags"]) == (None, [])
    assert asset not in [each["cid"] for each in (await api.get("/assets")).json()["assets"] if each["name"] == "cat"]


async def test_a_change_that_says_nothing_new_changes_nothing(api, asset):
    first = await patch(api, asset, {"name": "same", "tags": ["x"]})
    again = await patch(api, asset, {"name": "same", "tags": ["x"]})
    nothing = await patch(api, asset, {})
    assert first.headers["etag"] == again.headers["etag"] == nothing.headers["etag"]


async def test_nobody_overwrites_what_they_have_not_seen(api, asset, problem):
    read = await api.get(f"/cache/{asset}/meta")
    seen = read.headers["etag"]
    unchanged = await api.get(f"/cache/{asset}/meta", headers={"If-None-Match": seen})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    first = await patch(api, asset, {"name": "first"}, **{"If-Match": seen})
    assert first.status_code == 200
    problem(await patch(api, asset, {"name": "second"}, **{"If-Match": seen}), 412, "precondition-failed")
    problem(await patch(api, asset, {"name": "second"}, **{"If-Match": '"x"'}), 412, "precondition-failed")
    assert (await api.get(f"/cache/{asset}/meta")).json()["name"] == "first"
    both = await asyncio.gather(
        *(patch(api, asset, {"name": name}, **{"If-Match": first.headers["etag"]}) for name in ("left", "right"))
    )
    assert sorted(each.status_code for each in both) == [200, 412], "one of two at once is told"
    assert (await patch(api, asset, {"name": "any"}, **{"If-Match": "*"})).status_code == 200


async def test_changes_that_break_a_rule_are_refused(api, stranger, asset, problem):
    problem(await patch(stranger, asset, {"name": "x"}), 401, "unauthenticated")
    for said in (
        {"nam": "x"},
        {"name": "x" * 201},
        {"name": "a\nb"},
        {"name": 5},
        {"tags": "cat"},
        {"tags": [""]},
        {"tags": ["x" * 65]},
        {"tags": ["a\u202eb"]},
        {"tags": [str(i) for i in range(51)]},
        {"description": "x" * 10_001},
        {"cid": cid_of(b"other")},
        {"hash": "../../etc/passwd"},
    ):
        problem(await patch(api, asset, said), 422, "invalid-request")
    problem(await patch(api, cid_of(uuid4().bytes), {"name": "x"}), 404, "content-not-found")
    problem(await patch(api, "abc", {"name": "x"}), 400, "invalid-cid")
    text = await api.patch(f"/cache/{asset}/meta", content=b"{", headers=PATCH)
    problem(text, 422, "invalid-request")


async def test_a_hash_is_a_cid(api):
    await api.post("/cache/upload", files={"file": b"hello world"})
    answer = await patch(api, V0, {"hash": V0, "tags": ["greeting"]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["cid"] == cid_of(b"hello world")


# --- import ---------------------------------------------------------------------------------------------------------


async def load(api: httpx.AsyncClient, path: object, **query: str) -> httpx.Response:
    """Import what is at a path."""
    return await api.post("/cache/import", params={"path": str(path)} | query)


async def test_a_file_is_imported(api, imports):
    data = uuid4().bytes * 100_000
    (imports / "a b.bin").write_bytes(data)
    answer = await load(api, imports / "a b.bin", name="by import")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["cid"], body["filename"], body["name"]) == (cid_of(data), "a b.bin", "by import")
    meta = (await api.get(f"/cache/{body['cid']}/meta")).json()
    assert (meta["origin"], meta["name"]) == ("import", "by import")
    assert (imports / "a b.bin").read_bytes() == data, "the file stays where it is"


async def test_a_folder_imports_what_is_in_it_but_no_links(api, imports, tmp_path):
    (tmp_path / "secret").write_bytes(uuid4().bytes)
    (imports / "sub").mkdir()
    for name in ("b", "a", "sub/c"):
        (imports / name).write_bytes(name.encode() + uuid4().bytes)
    (imports / "link").symlink_to(tmp_path / "secret")
    (imports / "folder").symlink_to(tmp_path)
    os.mkfifo(imports / "pipe")
    answer = await load(api, imports)
    assert answer.status_code == 201, answer.text
    files = answer.json()["files"]
    assert [each["filename"] for each in files] == ["a", "b", "sub/c"]
    assert [each["cid"] for each in files] == [cid_of((imports / each["filename"]).read_bytes()) for each in files]


async def test_paths_that_lead_elsewhere_are_refused(api, stranger, imports, tmp_path, problem):
    secret = tmp_path / "secret"
    secret.write_bytes(uuid4().bytes)
    (imports / "link").symlink_to(secret)
    (imports / "away").symlink_to(tmp_path)
    (imports / "real").write_bytes(b"x")
    os.mkfifo(imports / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(imports / "socket"))
    for path in (
        secret,
        "/etc/passwd",
        "etc/passwd",
        "/",
        "",
        f"{imports}/../../etc/passwd",
        f"{imports}/link",
        f"{imports}/away/secret",
        f"{imports}/real/below",
        f"{imports}/pipe",
        f"{imports}/socket",
        f"{imports.parent}x/real",
        f"{imports}/real\0.png",
        f"{imports}/{'x' * 300}",
        "~/.ssh/id_ed25519",
    ):
        said = problem(await load(api, path), 422, "invalid-request")
        assert said["problems"][0]["field"] == "path", path
    problem(await load(api, imports / "nothing"), 404, "content-not-found")
    problem(await load(stranger, imports / "real"), 401, "unauthenticated")
    problem(await load(api, imports / "real", name="a\nb"), 422, "invalid-request")
    problem(await load(api, imports, name="all of them"), 422, "invalid-request")
    problem(await api.get(f"/cache/{cid_of(secret.read_bytes())}"), 404, "content-not-found")


async def test_an_import_that_is_repeated_gives_the_same(api, imports, problem):
    (imports / "a").write_bytes(uuid4().bytes)
    key = {"Idempotency-Key": uuid4().hex}
    first = await api.post("/cache/import", params={"path": str(imports / "a")}, headers=key)
    again = await api.post("/cache/import", params={"path": str(imports / "a")}, headers=key)
    assert first.json() == again.json()
    other = await api.post("/cache/import", params={"path": str(imports)}, headers=key)
    problem(other, 422, "idempotency-conflict")
