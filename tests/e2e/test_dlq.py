"""``artdag dlq`` and ``artdag doctor`` against a running system."""

from __future__ import annotations

import json
import sys
from uuid import uuid4

import pytest

from artdag_cli.system import System
from artdag_common.codec import encode_command
from artdag_common.commands import CancelRun
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.dead_letters import COMMAND_ID, FROM
from tests.e2e.test_cli import Cli, cli  # noqa: F401  (the fixture)

REASON = "\x1b[2Jdisk on fire"


async def give(bus: Bus, subject: str = "") -> str:
    """Give up a command that nobody needs, and return its key."""
    key = uuid4().hex
    told = {FROM: subject or f"cmd.planner.CancelRun.{key}", COMMAND_ID: uuid4().hex}
    await bus.dead_letter("planner", "CancelRun", encode_command(CancelRun(key)), REASON, told)
    return key


async def listed(run: Cli, live: System) -> dict[str, int]:
    """Return the ids of letters by their key."""
    outcome = await run("dlq", "list", "--service", "planner", "--state", live.state, "--json")
    return {letter["key"]: letter["id"] for letter in map(json.loads, outcome.out.splitlines())}


async def test_letters_are_listed_shown_sent_again_and_dropped(live: System, bus: Bus, cli: Cli) -> None:  # noqa: F811
    keys = [await give(bus) for _ in range(4)]
    ids = await listed(cli, live)
    outcome = await cli("dlq", "list", "--state", live.state)
    assert outcome.code == 0
    assert all(f"{ids[key]}  " in outcome.out and key in outcome.out for key in keys)
    assert "\x1b" not in outcome.out

    shown = await cli("dlq", "show", str(ids[keys[0]]), "--state", live.state)
    assert shown.code == 0
    assert f'"run_id": "{keys[0]}"' in shown.out
    assert f"artdag dlq retry {ids[keys[0]]}" in shown.out
    document = (await cli("dlq", "show", str(ids[keys[0]]), "--state", live.state, "--json")).document
    assert document["payload"]["json"] == {"run_id": keys[0]}

    doctor = await cli("doctor", "--state", live.state)
    assert doctor.code == 1
    assert "dead letters of the planner" in doctor.out
    assert not (await cli("doctor", "--state", live.state, "--json")).document["well"]

    assert (await cli("dlq", "retry", str(ids[keys[0]]), "--state", live.state)).code == 0
    again = await cli("dlq", "retry", str(ids[keys[0]]), str(ids[keys[1]]), "--state", live.state)
    assert again.code == 0  # the first was sent before, and is not once more
    assert f"{ids[keys[0]]}: went back to cmd.planner.CancelRun.{keys[0]}" in again.out
    assert f"{ids[keys[1]]}: went back to cmd.planner.CancelRun.{keys[1]}" in again.out
    assert (await cli("dlq", "drop", str(ids[keys[2]]), "--state", live.state)).code == 2  # no reason
    dropped = await cli("dlq", "drop", str(ids[keys[2]]), "--reason", "a test's", "--state", live.state, "--json")
    assert (dropped.code, dropped.document) == (0, {"id": ids[keys[2]], "done": True, "said": "dropped"})
    assert (await cli("dlq", "drop", str(ids[keys[2]]), "--reason", "again", "--state", live.state)).code == 0
    never = await cli("dlq", "retry", str(ids[keys[2]]), str(10**9), "--state", live.state)
    assert never.code == 1
    assert f"dead letter {ids[keys[2]]} was dropped (a test's)" in " ".join(never.err.split())
    assert f"no dead letter {10**9}" in " ".join(never.err.split())
    assert set(keys) & set(await listed(cli, live)) == {keys[3]}


async def test_all_are_taken_after_a_question_only(
    live: System,
    bus: Bus,
    cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, stuck = await give(bus), await give(bus, "work.cpu.abc")
    chosen = ("--all", "--service", "planner", "--name", "CancelRun", "--state", live.state)
    assert (await cli("dlq", "drop", "--reason", "x", "--state", live.state)).code == 2  # neither ids nor --all
    with open("/dev/null") as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert (await cli("dlq", "drop", "--reason", "x", *chosen)).code == 1
    assert key in await listed(cli, live)
    sent = await cli("dlq", "retry", "--yes", *chosen)
    assert sent.code == 0
    assert "1 cannot be sent again" in sent.err
    left = await listed(cli, live)
    assert key not in left
    assert "abc" in left  # its key is that of its subject
    assert stuck not in left
    assert (await cli("dlq", "drop", "--reason", "a test's", "--yes", *chosen)).code == 0
    assert "abc" not in await listed(cli, live)
    assert "nothing gave up" in (await cli("dlq", "list", "--name", "Nothing", "--state", live.state)).err
