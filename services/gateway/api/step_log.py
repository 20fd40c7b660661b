"""What the attempts at a step said: kept with the event that ends an attempt, asked of the executor while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import asyncpg
import nats
import orjson
from fastapi import APIRouter, Path, Query, Request
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from pydantic import ValidationError
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from artdag_common.application import decode
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError, StepLogNotFoundError, StepNotFoundError
from artdag_common.messaging import subjects
from artdag_common.pb.commands_pb2 import StepLogText
from artdag_common.steps.registry import find_step_type
from services.gateway.access import session_of
from services.gateway.api.documentation import JSON, RUN_ID, TIME, answers
from services.gateway.api.events import HEADERS
from services.gateway.api.runs import RunId, wanted
from services.gateway.parts import Gateway, Parts, Viewer
from services.gateway.problems import Json
from services.gateway.projections import runs
from services.gateway.sessions import Session
from services.gateway.sse import PING, PING_SECONDS

router = APIRouter(tags=["runs"])

STREAM = "text/event-stream"
ASK_SECONDS = 0.5
"""How long an executor has to tell what a step has said so far."""

LOOK_SECONDS = 0.5
"""Between two looks at whether a step is over, for a reader who is not told."""

OVER = frozenset({"completed", "cached", "failed", "cancelled", "skipped"})
"""Statuses of a run's step in which nothing further is said for this run."""

ELSEWHERE = "elsewhere"
"""No cache id, so it has no log: stands for those of imported runs, which anybody may have written. What a step of the
same id says here is not theirs to read."""

PENDING = 10_000
SHOWN = (
    "    0.000  EFFECT, attempt 1, on node1-42\n"
    "    0.004  input bafybeihko…, 1048576 bytes\n"
    "    3.120  completed: bafybeihko…, 2097152 bytes of video/mp4, 3112 ms\n"
)
EXAMPLE: dict[str, Any] = {
    "run_id": RUN_ID,
    "step": 1,
    "node": "apply_dog",
    "type": "EFFECT",
    "cache_id": "c0ffee…",
    "status": "completed",
    "attempt": 1,
    "text": SHOWN,
    "truncated": False,
    "note": "",
    "attempts": [
        {
            "attempt": 1,
            "executor": "node1-42",
            "began_at": TIME,
            "ended_at": TIME,
            "truncated": False,
            "url": f"/api/run/{RUN_ID}/steps/1/log?attempt=1",
        }
    ],
}
LIVE = (
    'event: log\ndata: {"attempt":1,"text":"    0.000  EFFECT, attempt 1, on node1-42\\n"}\n\n'
    'event: end\ndata: {"status":"completed","note":""}\n\n'
)
RESPONSES = answers(SHOWN, 401, 404, media_type="text/plain")
RESPONSES[200]["content"] |= answers(EXAMPLE)[200]["content"] | answers(LIVE, media_type=STREAM)[200]["content"]

LOGS = "SELECT attempt, executor, began_at, ended_at, truncated FROM step_logs WHERE cache_id = $1 ORDER BY attempt"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt with a log. ``ended_at``: None while it goes on."""

    number: int
    executor: str
    began_at: datetime
    ended_at: datetime | None
    truncated: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What an attempt said. ``characters``: all that it said, those that are not kept included."""

    text: str
    truncated: bool
    characters: int


class Logs:
    """What is known of one step's attempts at this moment."""

    def __init__(self, parts: Gateway, cache_id: str) -> None:
        self._parts = parts
        self.cache_id = cache_id

    async def attempts(self) -> list[Attempt]:
        """Return those that have a log, in order; the last one may be going on."""
        rows, last = await asyncio.gather(self._parts.pool.fetch(LOGS, self.cache_id), self.last())
        found = [Attempt(*row) for row in rows]
        if isinstance(last, Step.Started) and (not found or found[-1].number < last.attempt):
            found.append(Attempt(last.attempt, last.executor, last.timestamp, None, False))
        return found

    async def last(self) -> Step.Event | None:
        """Return the newest event of the step; None: there is none."""
        stream = Step.stream(self.cache_id)
        recorded = (await self._parts.store.latest([stream])).get(stream)
        event = decode(recorded) if recorded else None
        assert event is None or isinstance(event, Step.Event)
        return event

    async def kept(self, number: int) -> Said | None:
        """Return what an attempt that ended said."""
        row = await self._parts.pool.fetchrow(
            "SELECT text, truncated FROM step_logs WHERE cache_id = $1 AND attempt = $2", self.cache_id, number
        )
        return Said(row["text"], row["truncated"], len(row["text"])) if row else None

    async def so_far(self, number: int) -> Said | None:
        """Return what an attempt that goes on has said so far, as its executor tells; None: nobody does."""
        try:
            subject = subjects.ask_for_log(self.cache_id)
            answer = await self._parts.bus.nc.request(subject, b"", timeout=ASK_SECONDS)
            told = StepLogText.FromString(answer.data)
        except (nats.errors.Error, TimeoutError, DecodeError):
            return None
        if told.attempt != number:
            return None
        return Said(told.text, told.offset > len(told.text), told.offset)

    def why_nothing(self, row: asyncpg.Record, chosen: Attempt | None, retention_days: float) -> str:
        """Return, in words, why a step has no log."""
        if self.cache_id == ELSEWHERE:
            return f"step {row['step']} ({row['type']}) was computed elsewhere: the run was imported, without its logs"
        return _why_nothing(row, chosen, retention_days)

    async def said(self, attempt: Attempt) -> Said | None:
        """Return what an attempt said; None: nobody knows, since its executor went away, or is being asked in vain."""
        if attempt.ended_at is None and (found := await self.so_far(attempt.number)):
            return found
        return await self.kept(attempt.number)  # it may have ended meanwhile


@router.get(
    "/api/run/{run_id}/steps/{step}/log",
    summary="Read the log of a step",
    responses=RESPONSES,
)
async def get_step_log(
    request: Request,
    run_id: RunId,
    step: Annotated[int, Path(ge=0, le=2**31 - 1, description="The step's index in the run's plan")],
    parts: Parts,
    viewer: Viewer,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Which attempt; left out: the newest")] = None,
    follow: Annotated[bool, Query(description="Go on with what it says next, as server-sent events")] = False,
) -> Response:
    """What an attempt at a step said: what it was given, warnings, prints of an uploaded effect, errors, its end.

    As text, with the seconds since the attempt began before each line; as JSON, with all attempts; or, with
    `Accept: text/event-stream`, what is there and then what is said, until the step ends. Steps that several runs need
    are computed once: all of those runs show the same log. Of each attempt 64 KiB are kept, the beginning and the end.
    """
    run = await wanted(parts, run_id, viewer)
    row = await runs.step(parts.pool, run_id, step)
    if row is None:
        raise StepNotFoundError(f"run {run_id} has no step {step}", run=run_id, step=step)
    logs = Logs(parts, ELSEWHERE if run.imported_from else row["cache_id"])
    accepted = request.headers.get("accept", "")
    if follow or STREAM in accepted:
        stream = Following(parts, logs, row, attempt, session_of(request)).frames()
        return StreamingResponse(stream, media_type=STREAM, headers=HEADERS)
    attempts = await logs.attempts()
    chosen = _chosen(attempts, attempt, run_id, step)
    said = await logs.said(chosen) if chosen else None
    note = "" if said else logs.why_nothing(row, chosen, parts.settings.retention_days)
    if JSON in accepted:
        return Json(_view(run_id, row, attempts, chosen, said, note))
    headers = {"Cache-Control": "no-store", "Artdag-Attempts": ",".join(str(each.number) for each in attempts)}
    if chosen:
        headers["Artdag-Attempt"] = str(chosen.number)
    return PlainTextResponse(said.text if said else f"{note}\n", headers=headers)


def _chosen(attempts: Sequence[Attempt], number: int | None, run_id: str, step: int) -> Attempt | None:
    """Return the attempt that was asked for; None: any, and there is none.

    Raises:
        StepLogNotFoundError: there is no log of this one.
    """
    if number is None:
        return attempts[-1] if attempts else None
    for each in attempts:
        if each.number == number:
            return each
    there = ", ".join(str(each.number) for each in attempts) or "none"
    raise StepLogNotFoundError(
        f"no log of attempt {number} at step {step} of run {run_id} is kept; kept are: {there}", attempt=number
    )


def _why_nothing(row: asyncpg.Record, chosen: Attempt | None, retention_days: float) -> str:
    """Return, in words, why a step has no log."""
    what = f"step {row['step']} ({row['type']})"
    if chosen:
        return f"{what}: attempt {chosen.number} goes on, or its executor went away; it has not said anything yet"
    if _takes_no_time(row):
        return f"{what} takes no time, since it gives what it was given; nothing is computed, and there is no log"
    if row["status"] in ("completed", "cached", "failed"):
        kept = (
            f"logs are kept for {retention_days:g} days" if retention_days else "it was computed before logs were kept"
        )
        return f"{what} has no log any more: {kept}"
    if row["status"] in OVER:
        return f"{what} was never begun for anybody: it is {row['status']}"
    return f"{what} has not begun: it is {row['status']}"


def _takes_no_time(row: asyncpg.Record) -> bool:
    with contextlib.suppress(ArtdagError, ValidationError):  # a type or an effect that is not known here any more
        kind = find_step_type(row["type"])
        return kind.run is None or kind.passes(kind.params.model_validate_json(row["config"])) is not None
    return False


def _view(
    run_id: str,
    row: asyncpg.Record,
    attempts: Sequence[Attempt],
    chosen: Attempt | None,
    said: Said | None,
    note: str,
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "step": row["step"],
        "node": row["node"],
        "type": row["type"],
        "cache_id": row["cache_id"],
        "status": row["status"],
        "attempt": chosen.number if chosen else None,
        "text": said.text if said else "",
        "truncated": said.truncated if said else False,
        "note": note,
        "attempts": [
            {
                "attempt": each.number,
                "executor": each.executor,
                "began_at": each.began_at,
                "ended_at": each.ended_at,
                "truncated": each.truncated,
                "url": f"/api/run/{run_id}/steps/{row['step']}/log?attempt={each.number}",
            }
            for each in attempts
        ],
    }


class Following:
    """One reader of a step's log, from what is there to the end of the step, or of one attempt."""

    def __init__(
        self, parts: Gateway, logs: Logs, row: asyncpg.Record, attempt: int | None, session: Session | None
    ) -> None:
        """``row``: the step in its run. ``attempt``: None: the newest, and those that follow."""
        self._parts = parts
        self._logs = logs
        self._row = row
        self._only = attempt
        self._session = session
        self._heard: asyncio.Queue[StepLogText] = asyncio.Queue(PENDING)
        self._attempt = 0
        self._shown = 0  # characters of this attempt

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield server-sent events: ``log`` with text, ``end`` with the step's status; a ping now and then."""
        subject = subjects.step_log(self._logs.cache_id)
        subscription = await self._parts.bus.nc.subscribe(subject, cb=self._hear)
        try:
            async for frame in self._all():
                yield frame
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _all(self) -> AsyncIterator[bytes]:
        yield b": the log of a step\n\n"
        for frame in await self._there():
            yield frame
        loop = asyncio.get_running_loop()
        pinged = loop.time()
        while not self._parts.hub.ends(self._session):
            status = await self._over()
            try:
                # What was said before it ended was sent before it ended.
                told = self._heard.get_nowait() if status else await asyncio.wait_for(self._heard.get(), LOOK_SECONDS)
            except asyncio.QueueEmpty:
                for frame in await self._there():
                    yield frame
                days = self._parts.settings.retention_days
                why = "" if self._attempt else self._logs.why_nothing(self._row, None, days)
                yield _frame("end", {"status": status, "note": why})
                return
            except TimeoutError:
                if loop.time() - pinged >= PING_SECONDS:
                    pinged = loop.time()
                    yield PING
                continue
            if more := self._next(told):
                yield more

    async def _hear(self, message: Msg) -> None:
        with contextlib.suppress(DecodeError, asyncio.QueueFull):  # what is missing is there when it has ended
            self._heard.put_nowait(StepLogText.FromString(message.data))

    async def _there(self) -> list[bytes]:
        """Return what is there and was not shown yet."""
        attempts = await self._logs.attempts()
        if self._only is not None:
            attempts = [each for each in attempts if each.number == self._only]
        elif not self._attempt:
            attempts = attempts[-1:]
        frames = []
        for each in attempts:
            if each.number < self._attempt:
                continue
            if said := await self._logs.said(each):
                self._begin(each.number)
                # Where something is left out of the middle, how much was shown says nothing about where to go on.
                rest = "" if said.truncated and self._shown else said.text[self._shown :]
                if rest:
                    frames.append(_frame("log", {"attempt": each.number, "text": rest}))
                self._shown = max(self._shown, said.characters)
        return frames

    def _next(self, told: StepLogText) -> bytes | None:
        """Return what a message adds to what was shown."""
        if told.attempt < self._attempt or self._only not in (None, told.attempt):
            return None
        self._begin(told.attempt)
        text = told.text[max(0, self._shown - told.offset) :]
        missed = "…\n" if told.offset > self._shown else ""
        self._shown = max(self._shown, told.offset + len(told.text))
        return _frame("log", {"attempt": told.attempt, "text": missed + text}) if text else None

    def _begin(self, attempt: int) -> None:
        if attempt != self._attempt:
            self._attempt, self._shown = attempt, 0

    async def _over(self) -> str:
        """Return how what is followed ended; empty: it goes on."""
        if self._only is not None and await self._logs.kept(self._only):
            return "ended"
        row = await runs.step(self._parts.pool, self._row["run_id"], self._row["step"])
        if row is None:  # the run was deleted
            return "deleted"
        self._row = row
        return str(row["status"]) if row["status"] in OVER else ""


def _frame(event: str, facts: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(facts))
