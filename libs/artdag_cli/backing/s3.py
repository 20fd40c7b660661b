"""An S3 store: SeaweedFS, all its parts in one process."""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path

import httpx

from artdag_cli.backing.launch import Launch, binary, guarded, kept, kept_port, rewrite
from artdag_common.cid import cid_of
from artdag_common.errors import ArtdagError

BUCKET = "artdag"
PARTS = ("master", "volume", "filer", "admin")
SAMPLE = b"Is the store ready?\n"
LOCK = "requirements-with.lock"
ANSWER_SECONDS = 5
IDLE_SECONDS = 3  # of connections between its parts; stopping waits for them
SOCKET_PATH_BYTES = 107


def s3_server(state: Path) -> tuple[str, Launch]:
    """Return the address (``s3://KEY:SECRET@host:port/bucket?tls=false``) and the launch of an S3 store."""
    folder = state / "s3"
    data = folder / "data"
    for each in (folder, data):
        each.mkdir(exist_ok=True, mode=0o700)
    access_key = kept(state / "s3.key", lambda: secrets.token_hex(10))
    secret_key = kept(state / "s3.password", secrets.token_hex)
    port = kept_port(state, "s3")
    identity = {
        "name": "artdag",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    rewrite(folder / "identities.json", json.dumps({"identities": [identity]}))
    # It leaves sockets behind that are named by its ports, which are ours.
    numbers = {part: kept_port(state, f"s3-{part}.grpc") for part in PARTS} | {"s3": kept_port(state, "s3-grpc")}
    for part, number in numbers.items():
        with contextlib.suppress(OSError):
            Path(f"/tmp/seaweedfs-{part}-grpc-{number}.sock").unlink()  # noqa: S108
    # Its parts talk to each other on loopback; who lacks these keys can neither read nor write content over HTTP.
    keys = kept(state / "s3.internal", lambda: " ".join(secrets.token_hex() for _ in range(4))).split()
    sections = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    rewrite(
        folder / "security.toml",
        "".join(f'[{section}]\nkey = "{key}"\n' for section, key in zip(sections, keys, strict=True)),
    )
    master = f"http://127.0.0.1:{kept_port(state, 's3-master')}"
    ports = [f"-{part}.port={kept_port(state, f's3-{part}')}" for part in PARTS]
    command = (
        *guarded(),
        binary("weed", LOCK),
        "-logtostderr=true",
        f"-config_dir={folder}",
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={port}",
        *ports,
        *(f"-{part}.port.grpc={number}" for part, number in numbers.items()),
        *(f"-{name}.localSocket={place}" for name, place in _sockets(folder).items()),
        f"-s3.config={folder / 'identities.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        f"-idleTimeout={IDLE_SECONDS}",
        "-master.telemetry=false",  # on by default: it would report to its makers
    )
    url = f"s3://{access_key}:{secret_key}@127.0.0.1:{port}/{BUCKET}?tls=false"

    sample = folder / "sample"
    sample.write_bytes(SAMPLE)
    sample_cid = cid_of(SAMPLE)

    async def ready() -> bool:
        from artdag_common.blobs.s3 import S3Settings, S3Store  # takes a third of a second to load

        if not await _has_volumes(master):
            return False
        # Now and then the first writing is not answered for half a minute and more: begun anew it may be.
        store = S3Store(S3Settings.from_url(url), timeout_seconds=ANSWER_SECONDS)
        try:
            await store.make_bucket()
            await store.store(sample, sample_cid)
            await store.remove(sample_cid)
        except ArtdagError:
            return False
        finally:
            await store.close()
        return True

    return url, Launch("s3", command, ready, state / "logs" / "s3.log")


async def _has_volumes(master: str) -> bool:
    """Return whether there is a place to write to; what is written before is tried again after seconds only."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            topology = (await client.get(f"{master}/dir/status")).json()["Topology"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    return bool(topology["Max"])


def _sockets(folder: Path) -> dict[str, Path]:
    """Return where its sockets go: into its folder, unless that path is too long for the name of a socket."""
    places = {"s3": folder / "s3.sock", "filer": folder / "filer.sock"}
    fits = all(len(bytes(place)) <= SOCKET_PATH_BYTES for place in places.values())
    return places if fits else {}
