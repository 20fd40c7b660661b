"""Tells L1 servers what was revoked, until they have heard it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.l2.books import Books, Call
from tests.l2.calling import Caller, CallFailedError

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0
AGAIN = frozenset({408, 425, 429})
SHOWN_CHARACTERS = 300


class Courier:
    """One line of calls per L1 server, in order; one server that does not answer keeps no other waiting."""

    def __init__(self, books: Books, caller: Caller, clock: Callable[[], float]) -> None:
        self._books = books
        self._caller = caller
        self._clock = clock
        self._lines: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Go on with what was left when the process ended."""
        for renderer in self._books.waiting_for():
            self._go_on(renderer)

    async def close(self) -> None:
        """Call nobody any more; what is left stays written down."""
        for line in self._lines.values():
            line.cancel()
        await asyncio.gather(*self._lines.values(), return_exceptions=True)

    def tell(self, renderer: str, path: str, body: dict[str, Any]) -> None:
        """Have an L1 server told something: at once, and again until it answers."""
        self._books.add_call(renderer, path, body, self._clock())
        self._go_on(renderer)

    def _go_on(self, renderer: str) -> None:
        line = self._lines.get(renderer)
        if line is None or line.done():
            self._lines[renderer] = asyncio.create_task(self._serve(renderer), name=f"tell {renderer}")

    async def _serve(self, renderer: str) -> None:
        wait = FIRST_WAIT_SECONDS
        while call := self._books.next_call(renderer):
            state, answer = await self._call(call)
            self._books.note_call(call.id, state, answer[:SHOWN_CHARACTERS])
            if state == "waiting":
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            else:
                wait = FIRST_WAIT_SECONDS

    async def _call(self, call: Call) -> tuple[str, str]:
        try:
            answer = await self._caller.post(call.renderer + call.path, call.body)
        except CallFailedError as error:
            return "waiting", str(error)
        said = f"{answer.status_code} {answer.text}"
        if answer.is_success:
            return "told", said
        refused = answer.is_client_error and answer.status_code not in AGAIN
        return ("refused" if refused else "waiting"), said
