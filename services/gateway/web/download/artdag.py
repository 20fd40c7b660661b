#!/usr/bin/env python3
"""The command line of an Art DAG server, in one file. It needs Python 3.9 or later, and nothing else.

    python3 artdag.py login                       confirm a code in your browser
    python3 artdag.py upload cat.mp4              prints the content's id
    python3 artdag.py run dog cat.mp4 -o dog.mp4  uploads, renders, shows the progress, saves the result
    python3 artdag.py runs                        what was run, newest first

Exit codes: 0 done, 1 the run gave nothing, 2 wrong arguments, 3 the server refuses, 4 sign in first, 5 the server does
not answer, 6 a file cannot be read or written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import platform
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

SERVER = "http://localhost:8100"
VERSION = "0"

OK, GAVE_NOTHING, WRONG_ARGUMENTS, REFUSED, SIGN_IN, AWAY, NO_FILE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130
PATIENCE_SECONDS = 20.0
"""For how long a request is sent again that met a server which is just starting, or busy."""

QUIET_SECONDS = 60.0
"""Without a byte; a stream of events says something every 15 s."""

PENDING_SECONDS = 120.0
AGAIN_SECONDS = 1.0
LOSSES_AT_MOST = 5
UPLOAD_BUSY = 423
"""The server has not noticed yet that the connection is lost by which the upload came."""

BLOCK = 1 << 18
STDIO = "-"
TUS = {"Tus-Resumable": "1.0.0"}
ENDINGS = ("RunCompleted", "RunFailed", "RunCancelled", "RunDeleted")
OVER = ("completed", "failed", "cancelled")
LOCAL = ("localhost", "127.0.0.1", "::1")
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"


class StopError(Exception):
    """What ends a command: words for people, an exit code for programs.

    Attributes:
        exit: the exit code.
        said: the server's problem (RFC 9457), where it is one.
    """

    def __init__(self, words: str, exit_code: int, said: dict[str, Any] | None = None) -> None:
        super().__init__(words)
        self.exit = exit_code
        self.said = said or {}


class LostError(StopError):
    """The connection broke, or none came about."""

    def __init__(self, words: str) -> None:
        super().__init__(words, AWAY)


# --- the server -----------------------------------------------------------------------------------------------------


class NoWayRound(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token is for this server only."""

    def redirect_request(self, *arguments: Any) -> None:
        """Give the redirect back as the answer."""


class Server:
    """Speaks to one server. ``token``: signs in; empty: it does not."""

    def __init__(self, url: str, token: str = "") -> None:
        place = urlsplit(url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise StopError(f"{url!r} is not the address of a server: https://…", WRONG_ARGUMENTS)
        self.url = url.rstrip("/")
        self.token = token
        self._opener = urllib.request.build_opener(NoWayRound)

    def open(
        self,
        method: str,
        path: str,
        body: bytes | Reading | None = None,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        """Return the answer to one request, to be read and closed.

        Raises:
            LostError: no answer comes.
            StopError: it is a refusal.
        """
        said = {"Accept": "application/json", "User-Agent": f"artdag.py/{VERSION}", **(headers or {})}
        if self.token:
            said["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, body, said, method=method)  # noqa: S310
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=QUIET_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise refusal(error) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise LostError(f"{self.url} does not answer: {str(reason) or type(error).__name__}") from None
        return answer

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Return the JSON answer to a request. It is sent again where that can help; a write is done once all the same.

        Args:
            body: bytes as they are; else what is sent as JSON.

        Raises:
            StopError: refused, or no answer in time.
        """
        said = dict(headers or {})
        if method != "GET":
            said.setdefault("Idempotency-Key", str(uuid.uuid4()))
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            said.setdefault("Content-Type", "application/json")
        until = time.monotonic() + PATIENCE_SECONDS
        end: StopError
        while True:
            try:
                with self.open(method, path, body, said) as answer:
                    found = json.loads(answer.read() or b"null")
                    status = answer.status
            except (OSError, HTTPException, ValueError) as error:
                wait, end = AGAIN_SECONDS, LostError(f"{self.url} does not answer as it should: {error}")
            except StopError as error:
                wait, end = later(error), error
            else:
                return self._settled(found) if status == 202 else found
            if not wait or time.monotonic() + wait > until:
                raise end from None
            time.sleep(wait)

    def _settled(self, pending: Any) -> Any:
        """Wait until a command that was kept is handled, and return what it was about."""
        links = pending.get("links", {}) if isinstance(pending, dict) else {}
        if "command" not in links:
            return pending
        until = time.monotonic() + PENDING_SECONDS
        while time.monotonic() < until:
            outcome = self.call("GET", links["command"])
            if outcome["status"] == "refused":
                raise StopError(outcome["detail"], REFUSED, outcome)
            if outcome["status"] == "accepted":
                return self.call("GET", links["resource"])
            time.sleep(AGAIN_SECONDS)
        raise LostError(f"the server keeps it for later, and has not come to it: {self.url}{links['command']}")

    def events(self, run_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield type and data of what happens to a run, from its beginning to its end, over lost connections."""
        position, losses = "", 0
        lost: StopError
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": position} if position else {})}
            try:
                with self.open("GET", f"/runs/{quote(run_id, safe='')}/events", None, headers) as stream:
                    if stream.status == 204:
                        return
                    for number, kind, text in frames(stream):
                        position, losses = number or position, 0
                        data = json.loads(text)
                        yield kind, data.get("data", data)
                        if kind in ENDINGS:
                            return
            except StopError as error:
                lost = error
            except (OSError, HTTPException) as error:
                lost = LostError(f"the events of run {run_id} break off: {error or type(error).__name__}")
            else:
                lost = LostError(f"the events of run {run_id} break off")
            losses += 1
            wait = later(lost)
            if not wait or losses > LOSSES_AT_MOST:
                raise lost
            time.sleep(wait)

    # What people have and want.

    def who(self) -> dict[str, Any]:
        """Return who is signed in."""
        found: dict[str, Any] = self.call("GET", "/auth")
        return found

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run."""
        found: dict[str, Any] = self.call("GET", f"/runs/{quote(run_id, safe='')}")
        return found

    def pages(self, path: str, name: str, limit: int, **query: str) -> dict[str, Any]:
        """Return up to ``limit`` items of a list under its name, and ``total``, how many there are."""
        items: list[Any] = []
        cursor = ""
        while True:
            asked = {"limit": min(200, limit - len(items)), **query, "cursor": cursor}
            found = self.call("GET", f"{path}?{urlencode({key: value for key, value in asked.items() if value})}")
            items += found[name]
            cursor = found["next"]
            if not cursor or len(items) >= limit:
                return {name: items, "total": found["total"]}

    def upload(self, path: Path, name: str, tell: Callable[[int, int], None]) -> dict[str, Any]:
        """Upload a file, whatever it takes: where the connection breaks, it goes on from where it was (tus 1.0).

        Args:
            tell: is told bytes sent and in all.
        """
        with reading(path) as file:
            size = os.fstat(file.fileno()).st_size
            told = {"filename": path.name, "name": name or path.stem}
            metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items())
            begun = self._tus("POST", "/cache/uploads", {"Upload-Length": str(size), "Upload-Metadata": metadata})
            place = urlsplit(begun["Location"]).path
            offset, losses, lost = int(begun["Upload-Offset"] or 0), 0, False
            while offset < size:
                try:
                    if lost:
                        said = self._tus("HEAD", place, {})
                    else:
                        rest = Reading(file, offset, size, tell)
                        said = self._tus("PATCH", place, {"Upload-Offset": str(offset)}, rest)
                except StopError as error:
                    losses, lost, wait = losses + 1, True, later(error)
                    if not wait or losses > LOSSES_AT_MOST:
                        raise
                    time.sleep(wait)
                    continue
                lost = False
                here = int(said["Upload-Offset"] or 0)
                losses = 0 if here > offset else losses
                offset = here
            tell(size, size)
            found: dict[str, Any] = self.call("GET", place, headers=TUS)
        return {"cid": found["cid"], "name": found["name"], "size_bytes": size, "file": str(path)}

    def _tus(self, method: str, path: str, headers: dict[str, str], body: Reading | None = None) -> Message:
        said = {**TUS, **headers}
        if body is not None:
            said |= {"Content-Type": "application/offset+octet-stream", "Content-Length": str(len(body))}
        with self.open(method, path, body, said) as answer:
            return answer.headers

    def download(
        self, cid: str, target: str, over: bool, tell: Callable[[int, int], None], name: str = ""
    ) -> dict[str, Any]:
        """Save content.

        Args:
            target: a file, a folder, ``-`` for standard output; empty: named as the content is, in this folder.
            over: a file that is there may be written over.
            name: what the content is called; empty: as its owner calls it.
        """
        with self.open("GET", f"/cache/{quote(cid, safe='')}/raw", None, {"Accept": "*/*"}) as answer:
            total = int(answer.headers["Content-Length"] or 0)
            if target == STDIO:
                done = copied(answer, sys.stdout.buffer, total, tell)
                sys.stdout.buffer.flush()
                return {"cid": cid, "file": None, "size_bytes": done}
            path = Path(target or ".")
            if path.is_dir():
                path /= self._file_name(cid, name, answer.headers)
            if path.exists() and not over:
                raise StopError(f"{path} is there already; --force writes over it", NO_FILE)
            done = saved(answer, path, total, tell)
        return {"cid": cid, "file": str(path), "size_bytes": done}

    def _file_name(self, cid: str, name: str, headers: Message) -> str:
        """Return a name for a file: what the content is called, without anything that means a place."""
        told = headers.get_filename() or ""
        name = name or str(self.call("GET", f"/cache/{quote(cid, safe='')}").get("name") or "")
        kind = Path(told).suffix
        whole = f"{name}{'' if name.lower().endswith(kind.lower()) else kind}" if name else told
        last = whole.replace("\\", "/").rpartition("/")[2]
        return "".join(c for c in last if c.isprintable() and c not in ':*?"<>|').strip(". ")[:200] or cid


class Reading:
    """The rest of a file as the body of a request."""

    def __init__(self, file: IO[bytes], offset: int, size: int, tell: Callable[[int, int], None]) -> None:
        file.seek(offset)
        self._file, self._offset, self._size, self._tell = file, offset, size, tell

    def __len__(self) -> int:
        return self._size - self._offset

    def read(self, _: int = -1) -> bytes:
        """Return some of the bytes to come."""
        block = self._file.read(min(BLOCK, self._size - self._file.tell()))
        self._tell(self._file.tell(), self._size)
        return block


def refusal(error: urllib.error.HTTPError) -> StopError:
    """Return what a refusal says."""
    raw = b""
    with contextlib.suppress(OSError, HTTPException):
        raw = error.read(1 << 20)
    try:
        said = json.loads(raw)
    except ValueError:
        said = {}
    if not isinstance(said, dict) or not said:
        said = {"status": error.code, "detail": f"{error.code} {error.reason or ''}".strip()}
    lines = [str(said.get("detail") or said.get("error_description") or said.get("title") or said)]
    for each in said.get("problems") or ():
        place = f"line {each['line']}, " if isinstance(each, dict) and each.get("line") else ""
        lines.append(f"  {place}{each.get('field')}: {each.get('problem')}" if isinstance(each, dict) else f"  {each}")
    if error.code == 401:
        lines.append("sign in: python3 artdag.py login")
    after = error.headers.get("Retry-After", "") if error.headers else ""
    said["retry_after"] = int(after) if after.isdigit() else None
    return StopError("\n".join(lines), SIGN_IN if error.code == 401 else REFUSED, {"status": error.code, **said})


def later(error: StopError) -> float:
    """Return after how many seconds a request is worth sending again as it is; 0: its answer is the last word."""
    if isinstance(error, LostError) or error.said.get("status") == UPLOAD_BUSY:
        return AGAIN_SECONDS
    return float(error.said.get("retry_after") or 0) if error.said.get("status") in (409, 429, 503) else 0.0


def frames(stream: HTTPResponse) -> Iterator[tuple[str, str, str]]:
    """Yield id, type and data of server-sent events."""
    fields: dict[str, str] = {}
    for raw in stream:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line:
            name, _, value = line.partition(":")
            fields[name] = value[1:] if value.startswith(" ") else value
        elif "data" in fields:
            yield fields.get("id", ""), fields.get("event", "message"), fields["data"]
            fields = {}
        else:
            fields = {}


# --- files ----------------------------------------------------------------------------------------------------------


def reading(path: Path) -> IO[bytes]:
    """Return a file, open to be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise StopError(f"{path} cannot be read: {error.strerror}", NO_FILE) from None


def saved(answer: HTTPResponse, path: Path, total: int, tell: Callable[[int, int], None]) -> int:
    """Write an answer to a file that is there only once it is whole; return how many bytes it has."""
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name[:100]}-", delete=False) as file:
            part = Path(file.name)
            try:
                done = copied(answer, file, total, tell)
                file.close()
                part.chmod(0o666 & ~mask())
                part.replace(path)
            except BaseException:
                file.close()
                part.unlink()
                raise
    except OSError as error:
        raise StopError(f"{path} cannot be written: {error.strerror or error}", NO_FILE) from None
    return done


def copied(answer: HTTPResponse, file: IO[bytes], total: int, tell: Callable[[int, int], None]) -> int:
    """Copy an answer; return how many bytes it has.

    Raises:
        LostError: it breaks off.
    """
    done = 0
    while True:
        try:
            block = answer.read(BLOCK)
        except (OSError, HTTPException) as error:
            raise LostError(f"the download breaks off after {done} bytes: {error or type(error).__name__}") from None
        if not block:
            break
        file.write(block)
        done += len(block)
        tell(done, total)
    if done < total:
        raise LostError(f"the download breaks off after {done} of {total} bytes")
    return done


def mask() -> int:
    """Return which rights new files do not have."""
    found = os.umask(0)
    os.umask(found)
    return found


def kept_at() -> Path:
    """Return the file of the tokens."""
    base = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else "")
    return Path(base or Path.home() / ".config") / "artdag" / "client.json"


def kept() -> dict[str, str]:
    """Return the tokens that are kept, by server."""
    try:
        found = json.loads(kept_at().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StopError(f"{kept_at()} cannot be read: {error}", NO_FILE) from None
    return found if isinstance(found, dict) else {}


def keep(server: str, token: str) -> None:
    """Keep a token, for its owner's eyes only; empty: forget it."""
    tokens = {url: each for url, each in {**kept(), server: token}.items() if each}
    path = kept_at()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=path.parent)  # made with mode 600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(tokens, file, indent=1)
        os.replace(part, path)
    except OSError as error:
        raise StopError(f"{path} cannot be written: {error.strerror or error}", NO_FILE) from None


# --- what people read -----------------------------------------------------------------------------------------------


def clean(text: object) -> str:
    """Return a text without anything that a terminal would take for a command."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def say(text: object) -> None:
    """Say something that is no result."""
    print(clean(text), file=sys.stderr, flush=True)


class Line:
    """One line of a terminal that changes; without a terminal nothing is shown of it."""

    def __init__(self, title: str, quiet: bool) -> None:
        self._title = title
        self._shown = not quiet and sys.stderr.isatty()
        self._last = 0.0

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._last:
            print(file=sys.stderr)

    def bytes(self, done: int, total: int) -> None:
        """Show how far it is."""
        self.show(f"{size(done)} of {size(total)}" if total else size(done), done == total)

    def show(self, text: str, last: bool = False) -> None:
        """Show a text after the title; at most ten times a second."""
        now = time.monotonic()
        if self._shown and (last or now - self._last > 0.1):
            self._last = now
            print(f"\r\x1b[K{clean(self._title)}  {clean(text)}", end="", file=sys.stderr, flush=True)


def size(count: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def show(asked: argparse.Namespace, value: Any, *lines: object) -> None:
    """Print a result: as JSON, or as these lines."""
    if asked.json:
        print(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        for line in lines:
            print(clean(line))


# --- commands -------------------------------------------------------------------------------------------------------


def server_of(asked: argparse.Namespace) -> Server:
    """Return the server that is meant, signed in if that is possible."""
    server = Server(asked.server)
    server.token = os.environ.get("ARTDAG_TOKEN") or kept().get(server.url, "")
    return server


def login(asked: argparse.Namespace) -> int:
    """Sign in: by a code that you confirm in a browser, or by a token that you have."""
    server = Server(asked.server)
    if asked.server.startswith("http:") and urlsplit(server.url).hostname not in LOCAL:
        say(f"{server.url} is not encrypted: whoever is on the way sees the token")
    token = asked.token
    if token == STDIO:
        token = sys.stdin.readline().strip()
    server.token = token or granted(server, asked.json)
    who = server.who()
    if not who["signed_in"]:
        raise StopError("this token signs nobody in", SIGN_IN)
    keep(server.url, server.token)
    show(asked, {"server": server.url, "handle": who["handle"]}, f"signed in at {server.url} as {who['handle']}")
    return OK


def granted(server: Server, quiet: bool) -> str:
    """Return the token that is given once somebody has confirmed the code that this shows (RFC 8628)."""
    codes = server.call("POST", "/auth/device", {"client_id": f"artdag.py on {platform.node() or 'a machine'}"})
    if quiet:
        say(json.dumps({name: codes[name] for name in ("verification_uri_complete", "user_code")}))
    else:
        say(f"confirm in a browser, on this machine or any other:\n  {codes['verification_uri_complete']}")
        say(f"  the code: {codes['user_code']}")
    interval, until = float(codes["interval"]), time.monotonic() + float(codes["expires_in"])
    question = urlencode({"grant_type": GRANT_TYPE, "device_code": codes["device_code"]}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    while time.monotonic() < until:
        time.sleep(interval)
        try:
            with server.open("POST", "/auth/device/token", question, headers) as answer:
                return str(json.loads(answer.read())["access_token"])
        except LostError:
            continue
        except StopError as error:
            why = error.said.get("error", "")
            if why == "slow_down" or error.said.get("status") == 429:
                interval += 5
            elif why != "authorization_pending":
                raise StopError(f"not signed in: {error}", SIGN_IN, error.said) from None
    raise StopError("nobody confirmed the code in time; begin again", SIGN_IN)


def logout(asked: argparse.Namespace) -> int:
    """Sign out: the token counts no more, and is forgotten."""
    server = server_of(asked)
    if server.token:
        try:
            server.call("POST", "/logout")
        except StopError as error:
            if error.exit != SIGN_IN:
                raise
    keep(server.url, "")
    show(asked, {"signed_in": False}, f"signed out at {server.url}")
    return OK


def whoami(asked: argparse.Namespace) -> int:
    """Say who is signed in, and where."""
    server = server_of(asked)
    who = server.who()
    said = f"{who['handle']} at {server.url}" if who["signed_in"] else f"nobody is signed in at {server.url}"
    show(asked, {"server": server.url, "version": VERSION, **who}, said)
    return OK if who["signed_in"] else SIGN_IN


def upload(asked: argparse.Namespace) -> int:
    """Upload files, and print their ids."""
    if asked.name and len(asked.files) > 1:
        raise StopError("--name names one file", WRONG_ARGUMENTS)
    server = server_of(asked)
    found = []
    for name in asked.files:
        with Line(name, asked.json) as line:
            found.append(server.upload(Path(name), asked.name, line.bytes))
        if not asked.json:
            print(clean(f"{found[-1]['cid']}  {found[-1]['name']}"), flush=True)
    if asked.json:
        show(asked, {"uploaded": found})
    return OK


def download(asked: argparse.Namespace) -> int:
    """Save content, or what a run gave."""
    server = server_of(asked)
    cid, name = asked.what, ""
    if RUN_ID.fullmatch(asked.what):
        run = server.run(asked.what)
        cid, name = result_of(run), run["output_name"] or run["recipe"]
    with Line(asked.what, asked.json or asked.output == STDIO) as line:
        found = server.download(cid, asked.output, asked.force, line.bytes, name)
    if found["file"]:
        show(asked, found, found["file"])
    return OK


def result_of(run: dict[str, Any]) -> str:
    """Return what a run gave."""
    if not run["output_cid"]:
        raise StopError(f"run {run['run_id']} is {run['status']}: there is no result", GAVE_NOTHING)
    return str(run["output_cid"])


def recipe_upload(asked: argparse.Namespace) -> int:
    """Make a recipe known, and print its id. All that is wrong with it is said at once."""
    with reading(Path(asked.file)) as file:
        text = file.read()
    found = server_of(asked).call("POST", "/recipes/upload", text, {"Content-Type": "application/yaml"})
    show(asked, found, f"{found['recipe_id']}  {found['name']}")
    return OK


def recipe_list(asked: argparse.Namespace) -> int:
    """List recipes, newest first."""
    found = server_of(asked).pages("/recipes", "recipes", asked.limit, owner="me" if asked.mine else "")
    rows = [[each["recipe_id"], each["name"], each["version"], each["description"]] for each in found["recipes"]]
    show(asked, found, *table(rows), *more(found["recipes"], found["total"]))
    return OK


def runs(asked: argparse.Namespace) -> int:
    """List runs, newest first."""
    owner = "me" if asked.mine else ""
    found = server_of(asked).pages("/runs", "runs", asked.limit, status=asked.status or "", owner=owner)
    rows = [
        [
            each["run_id"],
            each["status"],
            f"{each['progress']['done']}/{each['progress']['total']}",
            each["created_at"][:16].replace("T", " "),
            each["output_name"] or each["recipe"],
        ]
        for each in found["runs"]
    ]
    show(asked, found, *table(rows), *more(found["runs"], found["total"]))
    return OK


def table(rows: list[list[Any]]) -> list[str]:
    """Return rows as lines, in columns."""
    texts = [[" ".join(str(cell or "–").split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts)]  # noqa: B905  (Python 3.9)
    return ["  ".join(cell.ljust(wide) for cell, wide in zip(row, widths)).rstrip() for row in texts]  # noqa: B905


def more(shown: list[Any], total: int) -> list[str]:
    """Return a line that says how many more there are, if there are more."""
    return [f"… {total - len(shown)} more: --limit {total}"] if total > len(shown) else []


def run(asked: argparse.Namespace) -> int:
    """Render a recipe, or apply an effect. Files among the inputs are uploaded."""
    server = server_of(asked)
    text = asked.recipe
    if text.endswith((".yaml", ".yml")):
        with reading(Path(text)) as file:
            text = file.read().decode("utf-8", "replace")
    inputs: Any = [given(server, each, asked) for each in asked.inputs]
    if asked.input:
        if inputs:
            raise StopError("give all inputs in order, or all by --input NAME=VALUE", WRONG_ARGUMENTS)
        pairs = [each.partition("=") for each in asked.input]
        if not all(name and equals for name, equals, _ in pairs):
            raise StopError("--input takes NAME=VALUE", WRONG_ARGUMENTS)
        inputs = {name: given(server, value, asked) for name, _, value in pairs}
    wishes = {"output_name": asked.name, "priority": asked.priority, "timeout": asked.timeout, "force": asked.force}
    body = {"recipe": text, "inputs": inputs, **{name: value for name, value in wishes.items() if value}}
    begun = server.call("POST", "/runs", body)
    if asked.watch or asked.output:
        if not asked.json:
            say(f"run {begun['run_id']}  {server.url}/run/{begun['run_id']}")
        return followed(server, begun["run_id"], asked, asked.output)
    show(asked, begun, begun["run_id"])
    return OK


def given(server: Server, value: str, asked: argparse.Namespace) -> str:
    """Return an input as the server knows it: a file by its id, once it is uploaded; anything else as it is."""
    if not Path(value).is_file():
        return value
    with Line(value, asked.json) as line:
        return str(server.upload(Path(value), "", line.bytes)["cid"])


def watch(asked: argparse.Namespace) -> int:
    """Follow a run to its end."""
    return followed(server_of(asked), asked.run, asked, asked.output)


def followed(server: Server, run_id: str, asked: argparse.Namespace, output: str | None) -> int:
    """Show a run until it is over; print, or save, what it gave."""
    view = View(asked.json)
    try:
        for kind, data in server.events(run_id):
            view.take(kind, data)
    except KeyboardInterrupt:
        say(f"\nrun {run_id} goes on; python3 artdag.py cancel {run_id} stops it")
        return INTERRUPTED
    finally:
        view.end()
    found = server.run(run_id)
    if found["status"] != "completed":
        error = found["error"] or {}
        where = f"step {error['step']}, {error['node']}: " if error.get("node") else ""
        words = f"the run {found['status']}: {where}{error.get('reason') or 'no reason was given'}"
        if asked.json:
            show(asked, found)
        say("\n".join(filter(None, [words, error.get("advice", "")])))
        return GAVE_NOTHING
    if output is None:
        show(asked, found, f"{found['output_cid']}  {server.url}/run/{run_id}")
        return OK
    with Line(output, asked.json or output == STDIO) as line:
        file = server.download(result_of(found), output, True, line.bytes, found["output_name"] or found["recipe"])
    if file["file"]:
        show(asked, {**found, **file}, file["file"])
    return OK


class View:
    """How a run goes on, in a line; without a terminal, a line for each step that is done."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._line = Line("", quiet)
        self._steps: list[str] = []
        self._done: set[int] = set()
        self._frames = ""

    def take(self, kind: str, data: dict[str, Any]) -> None:
        """Take an event in."""
        if kind == "RunStepsPlanned":
            for each in data["steps"]:
                if each["output_cid"]:  # there already
                    self._done.add(len(self._steps))
                self._steps.append(each["node"])
        elif kind == "RunStepsSatisfied":
            for each in data["steps"]:
                if each["step"] not in self._done and not self._quiet and not sys.stderr.isatty():
                    say(f"done: {each['node']}")
                self._done.add(each["step"])
        elif kind == "StepAttemptFailed" and not self._quiet:
            say(f"an attempt failed: {data.get('reason', '')}")
        elif kind == "RunPaused" and not self._quiet:
            say("paused; it goes on when it is resumed")
        elif kind == "progress":
            self._frames = f", {data['node']} {data['done']} of {data['total']}"
        self._line.show(f"{len(self._done)} of {len(self._steps)} steps{self._frames}", kind in ENDINGS)

    def end(self) -> None:
        """Leave the line."""
        self._line.__exit__()


def cancel(asked: argparse.Namespace) -> int:
    """Stop a run. What it has made stays in the cache."""
    path = f"/runs/{quote(asked.run, safe='')}/cancel"
    found = server_of(asked).call("POST", path, {"reason": asked.reason} if asked.reason else None)
    show(asked, found, f"{found['run_id']} {found['status']}")
    return OK


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    general = argparse.ArgumentParser(add_help=False)
    general.add_argument("--server", metavar="URL", default=argparse.SUPPRESS, help=f"or ARTDAG_SERVER  [{SERVER}]")
    general.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="results and errors as JSON")
    made = argparse.ArgumentParser(
        prog="artdag.py",
        description=__doc__,
        parents=[general],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"artdag.py {VERSION}, of {SERVER}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, work: Callable[[argparse.Namespace], int], to: Any = commands) -> argparse.ArgumentParser:
        said = (work.__doc__ or "").strip()
        added: argparse.ArgumentParser = to.add_parser(name, help=said, description=said, parents=[general])
        added.set_defaults(work=work)
        return added

    added = command("login", login)
    added.add_argument("--token", default="", help="a token that you have; -: the first line of standard input")
    command("logout", logout)
    command("whoami", whoami)
    added = command("upload", upload)
    added.add_argument("files", metavar="FILE", nargs="+")
    added.add_argument("--name", default="", help="what you call it  [the file's name]")
    added = command("run", run)
    added.add_argument("recipe", metavar="RECIPE", help="id, name, a .yaml file, or the name of an effect")
    added.add_argument("inputs", metavar="INPUT", nargs="*", help="in order: files, names, or ids of content")
    added.add_argument("--input", metavar="NAME=VALUE", action="append", help="an input by its name")
    added.add_argument("--name", default="", help="what the result is called")
    added.add_argument("--priority", default="", help="interactive or batch")
    added.add_argument("--timeout", type=float, metavar="SECONDS", help="the run has to be over by then")
    added.add_argument("--force", action="store_true", help="compute everything anew")
    added.add_argument("-w", "--watch", action="store_true", help="follow it to its end")
    added.add_argument("-o", "--output", metavar="FILE", help="follow it, and save what it gave")
    added = command("runs", runs)
    added.add_argument("--status", help="only those: running, completed, failed, cancelled, paused, planned")
    added.add_argument("--mine", action="store_true", help="only your own")
    added.add_argument("--limit", type=positive, default=20, metavar="N")
    added = command("watch", watch)
    added.add_argument("run", metavar="RUN")
    added.add_argument("-o", "--output", metavar="FILE", help="save what it gave")
    added = command("cancel", cancel)
    added.add_argument("run", metavar="RUN")
    added.add_argument("--reason", default="")
    added = command("download", download)
    added.add_argument("what", metavar="RUN|ID", help="a run, or the id of content")
    added.add_argument("-o", "--output", metavar="FILE", default="", help="a file, a folder, or - for standard output")
    added.add_argument("--force", action="store_true", help="write over a file that is there")
    recipes = commands.add_parser("recipe", help="Upload a recipe, or list recipes.").add_subparsers(
        metavar="upload|list", required=True
    )
    added = command("upload", recipe_upload, recipes)
    added.add_argument("file", metavar="FILE", help="a recipe, as YAML")
    added = command("list", recipe_list, recipes)
    added.add_argument("--mine", action="store_true", help="only your own")
    added.add_argument("--limit", type=positive, default=50, metavar="N")
    return made


def positive(text: str) -> int:
    """Return a number of at least one."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    asked = parser().parse_args(arguments)
    asked.json = getattr(asked, "json", False)
    asked.server = getattr(asked, "server", "") or os.environ.get("ARTDAG_SERVER") or SERVER
    try:
        code: int = asked.work(asked)
    except StopError as error:
        told = {"exit": error.exit, **error.said, "detail": error.said.get("detail") or str(error)}
        say(json.dumps(told, ensure_ascii=False) if asked.json else f"artdag.py: {error}")
        return error.exit
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        say(f"artdag.py: {error}")
        return NO_FILE
    return code


def end() -> NoReturn:
    """Be a program."""
    sys.exit(main())


if __name__ == "__main__":
    end()
