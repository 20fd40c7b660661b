"""Effects: upload, list, look, read, render; each refusal says why."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from artdag_common.cid import cid_of
from artdag_common.effects.registry import EFFECTS
from artdag_common.effects.uploaded import MAX_BYTES
from tests.unit.media.counted import numbers_of, write_counted

PYTHON = {"Content-Type": "text/x-python"}
SOURCE = """\
# /// script
# dependencies = ["numpy"]
# [tool.artdag]
# name = "{name}"
# version = "1.0"
# author = "Ann"
# description = "Every colour becomes its opposite."
# [tool.artdag.params.amount]
# type = "int"
# default = 255
# max = 255
# ///
def process_frame(frame, params, state):
    return {result}, state
"""


def source(result: str = "(params.amount - frame).astype('uint8')", name: str = "") -> str:
    """An effect that nobody uploaded before."""
    return SOURCE.format(name=name or f"e-{uuid4().hex[:8]}", result=result)


async def upload(api, text):
    answer = await api.post("/effects/upload", content=text, headers=PYTHON)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_an_uploaded_effect_is_found_by_cid_and_by_name(api):
    text = source()
    made = await upload(api, text)
    assert made["cid"] == cid_of(text.encode())
    assert (made["kind"], made["builtin"], made["author"]) == ("frame", False, "Ann")
    for reference in (made["cid"], made["name"]):
        found = (await api.get(f"/effects/{reference}")).json()
        assert found["cid"] == made["cid"]
        assert found["dependencies"] == ["numpy"]
        assert found["params"]["properties"]["amount"]["maximum"] == 255
        assert (await api.get(f"/effects/{reference}/source")).text == text
    assert (await api.get("/effects")).json()["effects"][0] == made
    books = (await api.get(f"/cache/{made['cid']}")).json()
    assert (books["cid"], books["size_bytes"]) == (made["cid"], len(text))


async def test_the_same_bytes_are_the_same_effect(api):
    text = source()
    first = await upload(api, text)
    total = (await api.get("/effects")).json()["total"]
    assert await upload(api, text) == first
    by_form = await api.post("/effects/upload", files={"file": ("e.py", text)})
    assert (by_form.status_code, by_form.json()) == (201, first)
    assert (await api.get("/effects")).json()["total"] == total


async def test_built_in_effects_are_listed_and_readable_too(api):
    dog = (await api.get("/effects/dog")).json()
    assert dog["builtin"] is True
    assert dog == (await api.get(f"/effects/{dog['cid']}")).json()
    assert "tint" in dog["params"]["properties"]
    assert (await api.get("/effects/dog/source")).content == EFFECTS["dog"].source.read_bytes()
    listed = (await api.get("/effects?limit=200")).json()["effects"]
    assert [each["name"] for each in listed if each["builtin"]] == sorted(EFFECTS)


async def test_lists_come_in_pages(api):
    for _ in range(3):
        await upload(api, source())
    everything = [each["cid"] for each in (await api.get("/effects?limit=200")).json()["effects"]]
    seen, cursor = [], None
    while True:
        page = (await api.get("/effects", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [each["cid"] for each in page["effects"]]
        assert page["total"] == len(everything)
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == everything


async def test_all_problems_are_reported_with_their_lines(api, problem):
    text = source().replace('"numpy"', '"torch"').replace("(frame, params, state)", "()")
    body = problem(await api.post("/effects/upload", content=text, headers=PYTHON), 422, "invalid-effect")
    assert [each["field"] for each in body["problems"]] == ["dependencies", "process_frame"]
    assert body["problems"][0]["problem"].startswith("torch is not offered to effects")
    assert all(each["line"] for each in body["problems"])
    problem(await api.post("/effects/upload", content=b"", headers=PYTHON), 422, "invalid-effect")
    problem(await api.post("/effects/upload", files={"other": (None, "x")}), 422, "invalid-request")
    too_long = await api.post("/effects/upload", content=b"#" * (MAX_BYTES + 1), headers=PYTHON)
    problem(too_long, 413, "content-too-large")


async def test_what_is_no_effect_is_not_found(api, problem):
    body = problem(await api.get("/effects/dgo"), 404, "effect-not-found")
    assert "did you mean 'dog'" in body["detail"]
    stored = await api.post("/cache/upload", files={"file": uuid4().bytes})
    problem(await api.get(f"/effects/{stored.json()['cid']}"), 404, "effect-not-found")
    problem(await api.get(f"/effects/{cid_of(b'nothing')}/source"), 404, "effect-not-found")


async def test_writes_need_a_token(stranger, problem):
    problem(await stranger.post("/effects/upload", content=source(), headers=PYTHON), 401, "unauthenticated")


async def render(api, finish, effect: str, tmp_path: Path):
    clip = write_counted(tmp_path / "clip.mp4", 12)
    media = (await api.post("/cache/upload", files={"file": clip.read_bytes()})).json()["cid"]
    started = await api.post("/runs", json={"recipe": effect, "inputs": [media]})
    assert started.status_code == 201, started.text
    return await finish(started.json()["run_id"])


async def test_an_uploaded_effect_renders(api, finish, tmp_path):
    effect = await upload(api, source())
    run = await render(api, finish, effect["cid"], tmp_path)
    assert run["status"] == "completed", run["error"]
    output = tmp_path / "output.mp4"
    output.write_bytes((await api.get(run["output_url"])).content)
    assert numbers_of(output) == [255 - number for number in range(12)]
    provenance = (await api.get(run["provenance_url"])).json()
    assert [each["cid"] for each in provenance["effects"]] == [effect["cid"]]


async def test_an_effect_that_misbehaves_fails_its_run_and_says_why(api, finish, tmp_path):
    effect = await upload(api, source("open('/etc/passwd').read()"))
    run = await render(api, finish, effect["cid"], tmp_path)
    assert run["status"] == "failed"
    assert run["error"]["code"] == "effect-failed"
    assert f"effect '{effect['name']}' failed: PermissionError" in run["error"]["reason"] or (
        "FileNotFoundError" in run["error"]["reason"]
    )
    assert "line 14: return open(" in run["error"]["reason"]
