"""The published contract: protos that lint and break nothing, modules and AsyncAPI document that are fresh."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from artdag_common.commands import COMMANDS
from artdag_common.domain.aggregate import AGGREGATES, EVENTS
from artdag_common.messaging import subjects

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"


def run(*command: str, folder: Path = ROOT, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'libs'}"}
    if cache:
        environment["BUF_CACHE_DIR"] = str(cache)
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=100, check=False
    )


def buf(cache: Path, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return run(str(Path(sys.executable).with_name("buf")), *arguments, folder=folder, cache=cache)


def test_the_protos_lint(tmp_path: Path) -> None:
    result = buf(tmp_path, "lint", "proto")
    assert result.returncode == 0, result.stdout


def test_the_protos_break_nothing_that_was_released(tmp_path: Path) -> None:
    result = buf(tmp_path, "breaking", "proto", "--against", "proto/baseline")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string recipe_cid = 2;", "int64 recipe_cid = 2;"),
        ("string recipe_cid = 2;", "string recipe = 2;"),
        ("string recipe_cid = 2;", "string recipe_cid = 20;"),
        ("string recipe_cid = 2;", ""),
        ("message RunReleased", "message RunUnleashed"),
    ],
)
def test_a_change_that_breaks_readers_is_found(tmp_path: Path, old: str, new: str) -> None:
    shutil.copytree(PROTO, tmp_path / "proto")
    for path in (tmp_path / "proto" / "artdag" / "v1").glob("*.proto"):
        path.write_text(path.read_text().replace(old, new))
    result = buf(tmp_path / "cache", "breaking", str(tmp_path / "proto"), "--against", "proto/baseline")
    assert result.returncode == 100, result.stdout + result.stderr


def test_the_compiled_modules_are_fresh() -> None:
    result = run(sys.executable, "proto/build.py", "--check")
    assert result.returncode == 0, result.stderr


def test_the_asyncapi_document_is_fresh() -> None:
    result = run(sys.executable, "proto/asyncapi.py", "--check")
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    return document


def an_object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def a_map(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "patternProperties": {r"^[A-Za-z0-9_\-]+$": of}, "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
REF = an_object(["$ref"], **{"$ref": {"type": "string", "pattern": "^#/"}})
ASYNCAPI_3 = an_object(
    ["asyncapi", "info"],
    asyncapi={"const": "3.0.0"},
    info=an_object(["title", "version"], title=TEXT, version=TEXT, description=TEXT),
    servers=a_map(an_object(["host", "protocol"], host=TEXT, protocol=TEXT, description=TEXT)),
    defaultContentType=TEXT,
    channels=a_map(
        an_object(
            ["address", "messages"],
            address={"type": ["string", "null"]},
            parameters=a_map(an_object([], description=TEXT)),
            messages=a_map(REF),
        )
    ),
    operations=a_map(
        an_object(
            ["action", "channel"],
            action={"enum": ["send", "receive"]},
            channel=REF,
            summary=TEXT,
            messages={"type": "array", "minItems": 1, "items": REF},
            reply=an_object(
                [],
                address=an_object(["location"], location={"type": "string", "pattern": r"^\$message\."}),
                channel=REF,
            ),
        )
    ),
    components=an_object(
        [],
        messages=a_map(an_object(["name"], name=TEXT, summary=TEXT, contentType=TEXT, headers=REF, payload=REF)),
        schemas=a_map({"type": "object", "required": ["type"]}),
    ),
)
"""The rules of AsyncAPI 3.0 for the parts that the document uses."""


def test_the_asyncapi_document_has_the_shape_of_its_specification(asyncapi: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(ASYNCAPI_3).validate(asyncapi)
    for schema in asyncapi["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def resolve(document: dict[str, Any], reference: str) -> Any:
    value: Any = document
    for part in reference.removeprefix("#/").split("/"):
        value = value[part]
    return value


def test_every_reference_leads_somewhere(asyncapi: dict[str, Any]) -> None:
    found = list(references(asyncapi))
    assert len(found) > 100
    for reference in found:
        assert resolve(asyncapi, reference), reference


def test_addresses_and_their_parameters_agree(asyncapi: dict[str, Any]) -> None:
    addresses = [c["address"] for c in asyncapi["channels"].values() if c["address"]]
    assert len(set(addresses)) == len(addresses)
    for name, channel in asyncapi["channels"].items():
        declared = set(channel.get("parameters", {}))
        assert set(re.findall(r"\{(\w+)\}", channel["address"] or "")) == declared, name


def test_an_operation_uses_messages_of_its_channel(asyncapi: dict[str, Any]) -> None:
    for name, operation in asyncapi["operations"].items():
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/"), name


def test_every_event_and_command_is_in_the_document(asyncapi: dict[str, Any]) -> None:
    assert set(asyncapi["channels"]) >= {*EVENTS, *COMMANDS}
    for name in EVENTS:
        assert asyncapi["operations"][f"publish{name}"]["action"] == "send"
    for name in COMMANDS:
        assert asyncapi["operations"][f"handle{name}"]["action"] == "receive"


def test_every_subject_is_in_the_document(asyncapi: dict[str, Any]) -> None:
    """A subject that ``messaging.subjects`` can make has a channel."""
    patterns = [re.sub(r"\\\{\w+\\\}", r"[^.]+", re.escape(c["address"] or "")) for c in asyncapi["channels"].values()]
    made = [
        subjects.WAKE_RELAY,
        subjects.STEP_HINTS,
        subjects.REVOKED_HINTS,
        subjects.VERIFY,
        subjects.REVOKE_NAME,
        subjects.BEGIN_GRANT,
        subjects.SHOW_GRANT,
        subjects.TAKE_GRANT,
        subjects.tick("abc"),
        subjects.copy_tick("abc"),
        subjects.alive("planner", "host-1"),
        subjects.ping("planner"),
        subjects.dead_letter("planner", "StartRun"),
        subjects.work("cpu", "abc"),
        *(subjects.event(AGGREGATES[kind].stream("abc"), name) for name, kind in _kinds()),
        *(subjects.command(c.SERVICE, n, "abc") for n, c in COMMANDS.items() if n != "ExecuteSteps"),
    ]
    for subject in made:
        assert any(re.fullmatch(p, subject) for p in patterns), subject


def _kinds() -> Iterator[tuple[str, str]]:
    for name, cls in EVENTS.items():
        yield name, cls.TOPIC.partition(".")[0]
