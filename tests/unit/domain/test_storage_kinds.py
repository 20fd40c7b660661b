"""Settings of storage providers: complete, strict, and silent about secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from artdag_common.domain.storage_kinds import KINDS, address_of, canonical_settings, kind_named, read_settings
from artdag_common.errors import InvalidRequestError

GOOD: dict[str, dict[str, Any]] = {
    "local": {"path": "/mnt/art"},
    "s3": {"bucket": "art", "access_key_id": "AKIA", "secret_access_key": "hush-hush"},
    "ipfs": {"endpoint": "https://ipfs.example.org:5001/"},
    "pinning": {"endpoint": "https://pin.example.org/psa", "token": "hush-hush"},
}


@pytest.mark.parametrize("name", GOOD)
def test_settings_are_completed_and_secrets_taken_out(name: str) -> None:
    kind = KINDS[name]
    settings, secrets = read_settings(kind, GOOD[name])
    assert set(settings) | set(kind.secrets) == set(kind.model.model_fields)
    assert not set(settings) & set(kind.secrets)
    assert "hush" not in canonical_settings(settings)
    assert set(secrets) == set(GOOD[name]) & set(kind.secrets)


@pytest.mark.parametrize("name", GOOD)
def test_a_form_asks_for_every_setting_and_shows_no_default_of_a_secret(name: str) -> None:
    fields = KINDS[name].fields()
    assert [each["name"] for each in fields] == list(KINDS[name].model.model_fields)
    for each in fields:
        assert each["label"]
        assert each["help"]
        assert (each["input"] == "password") == each["secret"]
        assert not (each["secret"] and each["default"])
        assert (each["input"] == "select") == bool(each["choices"])


def test_the_same_settings_are_the_same_text() -> None:
    first, _ = read_settings(KINDS["s3"], GOOD["s3"])
    second, _ = read_settings(KINDS["s3"], dict(reversed(GOOD["s3"].items())) | {"region": "us-east-1"})
    assert canonical_settings(first) == canonical_settings(second)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("s3", {"bucket": ""}, "settings.bucket"),
        ("s3", {"bucket": "a/../b"}, "settings.bucket"),
        ("s3", {"buckt": "x"}, "did you mean 'bucket'?"),
        ("s3", {"prefix": "../up"}, "settings.prefix"),
        ("s3", {"style": "diagonal"}, "settings.style"),
        ("s3", {"endpoint": "ftp://x"}, "https://"),
        ("s3", {"endpoint": "https://me:pw@x"}, "without a user or password"),
        ("s3", {"endpoint": "https://x/?a=1"}, "without ? and #"),
        ("s3", {"endpoint": "https://x:port"}, "not an address"),
        ("local", {"path": "art"}, "an absolute path"),
        ("local", {"path": "/mnt/../etc"}, "an absolute path"),
        ("pinning", {"token": ""}, "token: may not be empty"),
    ],
)
def test_a_setting_that_breaks_a_rule_is_named(name: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_settings(KINDS[name], GOOD[name] | change)
    assert said in caught.value.message


def test_no_message_shows_a_secret() -> None:
    for wrong in ("hush-hush" * 1000, ["hush-hush"], {"a": "hush-hush"}):
        with pytest.raises(InvalidRequestError) as caught:
            read_settings(KINDS["s3"], GOOD["s3"] | {"secret_access_key": wrong})
        assert "hush" not in f"{caught.value.message}{caught.value.values}"
        assert "secret_access_key" in caught.value.message
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_secret_under_a_wrong_name_is_not_shown_either() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_settings(KINDS["s3"], {"bucket": "b", "access_key_id": "a", "secret_acces_key": "hush-hush"})
    assert "did you mean 'secret_access_key'?" in caught.value.message
    assert "hush" not in f"{caught.value.message}{caught.value.values}"


def test_a_secret_that_is_set_need_not_be_given_again() -> None:
    without = {name: value for name, value in GOOD["s3"].items() if name != "secret_access_key"}
    with pytest.raises(InvalidRequestError):
        read_settings(KINDS["s3"], without)
    _, secrets = read_settings(KINDS["s3"], without, frozenset({"secret_access_key"}))
    assert secrets == {}


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(InvalidRequestError, match="did you mean 'ipfs'"):
        kind_named("ipsf")
    with pytest.raises(InvalidRequestError, match="known are local, s3, ipfs, pinning"):
        kind_named("carrier pigeon")


def test_an_address_is_where_secrets_go() -> None:
    settings, _ = read_settings(KINDS["s3"], GOOD["s3"])
    assert address_of("s3", settings) == "https://s3.amazonaws.com"
    assert address_of("s3", settings | {"bucket": "other"}) == address_of("s3", settings)


def test_the_guide_lists_every_setting() -> None:
    guide = (Path(__file__).resolve().parents[3] / "docs" / "storage.md").read_text()
    for kind in KINDS.values():
        for each in kind.fields():
            default = "needed" if each["required"] else f"`{each['default']}`" if each["default"] else ""
            hidden = "**secret.** " if each["secret"] else ""
            row = f"| `{kind.name}` | `{each['name']}` | {hidden}{each['help']} | {default}".rstrip()
            assert f"{row} |\n" in guide, row
