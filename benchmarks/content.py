"""Content on its way in and out, beside the physical limit, in the same run.

*hash*: what naming content costs. The streaming CID over pieces of 1 MiB, as uploads come, beside plain
``hashlib.sha256`` over the same pieces: processor time, least of some rounds, in turns. With ``--state``, also a whole
upload through the gateway of the system that runs there, by the clock (loopback, one connection, until the CID is
answered and the bytes are durable); its content stays stored under the name ``benchmark``.

    ./artdag bench content [--only hash] [--mb 256] [--rounds 5] [--state FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

from artdag_cli.system import owner_token, running  # noqa: E402
from artdag_common.cid import CidHasher, Version  # noqa: E402

PIECE = 1 << 20
WANTED = 0.7
"""Of plain SHA-256, by the hasher."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, and how.

    Attributes:
        size: bytes.
        gateway: address and token of a running system, or None.
    """

    size: int
    rounds: int
    gateway: tuple[str, str] | None


# --- hash -----------------------------------------------------------------------------------------------------------


def plain(pieces: list[memoryview]) -> str:
    """Hash pieces, and no more."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def named(pieces: list[memoryview], version: Version = 0) -> str:
    """Compute the CID of pieces."""
    hasher = CidHasher(version)
    for piece in pieces:
        hasher.update(piece)
    return hasher.cid()


def upload(pieces: list[memoryview], url: str, token: str) -> str:
    """Send pieces as a form, and return the CID that the gateway answers."""
    boundary = "benchmark"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\nbenchmark\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="benchmark"\r\n\r\n'
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=600)
    connection.putrequest("POST", "/cache/upload")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
    connection.putheader("Content-Length", str(len(head) + sum(map(len, pieces)) + len(tail)))
    connection.endheaders(head)
    for piece in pieces:
        connection.send(piece)
    connection.send(tail)
    with connection.getresponse() as response:
        body = json.loads(response.read())
    connection.close()
    if response.status != http.client.CREATED:
        raise SystemExit(f"the upload was answered with {response.status}: {body.get('detail')}")
    return str(body["cid"])


def measure_hash(options: Options) -> dict[str, Any]:
    """Return rates in MB/s, and their ratios to plain SHA-256."""
    data = memoryview(os.urandom(options.size))
    pieces = [data[start : start + PIECE] for start in range(0, options.size, PIECE)]
    works: dict[str, Callable[[], str]] = {
        "sha256": lambda: plain(pieces),
        "cid": lambda: named(pieces),
        "cid_v1": lambda: named(pieces, 1),
    }
    if options.gateway:
        url, token = options.gateway
        works["upload"] = lambda: upload(pieces, url, token)
    least = dict.fromkeys(works, float("inf"))
    given: dict[str, str] = {}
    for _ in range(options.rounds):
        for name, work in works.items():
            clock = time.perf_counter if name == "upload" else time.process_time
            begin = clock()
            given[name] = work()
            least[name] = min(least[name], clock() - begin)
    if given.get("upload", given["cid"]) != given["cid"]:
        raise SystemExit(f"the gateway names the content {given['upload']}, the hasher {given['cid']}")
    rates = {name: options.size / seconds / 1e6 for name, seconds in least.items()}
    ratios = {name: rates[name] / rates["sha256"] for name in rates if name != "sha256"}
    return {"mb_per_s": rates, "of_sha256": ratios, "wanted": WANTED}


def show_hash(found: dict[str, Any]) -> None:
    """Print a table."""
    print(f"{'':12}{'MB/s':>8}{'of sha256':>11}")
    for name, rate in found["mb_per_s"].items():
        ratio = found["of_sha256"].get(name)
        print(f"{name:12}{rate:8.0f}" + (f"{ratio:11.2f}" if ratio else ""))
    print(f"wanted of the hasher: {found['wanted']}")


# --- all ------------------------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[Options], dict[str, Any]], Callable[[dict[str, Any]], None]]] = {
    "hash": (measure_hash, show_hash),
}
"""Each part by its name: what measures it, and what prints that."""


def gateway_of(state: Path) -> tuple[str, str]:
    """Return address and token of the system that runs on a state folder."""
    facts = running(state)
    if not facts:
        raise SystemExit(f"no system runs on {state}; start one with `artdag up`")
    return facts["local_url"], owner_token(state)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts")
    parser.add_argument("--mb", type=int, default=256, help="MiB of content")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--state", type=Path, help="state folder of a running system, for what goes through a gateway")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    options = Options(given.mb << 20, given.rounds, gateway_of(given.state.expanduser()) if given.state else None)
    found = {}
    for name in given.only:
        measure, show = PARTS[name]
        found[name] = measure(options)
        if not given.json:
            print(f"{name}: {given.mb} MiB, least of {given.rounds} rounds")
            show(found[name])
    if given.json:
        print(json.dumps({"mb": given.mb, "rounds": given.rounds, **found}))


if __name__ == "__main__":
    main()
