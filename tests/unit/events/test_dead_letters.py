"""What is shown of a dead letter: messages as JSON without their secrets, all else as it is, and nothing breaks."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.codec import encode_command
from artdag_common.commands import (
    COMMANDS,
    AddStorage,
    AttachToken,
    Command,
    ExecuteStep,
    ExecuteSteps,
    SealedSecret,
    StartRun,
)
from artdag_common.domain.run import InputBinding
from artdag_common.messaging.dead_letters import HEX_BYTES, Letter, read_letter, shown
from services.gateway.api.dlq import WEBHOOK, letter_view, obstacle

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
SECRET = "topsecret-9d1c"


def letter(name: str, data: bytes, service: str = "planner", subject: str = "") -> Letter:
    return Letter(1, service, name, subject, "r", NOW, NOW, 1, (), {}, data)


def test_a_command_is_shown_with_its_lists() -> None:
    command = StartRun("r1", "bafy", "u-ada", (InputBinding("media", ("c1", "c2")),), hold=True)
    told = shown(letter("StartRun", encode_command(command)))
    inputs = [{"name": "media", "cids": ["c1", "c2"]}]
    assert told["json"] == {"run_id": "r1", "recipe_cid": "bafy", "owner": "u-ada", "inputs": inputs, "hold": True}
    assert told["size_bytes"] == len(encode_command(command))


def test_a_number_of_steps_is_shown() -> None:
    steps = ExecuteSteps((ExecuteStep("c1", "NOOP", "{}", "s", ("a",), version=3),))
    assert shown(letter("ExecuteSteps", encode_command(steps)))["json"]["steps"][0]["version"] == 3


@pytest.mark.parametrize(
    "command",
    [
        AddStorage("s1", "u", "s3", "d", "{}", (SealedSecret("key", SECRET.encode()),)),
        AttachToken(SECRET, "u"),
    ],
    ids=lambda each: str(type(each).__name__),
)
def test_secrets_are_not_shown_whether_the_payload_can_be_read_or_not(command: Command) -> None:
    data = encode_command(command)
    for each in (data, data + b"\xff"):
        told = str(shown(letter(type(command).__name__, each)))
        assert SECRET not in told
        assert SECRET.encode().hex() not in told
        assert base64.b64encode(SECRET.encode()).decode()[:-4] not in told


def test_every_field_of_bytes_in_a_command_counts_as_a_secret() -> None:
    for name, cls in COMMANDS.items():
        for field in cls.__dataclass_fields__.values():  # type: ignore[attr-defined]
            if field.type == "bytes":
                assert shown(letter(name, b"\xff"))["hex"] is None, name


def test_what_is_no_message_is_shown_in_hex_up_to_a_bound() -> None:
    data = b"\x00\xff" * HEX_BYTES
    told = shown(letter("Nonsense", data))
    assert told == {"json": None, "hex": data[:HEX_BYTES].hex(), "size_bytes": len(data)}


def test_a_delivery_tells_what_it_was_without_its_secrets() -> None:
    told = shown(letter("Delivery", b'{"run_id":"r1","deep":[{"api_token":"t"}]}'))
    assert told["json"] == {"run_id": "r1", "deep": [{"api_token": "(not shown)"}]}


@given(data=st.binary(max_size=200), name=st.sampled_from([*sorted(COMMANDS), "RunRequested", "Nonsense", ""]))
def test_whatever_a_letter_holds_it_can_be_shown(data: bytes, name: str) -> None:
    told = shown(letter(name, data))
    assert told["size_bytes"] == len(data)
    assert told["json"] is None or told["hex"] is None


@given(headers=st.binary(max_size=200), data=st.binary(max_size=50), subject=st.text(max_size=30))
def test_whatever_its_headers_say_a_letter_can_be_read(headers: bytes, data: bytes, subject: str) -> None:
    stored: dict[str, Any] = {
        "seq": 5,
        "subject": f"dlq.{subject}",
        "time": "2026-11-22T04:00:00.123456789Z",
        "hdrs": base64.b64encode(b"NATS/1.0\r\n" + headers).decode(),
        "data": base64.b64encode(data).decode(),
    }
    read = read_letter(stored)
    assert (read.id, read.data) == (5, data)
    assert read.at == datetime(2026, 11, 22, 4, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("since", ["yesterday", "", "2026-11-22T03:00:00"])
def test_a_time_that_is_none_is_that_of_the_letter(since: str) -> None:
    lines = f"NATS/1.0\r\nDead-Since: {since}\r\nDead-Tried: many\r\nDead-Tries: [1]\r\n\r\n"
    stored = {"seq": 1, "subject": "dlq.a.b", "time": "2026-11-22T04:00:00Z"}
    read = read_letter({**stored, "hdrs": base64.b64encode(lines.encode()).decode()})
    assert read.since.tzinfo is not None
    assert (read.tried, read.tries) == (1, ())


def test_what_a_webhook_did_not_take_can_be_sent_again() -> None:
    service, name = WEBHOOK
    told: dict[str, Any] = {"service": service, "name": name, "subject": "", "id": 3, "headers": {}}
    assert letter_view(told)["retry"] == {"able": True, "how": None}
    sound = {"json": {"webhook_id": "w", "owner": "u", "notice_id": "n"}, "hex": None, "size_bytes": 9}
    assert letter_view(told | {"payload": sound})["retry"]["able"]
    assert not letter_view(told | {"payload": {"json": None, "hex": "ff", "size_bytes": 1}})["retry"]["able"]
    assert obstacle(told, b"nonsense")
