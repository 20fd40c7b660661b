"""NATS_URL with one server and with several."""

from __future__ import annotations

import pytest

from artdag_common.messaging import servers

ALONE = "nats://artdag:secret@10.0.0.1:4222"
SEVERAL = "nats://artdag:secret@a:4222,nats://artdag:secret@b:4222, nats://artdag:secret@c:4222"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (ALONE, ["nats://10.0.0.1:4222"]),
        (SEVERAL, ["nats://a:4222", "nats://b:4222", "nats://c:4222"]),
        ("nats://artdag:secret@a:4222,b:4222,c", ["nats://a:4222", "nats://b:4222", "nats://c"]),
        ("tls://a:4222,b:4222", ["tls://a:4222", "tls://b:4222"]),
        ("a:4222,b", ["nats://a:4222", "nats://b"]),
        ("nats://[::1]:4222,", ["nats://[::1]:4222"]),
        ("nats://artdag:s@cret@a:4222", ["nats://a:4222"]),
    ],
)
def test_each_server_has_an_address_without_the_account(url: str, expected: list[str]) -> None:
    assert servers.addresses(url) == expected
    assert servers.addresses(servers.without_account(url)) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (ALONE, {"user": "artdag", "password": "secret"}),
        (SEVERAL, {"user": "artdag", "password": "secret"}),
        ("a:4222,nats://artdag:secret@b:4222", {"user": "artdag", "password": "secret"}),
        ("nats://artdag:se:cret@a:4222", {"user": "artdag", "password": "se:cret"}),
        ("nats://token@a:4222", {"token": "token"}),
        ("nats://a:4222,b:4222", {}),
    ],
)
def test_one_account_is_that_of_all(url: str, expected: dict[str, str]) -> None:
    assert servers.account(url) == expected


def test_servers_are_named_without_what_is_secret() -> None:
    assert servers.named(SEVERAL) == "a:4222, b:4222, c:4222"
