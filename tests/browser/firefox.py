"""Firefox as it is installed, by WebDriver BiDi, which it speaks itself: no driver program, no patched build.

https://w3c.github.io/webdriver-bidi/ has the commands and the events.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from artdag_common.tasks import end

PROGRAMS = ("firefox-esr", "firefox")
NO_FIREFOX = "this test needs Firefox, which is not here: apt install firefox-esr (as root)"
START_SECONDS = 180
ANSWER_SECONDS = 120
LOOK_SECONDS = 5
LISTENS = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")
MESSAGE_BYTES = 64 << 20
STREAM_LEFT = re.compile("(can’t establish a connection to the server at|The connection to) [^ ]*/(events|log)[?]")
"""What it says of an event stream whose page is left, whether it had been opened by then or not."""

EVENTS = ["log.entryAdded", "network.beforeRequestSent"]

PREFERENCES = """\
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("toolkit.telemetry.enabled", false);
"""


def firefox() -> str | None:
    """Return the Firefox of this machine; None: there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class NotNowError(Exception):
    """A command was refused; that the page is just being left is a reason."""


class Firefox:
    """A session with one tab.

    Attributes:
        errors: what the console reported, and what was uncaught.
        requests: addresses that pages asked for.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tab = ""
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def begin(self) -> None:
        """Begin a session, and open a tab."""
        await self.ask("session.new", capabilities={})
        await self.ask("session.subscribe", events=EVENTS)
        self._tab = (await self.ask("browsingContext.create", type="tab"))["context"]

    async def listen(self) -> None:
        """Take what comes, until the connection ends."""
        async for message in self._socket:
            said = message.json()
            if said["type"] == "event":
                self._hear(said["method"], said["params"])
            elif (waiting := self._waiting.pop(said.get("id"), None)) and not waiting.done():
                waiting.set_result(said)

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "network.beforeRequestSent":
            self.requests.append(params["request"]["url"])
        elif params["level"] == "error":
            self.errors.append(params["text"])

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(ANSWER_SECONDS):
            said = await self._waiting[number]
        if said["type"] != "success":
            raise NotNowError(f"{method}: {said['error']}: {said['message']}")
        return dict(said["result"])

    async def go(self, address: str) -> None:
        """Go to a page, and wait until it is loaded.

        Firefox reports it as an error that this ends the event streams of the page that is left; it is none.
        """
        before = len(self.errors)
        await self.ask("browsingContext.navigate", context=self._tab, url=address, wait="complete")
        self.errors[before:] = [each for each in self.errors[before:] if not STREAM_LEFT.search(each)]

    async def click(self, selector: str) -> None:
        """Click on the first element that a selector finds, in its middle, as people do."""
        there = {"type": "element", "element": await self._element(selector)}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": there}
        press: list[dict[str, Any]] = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        await self._act({"type": "pointer", "id": "mouse", "actions": [move, *press]})

    async def press(self, key: str) -> None:
        """Press a key."""
        strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        await self._act({"type": "key", "id": "keyboard", "actions": strokes})

    async def choose(self, selector: str, *files: Path) -> None:
        """Give files to the field that a selector finds."""
        element = await self._element(selector)
        await self.ask("input.setFiles", context=self._tab, element=element, files=[str(file) for file in files])

    async def _act(self, source: dict[str, Any]) -> None:
        await self.ask("input.performActions", context=self._tab, actions=[source])

    async def _element(self, selector: str) -> dict[str, Any]:
        """Return what the first element that a selector finds is called in commands; it is scrolled into view."""
        found = await self.ask(
            "script.callFunction",
            functionDeclaration="""(selector) => {
              const found = document.querySelector(selector);
              found?.scrollIntoView({ block: "center", behavior: "instant" });
              return found;
            }""",
            arguments=[{"type": "string", "value": selector}],
            target={"context": self._tab},
            awaitPromise=False,
        )
        assert found["type"] == "success", found
        assert found["result"]["type"] == "node", f"there is no {selector}"
        return {"sharedId": found["result"]["sharedId"]}

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression of the page's is, a promise included; a value that JSON has."""
        found = await self.ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})) ?? 'null')()",
            target={"context": self._tab},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"]["value"])

    async def until(self, condition: str) -> None:
        """Wait until an expression of the page's is true, also where another page comes meanwhile."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                # What a page is asked as it is left may be refused, or never answered.
                with contextlib.suppress(NotNowError, TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        if await self.evaluate(f"Boolean({condition})"):
                            return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def started() -> AsyncIterator[Firefox]:
    """Start Firefox with a new profile, and end it."""
    program = firefox()
    assert program
    with tempfile.TemporaryDirectory(prefix="artdag-firefox-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "user.js").write_text(PREFERENCES)
        process = await asyncio.create_subprocess_exec(
            program,
            "--headless",
            "--no-remote",
            "--profile",
            folder,
            "--remote-debugging-port=0",
            env=os.environ | {"HOME": folder, "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr
            async with asyncio.timeout(START_SECONDS):
                while not (found := LISTENS.search(line := await process.stderr.readline())):
                    assert line, "Firefox ended by itself"
            drained = asyncio.create_task(process.stderr.read())
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(f"{found[1].decode()}/session", max_msg_size=MESSAGE_BYTES) as socket,
            ):
                it = Firefox(socket)
                listening = asyncio.create_task(it.listen())
                await it.begin()
                try:
                    yield it
                finally:
                    await end(listening)
            await end(drained)
        finally:
            process.terminate()
            await process.wait()
