"""Content by its IPFS names."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from artdag_cli.backing import free_port
from artdag_common.cid import cid_of
from artdag_common.config import Settings
from services.gateway.wiring import gateway

V0 = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"


async def test_a_cid_leads_to_the_public_gateway(stranger, asset, problem):
    answer = await stranger.get(f"/ipfs/{asset}")
    assert answer.status_code == 307
    assert answer.headers["location"] == f"https://ipfs.io/ipfs/{asset}"
    elsewhere = cid_of(uuid4().bytes)
    assert (await stranger.get(f"/ipfs/{elsewhere}")).headers["location"].endswith(elsewhere)
    assert (await stranger.get(f"/ipfs/{V0}")).headers["location"].endswith(cid_of(b"hello world"))
    for path in ("abc", "..%2Fcache", "%0d%0aSet-Cookie:x"):
        answer = await stranger.get(f"/ipfs/{path}")
        assert answer.status_code in (400, 404), path


async def test_raw_content(api, stranger, asset, problem):
    raw = await stranger.get(f"/ipfs/{asset}/raw")
    assert cid_of(raw.content) == asset
    assert raw.headers["etag"] == f'"{asset}"'
    part = await stranger.get(f"/ipfs/{asset}/raw", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, raw.content[1:3])
    head = await stranger.head(f"/ipfs/{asset}/raw")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(raw.content)))
    problem(await stranger.get(f"/ipfs/{cid_of(uuid4().bytes)}/raw"), 404, "content-not-found")


async def test_without_a_gateway_it_leads_to_the_content_here(live, asset):
    port = free_port()
    settings = {"HOST": "127.0.0.1", "PORT": port, "IPFS_GATEWAY_URL": ""}
    async with (
        gateway(Settings.model_validate(live.environment | settings)),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        answer = await client.get(f"/ipfs/{asset}")
        assert (answer.status_code, answer.headers["location"]) == (307, f"/cache/{asset}/raw")
        assert (await client.get(f"/ipfs/{cid_of(b'nowhere')}")).status_code == 404


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ipfs.io", "//ipfs.io", "http://"])
def test_a_gateway_is_an_address_of_the_web(url):
    with pytest.raises(ValueError, match="IPFS_GATEWAY_URL"):
        Settings.model_validate({"IPFS_GATEWAY_URL": url})


def test_folders_to_import_from_are_absolute(tmp_path):
    settings = Settings.model_validate({"ARTDAG_IMPORT_DIRS": f"{tmp_path}:/srv/media:"})
    assert [str(each) for each in settings.import_dirs] == [str(tmp_path), "/srv/media"]
    assert Settings.model_validate({}).import_dirs == ()
    with pytest.raises(ValueError, match="absolute"):
        Settings.model_validate({"ARTDAG_IMPORT_DIRS": "media"})
