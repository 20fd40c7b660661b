"""Write ``docs/asyncapi.yaml``, the published contract of the bus: ``python proto/asyncapi.py [--check]``.

Everything in it comes from the code that runs: events and commands from their registries, subjects from
``messaging.subjects``, streams from ``messaging.bus``, fields from the compiled protos.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor import Descriptor, FieldDescriptor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "libs"))

from artdag_common.codec import message_class  # noqa: E402
from artdag_common.commands import COMMANDS, ExecuteSteps  # noqa: E402
from artdag_common.domain.aggregate import AGGREGATES, EVENTS  # noqa: E402
from artdag_common.messaging import subjects  # noqa: E402
from artdag_common.messaging.bus import STREAMS  # noqa: E402
from artdag_common.pb import commands_pb2, events_pb2  # noqa: E402
from artdag_common.version import VERSION  # noqa: E402

TARGET = ROOT / "docs" / "asyncapi.yaml"

OWNERS = {
    "run": "planner",
    "recipe": "planner",
    "effect": "planner",
    "step": "executor",
    "object": "cache",
    "storage": "cache",
    "copy": "cache",
    "webhook": "cache",
    "notice": "cache",
    "token": "auth",
    "user": "auth",
    "audit": "auth",
}
"""The one service that appends to the streams of each kind."""

TYPES: dict[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}

EVENT_HEADERS = {
    "ce-specversion": "CloudEvents version, 1.0",
    "ce-id": "event id: UUIDv5 of the causing message and an index, the same at every retry",
    "ce-source": "/artdag",
    "ce-type": "artdag.v1.<event type>",
    "ce-subject": "stream of the event, <kind>-<key>",
    "ce-time": "when it was recorded, ISO 8601",
    "ce-datacontenttype": "application/protobuf",
    "Es-Position": "place of the event in the one order of all events: the sequence of the stream",
    "Es-Version": "version of the event in its stream: 1, 2, 3 …",
    "Es-Hash": "link of the hash chain, hexadecimal",
}
COMMAND_HEADERS = {
    "Command-Id": "id of the request; a repeated one is handled once",
    "Nats-Msg-Id": "what JetStream drops duplicates by",
    "Reply-To": "where the asker waits for the CommandOutcome, if it does",
    "traceparent": "W3C Trace Context of the request that it comes from, if it belongs to one",
}


def sentence(text: str | None) -> str:
    """Return the first paragraph of a docstring on one line, without its markup."""
    return re.sub(r"``|\s+", lambda m: "`" if m[0] == "``" else " ", inspect.cleandoc(text or "").split("\n\n")[0])


def schema(message: Descriptor) -> dict[str, Any]:
    """Return a message as a JSON schema."""
    properties: dict[str, Any] = {}
    for field in message.fields:
        kind = (
            {"$ref": f"#/components/schemas/{field.message_type.name}"}
            if field.message_type
            else dict(TYPES[field.type])
        )
        if field.name == "at_us":
            kind["description"] = "When it was decided: microseconds since 1970-01-01T00:00:00Z."
        properties[field.name] = {"type": "array", "items": kind} if field.is_repeated else kind
    return {"type": "object", "x-protobuf": message.full_name, "properties": properties}


def headers(names: dict[str, str]) -> dict[str, Any]:
    """Return a schema of message headers."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in names.items()},
    }


def message(name: str, summary: str, header: str = "") -> dict[str, Any]:
    """Return a message whose payload is the protobuf message of its name."""
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/protobuf",
        **({"headers": {"$ref": f"#/components/schemas/{header}"}} if header else {}),
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def channel(address: str | None, name: str, parameters: dict[str, str], stream: str = "") -> dict[str, Any]:
    """Return a channel that carries one kind of message."""
    return {
        "address": address,
        **({"parameters": {key: {"description": text} for key, text in parameters.items()}} if parameters else {}),
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "x-stream": stream or "none: core NATS, not stored",
    }


def operation(action: str, where: str, name: str, summary: str, service: str) -> dict[str, Any]:
    """Return what Art DAG does at a channel."""
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{where}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{where}/messages/{name}"}],
        "x-service": service,
    }


def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    kinds = {cls.__name__: kind for kind, cls in AGGREGATES.items()}
    for name, event in sorted(EVENTS.items()):
        kind = kinds[next(k for k in kinds if name.startswith(k))]
        summary = sentence(event.__doc__)
        messages[name] = message(name, summary, "EventHeaders")
        address = subjects.event(f"{kind}-{{key}}", name)
        channels[name] = channel(address, name, {"key": f"id of the {kind}"}, subjects.EVENTS)
        operations[f"publish{name}"] = operation("send", name, name, summary, f"{OWNERS[kind]}, through the relay")
    for name, command in sorted(COMMANDS.items()):
        summary = sentence(command.__doc__)
        messages[name] = message(name, summary, "" if command is ExecuteSteps else "CommandHeaders")
        if command is ExecuteSteps:
            parameters = {
                "class": "kind of executor: inline or cpu",
                "name": "cache id of the step, or a hash of several",
            }
            channels[name] = channel(subjects.work("{class}", "{name}"), name, parameters, subjects.WORK)
        else:
            address = subjects.command(command.SERVICE, name, "{key}")
            channels[name] = channel(address, name, {"key": "what the command is about"}, subjects.COMMANDS)
        operations[f"handle{name}"] = operation("receive", name, name, summary, command.SERVICE)
        if command is not ExecuteSteps:
            operations[f"handle{name}"]["reply"] = {
                "address": {"location": "$message.header#/Reply-To"},
                "channel": {"$ref": "#/channels/CommandOutcome"},
            }
    messages["CommandOutcome"] = message("CommandOutcome", "What became of a command: accepted, or refused and why.")
    messages["StepTick"] = message("StepTick", "Frames done by a running step: telemetry, never stored.")
    messages["StepLogText"] = message("StepLogText", "What the attempt at a running step says, as it says it.")
    messages["ExecutorPresence"] = message("ExecutorPresence", "An executor is there, and what it works on.")
    messages["InstancePresence"] = message("InstancePresence", "A process of a service is there, and since when.")
    messages["CopyTick"] = message("CopyTick", "Content on its way to a storage provider: telemetry, never stored.")
    messages["ContentQuestion"] = message("ContentQuestion", "Which of these does another node have?")
    messages["ContentAnswer"] = message("ContentAnswer", "What a node has of them, and where it serves it.")
    messages["EventBatch"] = message("EventBatch", "Ends of steps right after their commit, ahead of the stream.")
    messages["Wake"] = {"name": "Wake", "summary": "Something was committed: the relay need not wait for its poll."}
    messages["Ping"] = {"name": "Ping", "summary": "Whether a service can do work: any answer says yes."}
    messages["DeadLetter"] = {
        "name": "DeadLetter",
        "summary": "A message that gave up, as it was, with its headers and a Reason.",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
    }
    channels["CommandOutcome"] = channel(None, "CommandOutcome", {})
    channels["StepTick"] = channel(subjects.tick("{cacheId}"), "StepTick", {"cacheId": "cache id of the step"})
    channels["StepLogText"] = channel(
        subjects.step_log("{cacheId}"), "StepLogText", {"cacheId": "cache id of the step"}
    )
    channels["ExecutorPresence"] = channel(
        subjects.here("{executor}"), "ExecutorPresence", {"executor": "name of the executor"}
    )
    channels["InstancePresence"] = channel(
        subjects.alive("{service}", "{instance}"),
        "InstancePresence",
        {"service": "its service", "instance": "name of the process"},
    )
    channels["CopyTick"] = channel(subjects.copy_tick("{storageId}"), "CopyTick", {"storageId": "id of the provider"})
    cluster = {"cluster": "name of the cluster, made of its key"}
    channels["ContentQuestion"] = channel(subjects.content("{cluster}"), "ContentQuestion", cluster)
    channels["ContentAnswer"] = channel(subjects.nodes("{cluster}"), "ContentAnswer", cluster)
    channels["EventBatch"] = channel(subjects.STEP_HINTS, "EventBatch", {})
    channels["Wake"] = channel(subjects.WAKE_RELAY, "Wake", {})
    channels["Ping"] = channel(subjects.ping("{service}"), "Ping", {"service": "service that is asked"})
    questions = {
        subjects.VERIFY: ("TokenQuestion", "Whose is this token?"),
        subjects.REVOKE_NAME: ("NameQuestion", "Refuse all tokens of the person who has this name at L2."),
        subjects.BEGIN_GRANT: ("GrantBeginning", "Begin to sign a program in."),
        subjects.SHOW_GRANT: ("GrantQuestion", "What a person is to confirm, or does confirm."),
        subjects.TAKE_GRANT: ("GrantPoll", "What came of it."),
        subjects.LETTERS: ("LetterQuestion", "Which dead letters are there?"),
        subjects.SETTLE_LETTER: ("LetterSettling", "A dead letter was sent again, or is to be dropped."),
        subjects.STANDING: ("StandingQuestion", "How do the streams stand?"),
    }
    for address, (name, summary) in questions.items():
        messages[name] = message(name, summary)
        channels[name] = channel(address, name, {})
        operations[f"answer{name}"] = operation("receive", name, name, summary, "auth")
    messages["RevokedHint"] = message("RevokedHint", "Tokens that are refused from now on, right after the commit.")
    channels["RevokedHint"] = channel(subjects.REVOKED_HINTS, "RevokedHint", {})
    operations["answerPing"] = operation("receive", "Ping", "Ping", messages["Ping"]["summary"], "every service")
    parameters = {"service": "service that gave it up", "name": "name of the command, event or delivery"}
    channels["DeadLetter"] = channel(
        subjects.dead_letter("{service}", "{name}"), "DeadLetter", parameters, subjects.DEAD_LETTERS
    )
    for name, service in {
        "StepTick": "executor",
        "StepLogText": "executor",
        "ExecutorPresence": "executor",
        "InstancePresence": "every service",
        "CopyTick": "cache",
        "ContentQuestion": "every service that needs content of another node",
        "ContentAnswer": "cache",
        "EventBatch": "executor",
        "RevokedHint": "auth",
        "Wake": "every service that appends",
        "DeadLetter": "every service that takes commands",
    }.items():
        operations[f"publish{name}"] = operation("send", name, name, messages[name]["summary"], service)
    schemas = {
        name: schema(descriptor)
        for module in (events_pb2, commands_pb2)
        for name, descriptor in sorted(module.DESCRIPTOR.message_types_by_name.items())
    }
    assert all(name in schemas for name in messages if "payload" in messages[name])
    assert all(message_class(name) for name in (*EVENTS, *COMMANDS))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Art DAG L1: events and commands",
            "version": VERSION,
            "description": "Generated by proto/asyncapi.py from the code that runs. Payloads are the protobuf messages"
            " of proto/artdag/v1; the schemas here are their JSON form. docs/events.md tells which events a run makes.",
        },
        "servers": {
            "bus": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "NATS with JetStream; NATS_URL",
            }
        },
        "defaultContentType": "application/protobuf",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": {
                "EventHeaders": headers(EVENT_HEADERS),
                "CommandHeaders": headers(COMMAND_HEADERS),
                "DeadLetterHeaders": headers({**COMMAND_HEADERS, "Reason": "why it gave up"}),
                **schemas,
            },
        },
        "x-streams": {str(config.name): stream(config) for config in STREAMS},
    }


def stream(config: Any) -> dict[str, Any]:
    """Return the settings of a JetStream stream that users of the bus rely on."""
    day = 86_400
    return {
        "subjects": list(config.subjects),
        "retention": config.retention.value,
        "storage": config.storage.value,
        **({"max_age_days": int(config.max_age / day)} if config.max_age else {}),
        **({"max_messages": config.max_msgs} if config.max_msgs else {}),
        **({"messages_per_subject": config.max_msgs_per_subject} if config.discard_new_per_subject else {}),
    }


def text() -> str:
    """Return the document as YAML."""
    dumped: str = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    return f"# Generated by proto/asyncapi.py; do not edit.\n{dumped}"


def main() -> None:
    """Write the document, or with ``--check`` fail if the one on disk is not what the code gives."""
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != text():
            raise SystemExit(f"{TARGET.relative_to(ROOT)} is not what the code gives; run python proto/asyncapi.py")
        return
    TARGET.write_text(text())


if __name__ == "__main__":
    main()
