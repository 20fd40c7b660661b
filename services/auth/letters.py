"""The keeper of the dead letters. Gateways ask it, since whoever may ask JetStream can do harm with where answers go.

It also tells how the streams stand, which it may ask for the same reason.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from typing import Any

from artdag_common.application import ATTEMPTS, Application
from artdag_common.domain.audit import Audit, hour_of
from artdag_common.errors import VersionConflictError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus, Outcome
from artdag_common.messaging.dead_letters import DeadLetters, Letter, ask, shown
from artdag_common.pb.commands_pb2 import LetterQuestion, LetterSettling, StandingQuestion

MOST = 200
STREAMS = (subjects.COMMANDS, subjects.WORK, subjects.EVENTS, subjects.DEAD_LETTERS)


class Letters:
    """Shows dead letters, and takes away what the operator has dealt with."""

    def __init__(self, bus: Bus, app: Application) -> None:
        self._bus = bus
        self._app = app
        self._letters = DeadLetters(bus)

    async def show(self, question: LetterQuestion) -> Outcome:
        """Return one letter with its payload, or a page of them, oldest first, with the counts of all.

        Raises:
            LetterNotFoundError: there is none of this id.
        """
        if question.id:
            letter = await self._letters.find(question.id)
            raw = {"data": base64.b64encode(letter.data).decode()} if question.raw else {}
            return Outcome.of(letter=view(letter) | {"payload": shown(letter)}, **raw)
        limit = min(max(question.limit, 1), MOST)
        page = await self._letters.page(question.service, question.name, question.after, limit + 1)
        counts = await self._letters.counts()
        total = sum(
            count
            for (service, name), count in counts.items()
            if question.service in ("", service) and question.name in ("", name)
        )
        following = page[limit - 1].id if len(page) > limit else 0
        return Outcome.of(letters=[view(letter) for letter in page[:limit]], total=total, next=following)

    async def settle(self, settling: LetterSettling) -> Outcome:
        """Tell the audit trail what the operator did with a letter, and let it go. A second time does no harm.

        Raises:
            LetterNotFoundError: there is none of this id.
            VersionConflictError: others wrote to the trail all the time.
        """
        letter = await self._letters.find(settling.id)
        dropped = settling.reason if settling.dropped else None
        cause = f"letter/{letter.id}/{letter.at.isoformat()}/{'dropped' if settling.dropped else 'retried'}"
        for _ in range(ATTEMPTS):
            now = self._app.clock()
            hour = hour_of(now)
            known = await self._app.find(Audit, hour)
            audit = Audit.settle_letter(known, hour, letter, settling.by, dropped, now)
            if await self._app.append(audit, cause) != "conflict":
                break
        else:
            raise VersionConflictError(f"the audit trail of {hour} changed {ATTEMPTS} times meanwhile", hour=hour)
        await self._letters.remove(letter.id)
        return Outcome.of(id=letter.id)

    async def standing(self, _: StandingQuestion) -> Outcome:
        """Return how many letters there are by service, and how the streams and their consumers stand."""
        letters: Counter[str] = Counter()
        for (service, _name), count in (await self._letters.counts()).items():
            letters[service] += count
        streams = {name: await ask(self._bus, f"STREAM.INFO.{name}", {}) for name in STREAMS}
        consumers = [each for name in STREAMS[:-1] for each in await self._consumers(name)]
        return Outcome.of(
            letters=letters,
            streams={name: _stream(info) for name, info in streams.items() if "error" not in info},
            consumers=consumers,
            depth=await self._depth(),
        )

    async def _consumers(self, stream: str) -> list[dict[str, Any]]:
        answer = await ask(self._bus, f"CONSUMER.LIST.{stream}", {"offset": 0})
        return [_consumer(info) for info in answer.get("consumers") or [] if info["config"].get("durable_name")]

    async def _depth(self) -> dict[str, int]:
        """Return how many messages the work queue holds, of each class."""
        info = await ask(self._bus, f"STREAM.INFO.{subjects.WORK}", {"subjects_filter": "work.>"})
        depth: Counter[str] = Counter()
        for subject, count in (info.get("state", {}).get("subjects") or {}).items():
            depth[subject.split(".")[1]] += count
        return dict(depth)


def view(letter: Letter) -> dict[str, Any]:
    """Return a letter as the operator sees it, without its payload."""
    return {
        "id": letter.id,
        "service": letter.service,
        "name": letter.name,
        "subject": letter.subject,
        "key": letter.key,
        "reason": letter.reason,
        "at": letter.at.isoformat(),
        "since": letter.since.isoformat(),
        "tried": letter.tried,
        "tries": [{"at": each.at.isoformat(), "reason": each.reason} for each in letter.tries],
        "headers": dict(letter.headers),
    }


def _stream(info: Mapping[str, Any]) -> dict[str, Any]:
    state = info["state"]
    return {"messages": state["messages"], "last": state["last_seq"], "bytes": state["bytes"]}


def _consumer(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return a consumer: ``pending`` messages wait, ``in_hand`` are not acknowledged yet, ``waiting`` are asked for."""
    return {
        "stream": info["stream_name"],
        "name": info["name"],
        "pending": info.get("num_pending", 0),
        "in_hand": info.get("num_ack_pending", 0),
        "most_in_hand": info["config"].get("max_ack_pending", 0),
        "waiting": info.get("num_waiting", 0),
    }
