"""Storage providers, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.storage import REFUSED, Storage
from artdag_common.errors import InvalidRequestError, StorageNotFoundError
from artdag_common.testing.scenario import Scenario, fact

HERE = '{"endpoint":"https://ipfs.example.org"}'
THERE = '{"endpoint":"https://ipfs.example.com"}'
ADDED = fact(Storage.Added, owner="ada", kind="ipfs", name="node", settings=HERE, secrets=("token",), capacity_bytes=0)


@pytest.fixture
def storage() -> Scenario[Storage]:
    return Scenario(Storage, Storage.Added).given(ADDED)


def test_a_new_provider_gets_copies(storage: Scenario[Storage]) -> None:
    assert (storage.state.enabled, storage.state.secrets, storage.state.refusing) == (True, ("token",), False)


def test_an_edit_without_a_change_is_none(storage: Scenario[Storage]) -> None:
    storage.when(Storage.edit, "node", HERE, (), (), 0).nothing()


def test_an_edit_keeps_the_secrets_that_are_not_named(storage: Scenario[Storage]) -> None:
    storage.when(Storage.edit, "my node", HERE, (), (), 10).then(fact(Storage.Edited, name="my node", secrets=()))
    assert (storage.state.secrets, storage.state.capacity_bytes) == (("token",), 10)


def test_a_secret_that_is_set_anew_is_an_edit(storage: Scenario[Storage]) -> None:
    storage.when(Storage.edit, "node", HERE, ("token",), (), 0).then(fact(Storage.Edited, secrets=("token",)))


def test_a_new_address_needs_the_secrets_again(storage: Scenario[Storage]) -> None:
    error = storage.when(Storage.edit, "node", THERE, (), (), 0).raises(InvalidRequestError)
    assert [each["field"] for each in error.values["problems"]] == ["token"]
    assert storage.state.settings == HERE


@pytest.mark.parametrize(("given", "dropped", "left"), [(("token",), (), ("token",)), ((), ("token",), ())])
def test_with_its_secrets_given_or_dropped_an_address_may_change(
    storage: Scenario[Storage], given: tuple[str, ...], dropped: tuple[str, ...], left: tuple[str, ...]
) -> None:
    storage.when(Storage.edit, "node", THERE, given, dropped, 0).then(fact(Storage.Edited, settings=THERE))
    assert storage.state.secrets == left


def test_a_provider_is_switched_off_and_on_once(storage: Scenario[Storage]) -> None:
    storage.when(Storage.switch, True).nothing()
    storage.when(Storage.switch, False).then(Storage.Disabled)
    storage.when(Storage.switch, False).nothing()
    storage.when(Storage.switch, True).then(Storage.Enabled)


def test_a_refusal_is_remembered_until_a_test_or_an_edit(storage: Scenario[Storage]) -> None:
    storage.when(Storage.check, REFUSED, "no such bucket").then(fact(Storage.Checked, ok=False, code=REFUSED))
    assert storage.state.refusing
    storage.when(Storage.check, "", "").then(fact(Storage.Checked, ok=True))
    assert not storage.state.refusing
    storage.given(fact(Storage.Checked, code=REFUSED)).when(Storage.edit, "other", HERE, (), (), 0).then(Storage.Edited)
    assert not storage.state.refusing


def test_a_provider_that_does_not_answer_refuses_nothing(storage: Scenario[Storage]) -> None:
    storage.when(Storage.check, "service-unavailable", "away").then(fact(Storage.Checked, ok=False))
    assert not storage.state.refusing


def test_a_removed_provider_is_gone_for_everybody(storage: Scenario[Storage]) -> None:
    storage.when(Storage.remove, False).then(fact(Storage.Removed, purge=False))
    for decision, arguments in (
        (Storage.remove, (True,)),
        (Storage.switch, (True,)),
        (Storage.check, ("", "")),
        (Storage.edit, ("n", HERE, (), (), 0)),
    ):
        storage.when(decision, *arguments).raises(StorageNotFoundError)


def test_only_a_provider_that_is_emptied_ends_that(storage: Scenario[Storage]) -> None:
    storage.when(Storage.end_purge, 0).nothing()
    storage.given(fact(Storage.Removed, purge=True)).when(Storage.end_purge, 2).then(fact(Storage.Purged, left=2))
    storage.when(Storage.end_purge, 2).nothing()
