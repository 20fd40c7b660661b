"""The command line client, as it is downloaded, by a Python that has nothing but itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.system import System
from artdag_common.version import VERSION
from tests.answering import Answers, answering

NAME = "artdag.py"
SECONDS = 100
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NOBODY_THERE = "http://127.0.0.1:9"


@dataclass
class Program:
    """The downloaded file, with a home of its own."""

    file: Path
    home: Path
    server: str
    environment: dict[str, str] = field(default_factory=dict)

    def begun(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """Start it, seeing no package but what Python brings along, and nobody's settings."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ARTDAG_SERVER": self.server,
            "NO_PROXY": "*",
            **self.environment,
        }
        command = [sys.executable, "-I", "-S", str(self.file), *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, cwd=self.home, text=True, **pipes | more)

    async def __call__(self, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end; ``said``: what it reads."""

        def work() -> subprocess.CompletedProcess[str]:
            process = self.begun(*arguments)
            out, err = process.communicate(said, timeout=SECONDS)
            return subprocess.CompletedProcess(arguments, process.returncode, out, err)

        return await asyncio.to_thread(work)

    async def told(self, *arguments: str) -> Any:
        """Run it with ``--json``, which has to go well, and return what it says."""
        result = await self(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture
async def guest(stranger: httpx.AsyncClient, url: str, tmp_path: Path) -> Program:
    """The client of somebody who is not signed in."""
    answer = await stranger.get("/download/client")
    assert answer.status_code == 200
    file = tmp_path / NAME
    file.write_bytes(answer.content)
    return Program(file, tmp_path, url)


@pytest.fixture
def program(guest: Program, live: System) -> Program:
    """The client of the owner."""
    guest.environment["ARTDAG_TOKEN"] = live.token
    return guest


# --- the file -------------------------------------------------------------------------------------------------------


async def test_programs_get_the_file_and_people_a_page(stranger: httpx.AsyncClient, live: System) -> None:
    for address in ("/download/client", f"/download/client/{NAME}"):
        answer = await stranger.get(address)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/x-python")
        assert answer.headers["content-disposition"] == f'attachment; filename="{NAME}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert f"SERVER = {live.environment['L1_PUBLIC_URL'].rstrip('/')!r}\n" in answer.text
        assert f"VERSION = {VERSION!r}\n" in answer.text
    page = await stranger.get("/download/client", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert f'href="/download/client/{NAME}"' in page.text
    file = await stranger.get(f"/download/client/{NAME}", headers=BROWSER)
    assert file.headers["content-type"].startswith("text/x-python")


async def test_it_knows_where_it_came_from(guest: Program, live: System) -> None:
    guest.environment["ARTDAG_SERVER"] = ""
    said = await guest("--version")
    assert said.stdout.strip() == f"artdag.py {VERSION}, of {live.environment['L1_PUBLIC_URL'].rstrip('/')}"
    helped = await guest("run", "--help")
    assert "--watch" in helped.stdout


# --- signing in -----------------------------------------------------------------------------------------------------


async def test_it_is_signed_in_by_a_code(guest: Program, api: httpx.AsyncClient) -> None:
    process = guest.begun("login", "--json")
    assert process.stderr
    codes = json.loads(await asyncio.to_thread(process.stderr.readline))
    said = {"user_code": codes["user_code"], "decision": "allow"}
    assert (await api.post("/auth/device/confirm", json=said)).status_code == 200
    out, err = await asyncio.to_thread(process.communicate, None, SECONDS)
    assert process.returncode == 0, err
    assert json.loads(out)["handle"].startswith("@owner@")
    kept = guest.home / ".config" / "artdag" / "client.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert (await guest.told("whoami"))["signed_in"]
    (token,) = json.loads(kept.read_text()).values()
    assert token not in out + err
    assert (await guest("logout")).returncode == 0
    assert (await guest("whoami")).returncode == 4
    assert (await api.get("/api/usage", headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_a_code_that_is_denied_signs_nobody_in(guest: Program, api: httpx.AsyncClient) -> None:
    process = guest.begun("login", "--json")
    assert process.stderr
    codes = json.loads(await asyncio.to_thread(process.stderr.readline))
    await api.post("/auth/device/confirm", json={"user_code": codes["user_code"], "decision": "deny"})
    _, err = await asyncio.to_thread(process.communicate, None, SECONDS)
    assert process.returncode == 4, err
    assert not (guest.home / ".config").exists()


async def test_a_token_that_somebody_has_is_read_from_standard_input(guest: Program, live: System) -> None:
    good = await guest("login", "--token", "-", said=f"{live.token}\n")
    assert good.returncode == 0, good.stderr
    bad = await guest("login", "--token", "made-up")
    assert (bad.returncode, "Traceback" in bad.stderr) == (4, False)
    assert (await guest("whoami")).returncode == 0, "the good one is kept"


# --- content, recipes, runs -----------------------------------------------------------------------------------------


async def test_a_file_goes_up_and_comes_down(program: Program) -> None:
    data = b"\0" + uuid4().bytes * 50_000  # what begins with { or [ may pass for JSON, and is named so
    (program.home / "data.bin").write_bytes(data)
    (program.home / "empty.bin").write_bytes(b"")
    found = await program.told("upload", "data.bin", "empty.bin")
    cid, empty = (each["cid"] for each in found["uploaded"])
    assert [each["size_bytes"] for each in found["uploaded"]] == [len(data), 0]
    down = await program.told("download", cid, "-o", "again.bin")
    assert (program.home / "again.bin").read_bytes() == data
    assert down == {"cid": cid, "file": "again.bin", "size_bytes": len(data)}
    assert (await program("download", cid, "-o", "again.bin")).returncode == 6, "it is there already"
    assert (await program("download", cid, "-o", "again.bin", "--force")).returncode == 0
    assert (await program("download", empty, "-o", "nothing.bin")).returncode == 0
    (program.home / "folder").mkdir()
    assert (await program.told("download", cid, "-o", "folder"))["file"] == "folder/data.bin"
    assert sorted(each.name for each in program.home.iterdir() if each.name.startswith(".")) == []


async def test_a_recipe_is_uploaded_run_watched_and_its_result_saved(
    program: Program, chain_text: Callable[[str, int], str]
) -> None:
    name = f"by-client-{uuid4().hex[:8]}"
    (program.home / "recipe.yaml").write_text(chain_text(name, 3))
    media = uuid4().hex
    (program.home / f"{media}.bin").write_bytes(b"\0" + uuid4().bytes)
    recipe = (await program.told("recipe", "upload", "recipe.yaml"))["recipe_id"]
    assert recipe in (await program("recipe", "list")).stdout
    done = await program("run", name, f"{media}.bin", "--name", "mine", "-o", "out.bin")
    assert done.returncode == 0, done.stderr
    assert (program.home / "out.bin").read_bytes() == (program.home / f"{media}.bin").read_bytes()
    assert "done: s2" in done.stderr
    listed = (await program.told("runs", "--mine", "--limit", "1"))["runs"][0]
    assert (listed["output_name"], listed["status"]) == ("mine", "completed")
    watched = await program.told("watch", listed["run_id"])
    assert watched["output_cid"] == listed["output_cid"]
    by_name = await program.told("run", "recipe.yaml", "--input", f"media={media}", "--watch")
    assert by_name["status"] == "completed"
    assert (await program("download", listed["run_id"], "-o", "folder-is-missing/x")).returncode == 6


async def test_a_run_is_cancelled(
    program: Program, held: Callable[[], None], make_recipe: Callable[..., Awaitable[Any]], asset: str
) -> None:
    recipe = (await make_recipe(2))["recipe_id"]
    begun = await program.told("run", recipe, asset)
    ended = await program.told("cancel", begun["run_id"], "--reason", "enough")
    assert ended["status"] == "cancelled"
    watched = await program("watch", begun["run_id"])
    assert watched.returncode == 1
    assert "cancelled" in watched.stderr
    assert (await program("cancel", begun["run_id"])).returncode == 3, "it is over"


async def test_who_does_not_want_to_wait_leaves_the_run_alone(
    program: Program, held: Callable[[], None], make_recipe: Callable[..., Awaitable[Any]], asset: str
) -> None:
    recipe = (await make_recipe(2))["recipe_id"]
    process = program.begun("run", recipe, asset, "--watch")
    assert process.stderr
    first = await asyncio.to_thread(process.stderr.readline)
    run_id = first.split()[1]
    process.send_signal(signal.SIGINT)
    await asyncio.to_thread(process.communicate, None, SECONDS)
    assert process.returncode == 130
    held()
    assert (await program("watch", run_id)).returncode == 0


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_refusals_are_said_in_the_servers_words(program: Program, guest: Program) -> None:
    (program.home / "bad.yaml").write_text("name: bad\nsteps: [{id: a, type: EFECT}]\n")
    bad = await program("recipe", "upload", "bad.yaml")
    assert bad.returncode == 3
    assert "line 2, steps[0].type: unknown step type 'EFECT'; did you mean 'EFFECT'?" in bad.stderr
    told = await program("run", "no-such-recipe", "x", "--json")
    assert (told.returncode, told.stdout) == (3, "")
    problem = json.loads(told.stderr)
    assert (problem["exit"], problem["status"], problem["code"]) == (3, 404, "recipe-not-found")
    program.environment.pop("ARTDAG_TOKEN")
    unsigned = await program("run", "invert", "x")
    assert (unsigned.returncode, "login" in unsigned.stderr) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("nonsense",), 2),
        (("runs", "--limit", "0"), 2),
        (("run", "invert", "a", "--input", "b=c"), 2),
        (("run", "invert", "--input", "b"), 2),
        (("upload", "a", "b", "--name", "c"), 2),
        (("upload", "there-is-no-such-file"), 6),
        (("run", "there-is-no-such.yaml", "artdag.py"), 6),
        (("run", "invert", "x" * 5000), 6),
        (("--server", "ftp://example.org", "runs"), 2),
        (("--server", NOBODY_THERE, "upload", "artdag.py"), 5),
    ],
)
async def test_what_cannot_be_done_has_an_exit_code_and_words(
    program: Program, arguments: tuple[str, ...], code: int
) -> None:
    result = await program(*arguments)
    assert result.returncode == code, result.stderr
    assert result.stderr
    assert "Traceback" not in result.stderr


# --- a server that is not as it should be ---------------------------------------------------------------------------


class Odd(Answers):
    """Leads elsewhere, breaks off, and puts commands for terminals into names."""

    seen: list[tuple[str, str]]

    def do_GET(self) -> None:  # noqa: N802
        """Answer."""
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        if self.path.startswith("/runs"):
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/stolen")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/recipes"):
            one = {"recipe_id": "x", "name": "\x1b[31mred\x1b]0;owned\x07", "version": "1", "description": ""}
            self._json({"recipes": [one], "total": 1, "next": None})
        elif self.path.endswith("/raw"):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.send_header("Content-Disposition", 'attachment; filename="../../escaped.bin"')
            self.end_headers()
            self.wfile.write(b"x" * (100 if "whole" in self.path else 10))
        else:
            self._json({"name": None})

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served(handling: type[Answers], program: Program) -> Iterator[list[tuple[str, str]]]:
    """Serve the program in this way; what was asked for is noted."""
    seen: list[tuple[str, str]] = []
    with answering(type("Handler", (handling,), {"seen": seen})) as address:
        program.server = f"http://{address}"
        yield seen


@pytest.fixture
def odd(program: Program) -> Iterator[list[tuple[str, str]]]:
    """What such a server was asked for, and by which token; the program speaks to it."""
    with served(Odd, program) as seen:
        yield seen


async def test_a_redirect_gets_no_token(program: Program, odd: list[tuple[str, str]]) -> None:
    assert (await program("runs")).returncode == 3
    assert [path.partition("?")[0] for path, _ in odd] == ["/runs"]


async def test_a_terminal_is_told_nothing_that_it_obeys(program: Program, odd: list[tuple[str, str]]) -> None:
    result = await program("recipe", "list")
    assert "red" in result.stdout
    assert not {"\x1b", "\x07"} & set(result.stdout)


async def test_a_download_that_breaks_off_leaves_no_file(program: Program, odd: list[tuple[str, str]]) -> None:
    before = set(program.home.iterdir())
    result = await program("download", "broken", "-o", "file.bin")
    assert result.returncode == 5, result.stderr
    assert set(program.home.iterdir()) == before


async def test_a_name_leads_out_of_no_folder(program: Program, odd: list[tuple[str, str]]) -> None:
    found = await program.told("download", "whole")
    assert found["file"] == "escaped.bin"
    assert (program.home / "escaped.bin").stat().st_size == 100


class Shaky(Answers):
    """Loses connections, and is busy at times, as one that is being restarted."""

    seen: list[tuple[str, str]]

    def answer(self) -> None:
        """Answer, or lose the connection."""
        self.seen.append((self.command, self.path))
        time = self.seen.count((self.command, self.path))
        length = int(self.headers["Content-Length"] or 0)
        if (self.command, time) in (("PATCH", 1), ("HEAD", 1)):
            self.close_connection = True
            return
        self.rfile.read(length)
        if self.command == "POST":
            self._say(201, {"Location": "/cache/uploads/1", "Upload-Offset": "0"})
        elif self.command == "HEAD":
            self._say(423 if time == 2 else 200, {"Upload-Offset": "3"})
        elif self.command == "PATCH":
            self._say(204, {"Upload-Offset": str(int(self.headers["Upload-Offset"]) + length)})
        elif self.path.endswith("/events"):
            self._say(503 if time == 1 else 204, {"Retry-After": "1"})
        else:
            self._say(200, {}, {"cid": "c", "name": "n", "status": "completed", "output_cid": "o"})

    do_GET = do_HEAD = do_PATCH = do_POST = answer  # noqa: N815  (as http.server calls them)

    def _say(self, status: int, headers: dict[str, str], value: Any = None) -> None:
        body = json.dumps(value).encode() if value else b""
        self.send_response(status)
        for name, said in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, said)
        self.end_headers()
        self.wfile.write(body)


async def test_an_upload_goes_on_though_the_server_is_lost_for_a_while(program: Program) -> None:
    (program.home / "data.bin").write_bytes(b"0123456789")
    with served(Shaky, program) as seen:
        found = await program.told("upload", "data.bin")
    assert found["uploaded"][0]["cid"] == "c"
    assert [method for method, _ in seen] == ["POST", "PATCH", "HEAD", "HEAD", "HEAD", "PATCH", "GET"]


async def test_a_run_is_watched_on_though_the_server_is_busy_for_a_while(program: Program) -> None:
    with served(Shaky, program) as seen:
        assert (await program.told("watch", "r"))["status"] == "completed"
    assert [path for _, path in seen] == ["/runs/r/events", "/runs/r/events", "/runs/r"]
