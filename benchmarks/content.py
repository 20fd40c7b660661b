"""Content on its way in and out, beside the physical limit, in the same run.

*hash*: what naming content costs. The streaming CID over pieces of 1 MiB, as uploads come, beside plain
``hashlib.sha256`` over the same pieces: processor time, least of some rounds, in turns. With ``--state``, also whole
uploads through the gateway of the system that runs there, as a form and by tus, by the clock (loopback, one connection,
until the CID is answered and the bytes are durable), beside the slower of their two limits: that hash, and writing the
same pieces into a file of the same folder until they are durable. Their content stays stored.

*raw*: what reading it costs: ``GET /cache/{cid}/raw`` of that system beside nginx (Debian's package, one worker,
``sendfile``) with the same file, by one client, whole, by the clock. Needs ``--state`` and ``--nginx``.

    ./artdag bench content [--only hash raw] [--mb 256] [--rounds 5] [--state FOLDER] [--nginx PATH] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

from artdag_cli.system import owner_token, running  # noqa: E402
from artdag_common.cid import CidHasher, Version  # noqa: E402

PIECE = 1 << 20
WANTED = 0.7
"""Of plain SHA-256, by hashing as uploads are hashed."""
WANTED_OF_NGINX = 0.5
HASHES, UPLOADS = ("sha256", "cid", "cid_v1"), ("upload", "resumable")


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, and how.

    Attributes:
        size: bytes.
        gateway: address and token of a running system, or None.
        state: its folder.
        nginx: the program.
    """

    size: int
    rounds: int
    gateway: tuple[str, str] | None
    state: Path | None
    nginx: str


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


def stored(pieces: list[memoryview], folder: Path) -> str:
    """Write pieces into a new file until they are durable, and no more."""
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
        for piece in pieces:
            file.write(piece)
        os.fsync(file.fileno())
    return ""


class Gateway:
    """A connection to the gateway of a running system."""

    def __init__(self, url: str, token: str) -> None:
        place = urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=600)
        self._headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}

    def upload(self, pieces: list[memoryview]) -> str:
        """Send pieces as a form, and return the CID that the gateway answers."""
        self._connection.close()  # the server may have done so; the next request opens it anew
        boundary = uuid4().hex  # as long as those of other clients
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\nbenchmark\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="benchmark"\r\n\r\n'
        ).encode()
        body = [memoryview(head), *pieces, memoryview(f"\r\n--{boundary}--\r\n".encode())]
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer, _ = self._send("POST", "/cache/upload", body, kind)
        return str(json.loads(answer)["cid"])

    def resumable(self, pieces: list[memoryview]) -> str:
        """Send pieces by tus, four to a request as the web page does, and return the CID that the gateway answers."""
        self._connection.close()
        size = sum(map(len, pieces))
        _, headers = self._send("POST", "/cache/uploads", [], {"Upload-Length": str(size)})
        path = urlsplit(headers["location"]).path
        offset = 0
        for place in range(0, len(pieces), 4):
            body = pieces[place : place + 4]
            said = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
            _, headers = self._send("PATCH", path, body, said)
            offset = int(headers["upload-offset"])
        return headers["content-location"].rpartition("/")[2]

    def _send(
        self, method: str, path: str, body: list[memoryview], headers: dict[str, str]
    ) -> tuple[bytes, dict[str, str]]:
        self._connection.putrequest(method, path)
        for name, value in (self._headers | headers | {"Content-Length": str(sum(map(len, body)))}).items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        for piece in body:
            self._connection.send(piece)
        with self._connection.getresponse() as response:
            answer = response.read()
        if response.status not in (http.client.CREATED, http.client.NO_CONTENT):
            raise SystemExit(f"{method} {path} was answered with {response.status}: {answer.decode()[:500]}")
        return answer, {name.lower(): value for name, value in response.getheaders()}


def measure_hash(options: Options) -> dict[str, Any]:
    """Return rates in MB/s, and their ratios to plain SHA-256."""
    data = memoryview(os.urandom(options.size))
    pieces = [data[start : start + PIECE] for start in range(0, options.size, PIECE)]
    works: dict[str, Callable[[], str]] = {
        "sha256": lambda: plain(pieces),
        "cid": lambda: named(pieces),
        "cid_v1": lambda: named(pieces, 1),
    }
    if options.gateway and options.state:
        folder, gateway = options.state, Gateway(*options.gateway)
        works |= {
            "disk": lambda: stored(pieces, folder),
            "upload": lambda: gateway.upload(pieces),
            "resumable": lambda: gateway.resumable(pieces),
        }
    least = dict.fromkeys(works, float("inf"))
    given: dict[str, str] = {}
    for _ in range(options.rounds):
        for name, work in works.items():
            clock = time.process_time if name in HASHES else time.perf_counter
            begin = clock()
            given[name] = work()
            least[name] = min(least[name], clock() - begin)
    for way in UPLOADS:
        if given.get(way, given["cid"]) != given["cid"]:
            raise SystemExit(f"the gateway names the content {given[way]}, the hasher {given['cid']}")
    rates = {name: options.size / seconds / 1e6 for name, seconds in least.items()}
    ratios = {name: rates[name] / rates["sha256"] for name in rates if name != "sha256"}
    found: dict[str, Any] = {"mb_per_s": rates, "of_sha256": ratios, "wanted": WANTED}
    if "disk" in rates:
        found["of_limit"] = {way: rates[way] / min(rates["sha256"], rates["disk"]) for way in UPLOADS}
    return found


def show_hash(found: dict[str, Any]) -> None:
    """Print a table."""
    print(f"{'':12}{'MB/s':>8}{'of sha256':>11}")
    for name, rate in found["mb_per_s"].items():
        ratio = found["of_sha256"].get(name)
        print(f"{name:12}{rate:8.0f}" + (f"{ratio:11.2f}" if ratio else ""))
    print(f"wanted of cid: {found['wanted']}")
    for way, ratio in found.get("of_limit", {}).items():
        print(f"{way}: {ratio:.2f} of the slower of sha256 and disk")


# --- raw ------------------------------------------------------------------------------------------------------------

NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{}}
http {{
    access_log off; sendfile on;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
}}
"""


@contextmanager
def nginx(program: str, content: memoryview) -> Iterator[str]:
    """Have nginx serve content as a file; give its address."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        files = Path(folder) / "files"
        files.mkdir()
        (files / "content").write_bytes(content)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        user = "user root;" if os.geteuid() == 0 else ""
        (Path(folder) / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, user=user))
        process = subprocess.Popen([program, "-p", folder, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/content"
        finally:
            process.terminate()
            process.wait()


def read(url: str) -> int:
    """Read all that is at an address, and return how many bytes that is."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=600)
    connection.request("GET", place.path)
    buffer = memoryview(bytearray(PIECE))
    total = 0
    with connection.getresponse() as response:
        if response.status != http.client.OK:
            raise SystemExit(f"{url} was answered with {response.status}")
        while count := response.readinto(buffer):
            total += count
    connection.close()
    return total


def measure_raw(options: Options) -> dict[str, Any]:
    """Return rates in MB/s, and ours by nginx's."""
    if not options.gateway or not shutil.which(options.nginx):
        raise SystemExit(f"raw needs --state of a running system, and --nginx: {options.nginx!r} is not there")
    url, token = options.gateway
    data = memoryview(os.urandom(options.size))
    cid = Gateway(url, token).upload([data[start : start + PIECE] for start in range(0, options.size, PIECE)])
    least = {"nginx": float("inf"), "gateway": float("inf")}
    with nginx(options.nginx, data) as peer:
        for _ in range(options.rounds):
            for name, place in (("nginx", peer), ("gateway", f"{url}/cache/{cid}/raw")):
                begin = time.perf_counter()
                if read(place) != options.size:
                    raise SystemExit(f"{place} gave too few bytes")
                least[name] = min(least[name], time.perf_counter() - begin)
    rates = {name: options.size / seconds / 1e6 for name, seconds in least.items()}
    return {"mb_per_s": rates, "of_nginx": rates["gateway"] / rates["nginx"], "wanted": WANTED_OF_NGINX}


def show_raw(found: dict[str, Any]) -> None:
    """Print a table."""
    for name, rate in found["mb_per_s"].items():
        print(f"{name:12}{rate:8.0f} MB/s")
    print(f"{found['of_nginx']:.2f} of nginx; wanted: {found['wanted']}")


# --- all ------------------------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[Options], dict[str, Any]], Callable[[dict[str, Any]], None]]] = {
    "hash": (measure_hash, show_hash),
    "raw": (measure_raw, show_raw),
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
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=["hash"], help="these parts")
    parser.add_argument("--mb", type=int, default=256, help="MiB of content")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--state", type=Path, help="state folder of a running system, for what goes through a gateway")
    parser.add_argument("--nginx", default="nginx", help="the peer of raw: Debian's nginx")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    state = given.state.expanduser() if given.state else None
    options = Options(given.mb << 20, given.rounds, gateway_of(state) if state else None, state, given.nginx)
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
