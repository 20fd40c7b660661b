"""Erasing a person in pieces: whatever it is broken off by, going on or beginning again ends at the same place."""

from __future__ import annotations

from typing import Any

import pytest

from artdag_common.commands import (
    CancelRun,
    Command,
    DeleteObject,
    DeleteRun,
    EraseUser,
    RemoveStorage,
    RemoveWebhook,
    RevokeUser,
    UnpublishObject,
)
from artdag_common.errors import (
    ContentInUseError,
    InvalidRequestError,
    OutputPublishedError,
    RunAlreadyFinishedError,
    RunNotFoundError,
    ServiceUnavailableError,
)
from services.gateway import erasing
from services.gateway.erasing import PARTS, Erasure, read_place
from services.gateway.issuing import Pending

KEYS = {
    UnpublishObject: "publications",
    RemoveStorage: "storage",
    RemoveWebhook: "webhooks",
    CancelRun: "runs",
    DeleteRun: "runs",
    DeleteObject: "content",
}


class World:
    """What is somebody's, and owners of it who do as they are told, or fail at given commands."""

    def __init__(self) -> None:
        self.theirs = {
            "publications": ["p1", "p2"],
            "storage": ["s1"],
            "webhooks": ["w1"],
            "runs": ["r1", "r2", "r3"],
            "recipes": [],
            "effects": [],
            "content": ["c1", "c2"],
        }
        self.erased = 0
        self.issued: list[Command] = []
        self.fails: dict[tuple[type[Command], str], Exception] = {}

    async def fetch(self, sql: str, user: str, after: str, limit: int, *_: Any) -> list[dict[str, str]]:
        part = next(
            p for p, t in (*((p, t) for p, t in erasing.THEIRS.items()), ("content", erasing.CLAIMED)) if t == sql
        )
        return [{"key": key} for key in sorted(self.theirs[part]) if key > after][:limit]

    async def issue(self, command: Command, command_id: str, resource: str) -> dict[str, Any]:
        self.issued.append(command)
        if (type(command), command.key) in self.fails:
            raise self.fails[type(command), command.key]
        if isinstance(command, EraseUser):
            self.erased += 1
        elif not isinstance(command, CancelRun | RevokeUser):
            self.theirs[KEYS[type(command)]].remove(command.key)
        return {"freed_bytes": 10} if isinstance(command, DeleteObject) else {}


@pytest.fixture
def world() -> World:
    it = World()
    for run in it.theirs["runs"]:
        it.fails[CancelRun, run] = RunAlreadyFinishedError("it is over")
    return it


@pytest.fixture
def erasure(world: World) -> Erasure:
    return Erasure(world, world, "u-ada", "owner")  # type: ignore[arg-type]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request gets one thing done."""
    monkeypatch.setattr(erasing, "SECONDS", -1.0)


async def test_one_request_does_all_where_there_is_time(erasure, world):
    world.theirs["publications"] = []
    done = await erasure.go_on(True, False, None)
    assert (done.removed, done.freed_bytes, done.kept, done.next) == (
        {"storage": 1, "webhooks": 1, "runs": 3, "content": 2},
        20,
        [],
        None,
    )
    assert isinstance(world.issued[0], EraseUser), "first who it was"
    assert not any(world.theirs.values())


async def test_what_is_theirs_stays_unless_asked_for(erasure, world):
    done = await erasure.go_on(False, False, None)
    assert (done.removed, done.next) == ({"storage": 1, "webhooks": 1}, None)
    assert world.theirs["runs"] == ["r1", "r2", "r3"]
    assert world.theirs["publications"] == ["p1", "p2"]


async def test_what_is_taken_back_in_public_is_taken_back_while_it_is_known_whose_it_was(erasure, world):
    await erasure.go_on(False, True, None)
    assert [type(command) for command in world.issued] == [
        RevokeUser,
        UnpublishObject,
        UnpublishObject,
        EraseUser,
        RemoveStorage,
        RemoveWebhook,
    ]


async def test_the_operator_keeps_every_token(world):
    with pytest.raises(InvalidRequestError, match="operator"):
        await Erasure(world, world, "owner", "owner").go_on(True, True, None)  # type: ignore[arg-type]
    assert not world.issued


async def test_every_command_names_the_person_and_who_erases_them(erasure, world):
    await erasure.go_on(True, True, None)
    for command in world.issued:
        match command:
            case UnpublishObject():
                assert (command.owner, command.eraser) == ("u-ada", "owner")
            case EraseUser():
                assert (command.user_id, command.by) == ("u-ada", "owner")
            case RemoveStorage() | RemoveWebhook():
                assert (command.owner, command.by) == ("u-ada", "owner")
            case CancelRun() | DeleteRun() | DeleteObject():
                assert (command.by, command.eraser) == ("u-ada", "owner")


@pytest.mark.usefixtures("hurried")
async def test_it_goes_on_where_it_was_and_looks_at_nothing_twice(erasure, world):
    world.fails[DeleteRun, "r2"] = OutputPublishedError("its output is published", rule="published")
    cursor, kept, steps = None, [], 0
    while True:
        done = await erasure.go_on(True, True, cursor)
        kept += done.kept
        cursor, steps = done.next, steps + 1
        if cursor is None:
            break
    assert steps == 10
    assert world.erased == 1
    assert kept == [{"part": "runs", "id": "r2", "rule": "published", "reason": "its output is published"}]
    assert world.theirs == {
        "publications": [],
        "storage": [],
        "webhooks": [],
        "runs": ["r2"],
        "recipes": [],
        "effects": [],
        "content": [],
    }


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("broken_off_after", range(8))
async def test_begun_again_from_the_beginning_it_ends_at_the_same_place(erasure, world, broken_off_after):
    cursor = None
    for _ in range(broken_off_after):
        cursor = (await erasure.go_on(True, True, cursor)).next
    cursor = None
    while (done := await erasure.go_on(True, True, cursor)).next:
        cursor = done.next
    assert not any(world.theirs.values())


async def test_what_cannot_go_is_kept_with_the_rule(erasure, world):
    world.fails[DeleteObject, "c1"] = ContentInUseError("a run needs it", rule="input")
    world.fails[RemoveStorage, "s1"] = Pending("id", "/storage")
    world.fails[DeleteRun, "r1"] = RunNotFoundError("no run r1")
    done = await erasure.go_on(True, True, None)
    assert [(each["part"], each["id"], each["rule"]) for each in done.kept] == [
        ("storage", "s1", "pending"),
        ("content", "c1", "input"),
    ]
    left = {"publications": 2, "webhooks": 1, "runs": 2, "content": 1}
    assert done.removed == left, "what is gone already was not removed now"


async def test_where_a_service_is_away_the_caller_asks_again(erasure, world):
    world.fails[DeleteRun, "r2"] = ServiceUnavailableError("the bus did not take DeleteRun")
    with pytest.raises(ServiceUnavailableError):
        await erasure.go_on(True, True, None)
    assert world.theirs["runs"] == ["r2", "r3"]
    del world.fails[DeleteRun, "r2"]
    assert (await erasure.go_on(True, True, None)).next is None
    assert not any(world.theirs.values())


@pytest.mark.parametrize("part", PARTS)
def test_a_place_is_read_as_it_was_written(part):
    assert read_place(f"{part}:a:b") == (part, "a:b")
    assert read_place(None) == read_place("") == ("", "")


@pytest.mark.parametrize("cursor", ["kitchen:x", ":x", "x", "runs:" + "x" * 300])
def test_any_other_place_is_refused(cursor):
    with pytest.raises(InvalidRequestError):
        read_place(cursor)
