"""Runs that are refused while nobody listens any more: who was told to wait finds a run that failed, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from artdag_common.application import decode
from artdag_common.cid import cid_of
from artdag_common.commands import CancelRun, Command, DeleteRun, StartRun
from artdag_common.domain.run import InputBinding, Run
from artdag_common.errors import ArtdagError
from artdag_common.eventstore.port import WAITED_FOR
from artdag_common.messaging.bus import Bus, Outcome
from services.gateway.issuing import Issuer, Pending
from services.planner.wiring import planner
from tests.integration.events.appends import names
from tests.integration.planner.test_following import Place, place  # noqa: F401  (the fixture)

ABSENT = cid_of(b"nobody stored this")
MOMENTARY: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "queue-full": ({"max_user_runs": 1}, {}),
    "system-busy": ({"max_runs": 1}, {"owner": "p"}),
}
LASTING: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "recipe-not-found": ({}, {"recipe_cid": ABSENT}),
    "invalid-inputs": ({}, {"inputs": (InputBinding("src", (ABSENT,)),)}),
}
WRONG = MOMENTARY | LASTING
"""By the code of the refusal: the planner's settings, and what is asked for besides a run that goes on."""


class LateBus(Bus):
    """Whose answers come a moment too late: whoever asked has just stopped to wait."""

    async def request(self, command: Command, command_id: str, timeout: float = 5.0) -> Outcome | None:
        assert await super().request(command, command_id, 15)
        return None


@pytest.fixture
async def issuer(place: Place) -> Issuer:  # noqa: F811
    """A gateway's, that hears no answer."""
    it = Issuer(LateBus(place.bus.nc), place.store, place.pool)
    await it.prepare()
    return it


@pytest.fixture
def code(request: pytest.FixtureRequest, place: Place) -> str:  # noqa: F811
    """Of a refusal; the planner is set to give it."""
    place.settings = place.settings.model_copy(update=WRONG[request.param][0])
    return str(request.param)


async def to_be_refused(place: Place, code: str) -> StartRun:  # noqa: F811
    """Start a run that goes on, and return a command that is refused beside it."""
    start = await place.register()
    assert (await place.request(replace(start, hold=True), "first")).accepted
    return replace(start, run_id="run2", **WRONG[code][1])


@pytest.mark.parametrize("code", WRONG, indirect=True)
async def test_the_run_of_whoever_was_told_to_wait_fails_whatever_it_is_refused_for(
    place: Place,  # noqa: F811
    code: str,
) -> None:
    async with place.services(planner):
        command = await to_be_refused(place, code)
        await place.store.keep_outcome(WAITED_FOR, "second", b"")
        for _ in range(2):
            assert (await place.request(command, "second")).accepted
        requested, failed = [decode(each) for each in await place.store.load("run-run2")]
        assert isinstance(requested, Run.Requested)
        assert (requested.owner, requested.inputs) == (command.owner, command.inputs)
        assert isinstance(failed, Run.Failed)
        assert (failed.step, failed.error) == (-1, code)
        assert failed.reason
        assert (await place.request(CancelRun("run1"), "cancel")).accepted
        assert (await place.request(command, "second")).accepted, "the same, though there may be room now"
        assert await place.pool.fetchval("SELECT count(*) FROM planner_active") == 0
        assert (await place.request(DeleteRun("run2"), "delete")).accepted
    assert names(await place.store.load("run-run2")) == ["RunRequested", "RunFailed", "RunDeleted"]


@pytest.mark.parametrize("code", MOMENTARY, indirect=True)
async def test_a_refusal_of_the_moment_that_was_missed_is_decided_again(
    place: Place,  # noqa: F811
    issuer: Issuer,
    code: str,
) -> None:
    async with place.services(planner):
        command = await to_be_refused(place, code)
        with pytest.raises(Pending):
            await issuer.begin(command, "second", "/runs/run2", 0.0)
        await place.reaches("failed", "run2")
    assert names(await place.store.load("run-run2")) == ["RunRequested", "RunFailed"]


@pytest.mark.parametrize("code", LASTING, indirect=True)
async def test_a_lasting_refusal_that_was_missed_is_found(
    place: Place,  # noqa: F811
    issuer: Issuer,
    code: str,
) -> None:
    async with place.services(planner):
        command = await to_be_refused(place, code)
        with pytest.raises(ArtdagError) as told:
            await issuer.begin(command, "second", "/runs/run2", 0.0)
    assert told.value.code == code
    assert not await place.store.load("run-run2")


@pytest.mark.parametrize("code", LASTING, indirect=True)
async def test_whoever_is_told_to_wait_while_a_lasting_refusal_is_noted_finds_the_run(
    place: Place,  # noqa: F811
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The planner has looked whether anybody waits, and nobody did; the gateway, whether there is an answer yet."""
    async with place.services(planner):
        command = await to_be_refused(place, code)
        keep = type(place.store).keep_outcome

        async def keep_late(self: Any, consumer: str, msg_id: str, outcome: bytes) -> None:
            await keep(self, WAITED_FOR, msg_id, b"")
            await keep(self, consumer, msg_id, outcome)

        monkeypatch.setattr(type(place.store), "keep_outcome", keep_late)
        assert (await place.request(command, "second")).code == code
    assert names(await place.store.load("run-run2")) == ["RunRequested", "RunFailed"]


async def test_an_acceptance_that_was_missed_is_found(place: Place, issuer: Issuer) -> None:  # noqa: F811
    async with place.services(planner):
        start = await place.register()
        assert await issuer.begin(start, "start", "/runs/run1", 0.0) == {"run_id": "run1"}
    assert (await place.types())["RunRequested"] == 1
