"""Pictures made of content: made once, by a run, and never where there is nothing to show."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image

from artdag_common.cid import cid_of
from artdag_common.media.probe import probe
from tests.integration.events.appends import eventually
from tests.unit.media.counted import RATE_HZ, numbers_of, write_counted, write_wav

PENDING = {"Prefer": "wait=0"}


async def stored(api: httpx.AsyncClient, path: Path) -> str:
    """Upload a file and return its CID."""
    answer = await api.post("/cache/upload", files={"file": (path.name, path.read_bytes())})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["cid"])


async def picture(api: httpx.AsyncClient, path: str) -> httpx.Response:
    """Ask for a picture until it is made."""
    for _ in range(20):
        answer = await api.get(path)
        if answer.status_code != 202:
            return answer
        assert answer.headers["retry-after"] == "1"
    raise AssertionError(f"{path} is not made")


def fresh_sound(seconds: float, channels: int = 1) -> np.ndarray:
    """Sound that nobody rendered before."""
    chance = np.random.default_rng(uuid4().int)
    return chance.integers(-9000, 9000, (channels, round(seconds * RATE_HZ))).astype(np.int16)


@pytest.fixture
async def film(api: httpx.AsyncClient, tmp_path: Path) -> str:
    """A film with sound that no other test has."""
    sound = fresh_sound(1)
    return await stored(api, write_counted(tmp_path / "a.mp4", 30, size=(640, 360), sound=sound, sound_codec="aac"))


@pytest.mark.parametrize(
    ("kind", "query", "form", "size"),
    [
        ("thumbnail", "", "JPEG", (320, 180)),
        ("thumbnail", "?width=160", "JPEG", (160, 90)),
        ("poster", "", "JPEG", (1280, 90)),
        ("waveform", "?width=640", "PNG", (640, 80)),
        ("spectrogram", "", "PNG", (1280, 256)),
    ],
)
async def test_a_film_has_every_kind_of_picture(api, film, kind, query, form, size):
    answer = await picture(api, f"/cache/{film}/{kind}{query}")
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == (form, size)
    assert answer.headers["content-type"] == f"image/{form.lower()}"
    assert "immutable" in answer.headers["cache-control"]
    cid = cid_of(answer.content)
    assert answer.headers["etag"] == f'"{cid}"'
    unchanged = await api.get(f"/cache/{film}/{kind}{query}", headers={"If-None-Match": f'"{cid}"'})
    assert unchanged.status_code == 304
    assert (await api.get(f"/cache/{cid}/raw")).content == answer.content, "a picture is content too"


async def test_many_who_ask_at_once_ask_for_one_run(api, film, held):
    path = f"/cache/{film}/thumbnail"
    asked = await asyncio.gather(*(api.get(path, headers=PENDING) for _ in range(8)))
    told = [answer for answer in asked if answer.status_code == 202]
    assert len(told) == len(asked)
    assert {answer.headers["location"] for answer in told} == {path}
    again = (await api.get(path, headers={"Prefer": "wait=1"})).json()
    assert again["status"] == "pending"
    held()
    first = await picture(api, path)
    assert first.status_code == 200
    run = (await api.get(again["links"]["run"])).json()
    assert (run["status"], run["output_cid"]) == ("completed", cid_of(first.content))
    assert (await picture(api, path)).content == first.content


async def test_a_still_and_a_sound_have_what_fits_them(api, tmp_path, problem):
    pixels = np.random.default_rng(uuid4().int).integers(0, 255, (300, 400, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    still = await stored(api, tmp_path / "a.png")
    shown = Image.open(io.BytesIO((await picture(api, f"/cache/{still}/thumbnail")).content))
    assert shown.size == (320, 240)
    said = problem(await api.get(f"/cache/{still}/waveform"), 404, "nothing-to-show")
    assert "image/png: it has no waveform" in said["detail"]

    sound = await stored(api, write_wav(tmp_path / "a.wav", fresh_sound(0.5)))
    assert (await picture(api, f"/cache/{sound}/waveform")).status_code == 200
    problem(await api.get(f"/cache/{sound}/thumbnail"), 404, "nothing-to-show")


async def test_what_only_the_step_can_know_is_said_too(api, tmp_path, problem):
    silent = write_counted(tmp_path / "a.mp4", 12, first=uuid4().int % 200)
    silent.write_bytes(silent.read_bytes() + b"\0\0\0\x18free" + uuid4().bytes)
    cid = await stored(api, silent)
    said = problem(await picture(api, f"/cache/{cid}/waveform"), 404, "nothing-to-show")
    assert "holds no audio" in said["detail"]
    again = problem(await api.get(f"/cache/{cid}/waveform"), 404, "nothing-to-show")
    assert again | {"trace_id": said["trace_id"]} == said, "and is not tried again"
    # Letters and digits: random bytes hold the header of an MP3 frame now and then.
    noise = await api.post("/cache/upload", files={"file": ("a.bin", b"\x01" + uuid4().hex.encode() * 25)})
    said = problem(await picture(api, f"/cache/{noise.json()['cid']}/thumbnail"), 404, "nothing-to-show")
    assert "cannot be read" in said["detail"]


async def test_what_browsers_play_is_given_as_it_is(api, film):
    whole = await picture(api, f"/cache/{film}/mp4")
    assert (whole.status_code, cid_of(whole.content)) == (200, film)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["etag"] == f'"{film}"'
    part = await api.get(f"/cache/{film}/mp4", headers={"Range": "bytes=5-9", "If-Range": f'"{film}"'})
    assert (part.status_code, part.content) == (206, whole.content[5:10])
    head = await api.head(f"/cache/{film}/mp4")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mkv", {}),
        ("a.mp4", {"pix_fmt": "yuv444p"}),
        ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ],
)
async def test_all_else_is_made_to_play_once(api, tmp_path, name, how):
    path = write_counted(tmp_path / name, 12, first=uuid4().int % 200, size=(160, 90), **how)
    path.write_bytes(path.read_bytes() + uuid4().bytes)
    cid = await stored(api, path)
    made = await picture(api, f"/cache/{cid}/mp4")
    assert made.status_code == 200, made.text
    assert made.headers["content-type"] == "video/mp4"
    assert made.headers["content-disposition"].endswith(f"''{cid}.mp4")
    shown = tmp_path / "shown.mp4"
    shown.write_bytes(made.content)
    facts = probe(shown)
    assert (facts.video_codec, facts.pix_fmt, facts.frames) == ("h264", "yuv420p", 12)
    assert (facts.width, facts.height) == (160, 90)
    assert numbers_of(shown) == numbers_of(path), "each frame is there"
    tag = made.headers["etag"]
    assert tag == f'"{cid_of(made.content)}"'
    assert (await api.get(f"/cache/{cid}/mp4", headers={"If-None-Match": tag})).status_code == 304
    part = await api.get(f"/cache/{cid}/mp4", headers={"Range": "bytes=-7"})
    assert (part.status_code, part.content) == (206, made.content[-7:])


async def test_sound_is_made_to_play_and_a_still_is_not(api, tmp_path, problem):
    sound = await stored(api, write_wav(tmp_path / "a.wav", fresh_sound(0.5)))
    made = await picture(api, f"/cache/{sound}/mp4")
    assert (made.status_code, made.headers["content-type"]) == (200, "audio/mp4")
    pixels = np.random.default_rng(uuid4().int).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    still = await stored(api, tmp_path / "a.png")
    assert "is a still" in problem(await picture(api, f"/cache/{still}/mp4"), 404, "nothing-to-show")["detail"]
    text = await api.post("/cache/upload", files={"file": ("a.json", b'{"a": "' + uuid4().hex.encode() + b'"}')})
    problem(await api.get(f"/cache/{text.json()['cid']}/mp4"), 404, "nothing-to-show")


async def test_whoever_does_not_wait_is_told_where_to_look(api, tmp_path, held, follow):
    cid = await stored(api, write_wav(tmp_path / "a.wav", fresh_sound(0.5)))
    told = await api.get(f"/cache/{cid}/mp4", headers=PENDING)
    assert (told.status_code, told.headers["retry-after"]) == (202, "1")
    links = told.json()["links"]
    assert links["resource"] == f"/cache/{cid}/mp4"
    held()

    async def begun() -> bool:
        return (await api.get(links["run"])).status_code == 200

    await eventually(begun, "the run")  # it was asked for; the planner may not have come to it
    async for _ in follow(links["run"].rpartition("/")[2]):
        pass
    assert (await picture(api, f"/cache/{cid}/mp4")).status_code == 200


async def test_requests_that_break_a_rule_are_refused(api, asset, problem):
    problem(await api.get(f"/cache/{asset}/thumbnail?width=321"), 422, "invalid-request")
    problem(await api.get(f"/cache/{cid_of(uuid4().bytes)}/thumbnail"), 404, "content-not-found")
    problem(await api.get("/cache/abc/poster"), 400, "invalid-cid")
    text = await api.post("/cache/upload", files={"file": ("a.json", b'{"a": "' + uuid4().hex.encode() + b'"}')})
    problem(await api.get(f"/cache/{text.json()['cid']}/poster"), 404, "nothing-to-show")
