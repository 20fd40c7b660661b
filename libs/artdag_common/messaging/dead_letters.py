"""Dead letters: what gave up, kept with its reason and its history until the operator sends it again or drops it."""

from __future__ import annotations

import base64
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats
import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from artdag_common.codec import message_class
from artdag_common.errors import LetterNotFoundError, ServiceUnavailableError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.client import read_headers

FROM, TRIED, TRIES, SINCE, REASON = "Dead-From", "Dead-Tried", "Dead-Tries", "Dead-Since", "Reason"
COMMAND_ID = "Command-Id"

KEPT_MESSAGES = 1000
KEPT_TRIES = 10
REASON_CHARACTERS = 300
HEX_BYTES = 4096
"""How much is shown of what is no message of ours."""

TEXT_CHARACTERS = 4000
REDACTED = ("token", "secret", "sealed", "password")
"""Parts of names of fields whose values nobody is shown."""

COUNT = re.compile("[0-9]{1,9}")

NO_MESSAGE, NO_STREAM = 10_037, 10_059


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt that failed."""

    at: datetime
    reason: str


class Tries:
    """What became of the attempts at messages, as far as this process made them and has room to remember."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, list[Try]] = OrderedDict()

    def note(self, message: Msg, reason: str) -> None:
        """Remember that an attempt failed."""
        tries = self._tries.setdefault(_id_of(message), [])
        tries.append(Try(datetime.now(UTC), reason[:REASON_CHARACTERS]))
        del tries[:-KEPT_TRIES]
        while len(self._tries) > KEPT_MESSAGES:
            self._tries.popitem(last=False)

    def take(self, message: Msg) -> list[Try]:
        """Return the attempts at a message, and forget them."""
        return self._tries.pop(_id_of(message), [])

    def forget(self, message: Msg) -> None:
        """Forget a message that was dealt with."""
        if self._tries:
            self._tries.pop(_id_of(message), None)


def _id_of(message: Msg) -> str:
    """Return what tells a stored message from all others, those of a stream of the same name made later too."""
    known = message.metadata
    return f"{known.stream}/{known.sequence.stream}/{int(known.timestamp.timestamp() * 1e6)}"


def history(message: Msg, tries: Sequence[Try] = ()) -> dict[str, str]:
    """Return the headers with which a message of a stream goes to the dead letters: its own, and what became of it.

    Whoever is killed before it acknowledges the message makes the same letter again, which is kept once.
    """
    known = message.metadata
    told = [{"at": each.at.isoformat(), "reason": each.reason} for each in tries]
    return {
        **{name: value for name, value in (message.headers or {}).items() if _is_told(name)},
        FROM: message.subject,
        TRIED: str(known.num_delivered),
        SINCE: known.timestamp.isoformat(),
        "Nats-Msg-Id": _id_of(message),
        **({TRIES: orjson.dumps(told).decode()} if told else {}),
    }


def _is_told(name: str) -> bool:
    return not name.startswith("Nats-") and name not in ("Reply-To", FROM, TRIED, TRIES, SINCE, REASON)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        id: its sequence in the stream.
        service: who gave up.
        name: of the command, event or delivery.
        subject: where it came from; empty: it was no message of a stream.
        since: when it was sent first; ``at``: when it was given up.
        tried: how often.
    """

    id: int
    service: str
    name: str
    subject: str
    reason: str
    at: datetime
    since: datetime
    tried: int
    tries: tuple[Try, ...]
    headers: Mapping[str, str]
    data: bytes

    @property
    def key(self) -> str:
        """The key of what it is about: a run id, a cache id, a CID; empty: unknown."""
        parts = self.subject.split(".")
        if parts[0] == "evt":
            return parts[2] if len(parts) > 2 else ""
        return parts[-1] if len(parts) > 2 else ""


class DeadLetters:
    """The stream of dead letters, as its keeper reads it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def page(self, service: str, name: str, after: int, limit: int) -> list[Letter]:
        """Return up to ``limit`` letters after an id, oldest first. Empty ``service``, ``name``: of all."""
        found: list[Letter] = []
        while len(found) < limit:
            letter = await self._get(after + 1, subjects.dead_letter(service or "*", name or "*"))
            if letter is None:
                break
            found.append(letter)
            after = letter.id
        return found

    async def find(self, letter_id: int) -> Letter:
        """Return a letter.

        Raises:
            LetterNotFoundError: there is none of this id, or no longer.
        """
        letter = await self._get(letter_id, "")
        if letter is None:
            raise LetterNotFoundError(f"no dead letter {letter_id}", letter=letter_id)
        return letter

    async def remove(self, letter_id: int) -> None:
        """Remove a letter; one that is gone stays so."""
        answer = await self._ask(f"STREAM.MSG.DELETE.{subjects.DEAD_LETTERS}", {"seq": letter_id, "no_erase": True})
        if (error := answer.get("error")) and error.get("code") != 404 and error.get("err_code") != 10_057:
            raise ServiceUnavailableError(f"dead letter {letter_id} cannot be removed: {error.get('description')}")

    async def counts(self) -> dict[tuple[str, str], int]:
        """Return how many letters there are, by service and name."""
        answer = await self._ask(f"STREAM.INFO.{subjects.DEAD_LETTERS}", {"subjects_filter": "dlq.>"})
        counts: Counter[tuple[str, str]] = Counter()
        for subject, count in (answer.get("state", {}).get("subjects") or {}).items():
            counts[_named(subject)] += count
        return dict(counts)

    async def _get(self, sequence: int, subject: str) -> Letter | None:
        """Return the letter of this sequence; with a subject the next one from there on that has it."""
        asked = {"seq": sequence, **({"next_by_subj": subject} if subject else {})}
        answer = await self._ask(f"STREAM.MSG.GET.{subjects.DEAD_LETTERS}", asked)
        if error := answer.get("error"):
            if error.get("err_code") in (NO_MESSAGE, NO_STREAM) or error.get("code") == 404:
                return None
            raise ServiceUnavailableError(f"dead letters cannot be read: {error.get('description')}")
        return read_letter(answer["message"])

    async def _ask(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        return await ask(self._bus, what, asked)


async def ask(bus: Bus, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JetStream answers.

    Raises:
        ServiceUnavailableError: it does not.
    """
    try:
        answer = await bus.nc.request(f"$JS.API.{what}", orjson.dumps(asked), timeout=5)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise ServiceUnavailableError(f"the bus does not answer: {error or type(error).__name__}") from error
    found: dict[str, Any] = orjson.loads(answer.data)
    return found


def read_letter(stored: Mapping[str, Any]) -> Letter:
    """Return the letter that a message is, as JetStream's API gives it. Nothing in it is taken for sound."""
    raw = base64.b64decode(stored.get("hdrs") or "")
    headers = read_headers(raw) if raw else {}
    at = datetime.fromisoformat(str(stored["time"]))
    service, name = _named(stored["subject"])
    try:
        told = [Try(_moment(each["at"]) or at, str(each["reason"])) for each in orjson.loads(headers.get(TRIES, "[]"))]
    except (ValueError, KeyError, TypeError):
        told = []
    return Letter(
        id=int(stored["seq"]),
        service=service,
        name=name,
        subject=headers.get(FROM, ""),
        reason=headers.get(REASON, ""),
        at=at,
        since=_moment(headers.get(SINCE, "")) or at,
        tried=int(headers[TRIED]) if COUNT.fullmatch(headers.get(TRIED, "")) else 1,
        tries=tuple(told),
        headers={key: value for key, value in headers.items() if _is_told(key)},
        data=base64.b64decode(stored.get("data") or ""),
    )


def _moment(text: str) -> datetime | None:
    """Return a time, of UTC where it does not say; None: it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _named(subject: str) -> tuple[str, str]:
    _, service, name = (*subject.split(".", 2), "", "")[:3]
    return service, name


# --- what is shown of a payload -------------------------------------------------------------------------------------


def shown(letter: Letter) -> dict[str, Any]:
    """Return a letter's payload for the operator: as JSON, where it is a message of ours, without its secrets.

    ``json``, or of anything else ``hex``, its first :data:`HEX_BYTES` bytes; of what may hold secrets and cannot be
    read, nothing but the size.
    """
    size = {"size_bytes": len(letter.data)}
    cls = _message_of(letter.name)
    if cls is not None:
        try:
            message = cls.FromString(letter.data)
        except DecodeError:
            pass
        else:
            return {"json": dict(_fields(message)), "hex": None, **size}
        if _holds_secrets(cls.DESCRIPTOR):
            return {"json": None, "hex": None, **size}
    elif (told := document(letter.data)) is not None:
        return {"json": {name: _told(name, value) for name, value in told.items()}, "hex": None, **size}
    return {"json": None, "hex": letter.data[:HEX_BYTES].hex(), **size}


def document(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a payload is; None: it is none. So deliveries tell what they were."""
    try:
        found = orjson.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _told(name: str, value: Any) -> Any:
    if any(part in name for part in REDACTED):
        return "(not shown)"
    if isinstance(value, dict):
        return {inner: _told(inner, each) for inner, each in value.items()}
    if isinstance(value, list):
        return [_told("", each) for each in value]
    return value[:TEXT_CHARACTERS] if isinstance(value, str) else value


def _message_of(name: str) -> type[Message] | None:
    try:
        found = message_class(name)
    except (AttributeError, AssertionError):
        return None
    return found if issubclass(found, Message) else None


def _is_secret(field: FieldDescriptor) -> bool:
    named = any(part in field.name for part in REDACTED)
    return field.type == FieldDescriptor.TYPE_BYTES or (named and field.type == FieldDescriptor.TYPE_STRING)


def _holds_secrets(descriptor: Any) -> bool:
    return any(
        _is_secret(field) or (field.message_type is not None and _holds_secrets(field.message_type))
        for field in descriptor.fields
    )


def _fields(message: Message) -> Iterator[tuple[str, Any]]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            yield field.name, [dict(_fields(item)) for item in (value if field.is_repeated else [value])]
        elif _is_secret(field):
            yield field.name, f"({len(value)} {'bytes' if isinstance(value, bytes) else 'characters'}, not shown)"
        elif isinstance(value, str):
            yield field.name, value[:TEXT_CHARACTERS]
        elif field.is_repeated:
            yield field.name, list(value)
        else:
            yield field.name, value
