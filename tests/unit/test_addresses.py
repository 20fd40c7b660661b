"""Addresses: who counts as one client, and whose word is taken."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from artdag_common.addresses import LOOPBACK, among, client_key, client_of
from artdag_common.config import Settings

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("unix", "198.51.100.1", "unix"),
    ],
)
def test_only_a_proxys_word_is_taken_and_only_its_own(peer: str, said: str, client: str) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in said.split("|")]
    assert client_of(peer, headers, PROXIES) == client


def test_several_fields_are_one_list() -> None:
    headers = [(b"x-forwarded-for", b"127.0.0.1"), (b"host", b"x"), (b"x-forwarded-for", b"198.51.100.1, 10.0.0.2")]
    assert client_of("10.0.0.1", headers, PROXIES) == "198.51.100.1"
    assert client_of("10.0.0.1", headers, ()) == "10.0.0.1"


def test_a_client_is_an_address_and_of_ipv6_a_network() -> None:
    assert client_key("198.51.100.1") == client_key("::ffff:198.51.100.1") == "198.51.100.1"
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:1") != client_key("2001:db8:0:1::1")
    assert client_key("unix") == "unix"
    assert among("127.9.9.9", LOOPBACK)
    assert among("::1", LOOPBACK)
    assert not among("unix", LOOPBACK)


def test_proxies_are_set_by_commas() -> None:
    settings = Settings.model_validate({"ARTDAG_TRUSTED_PROXIES": "10.0.0.0/8, fd00::1"})
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::1/128"))
    assert Settings().trusted_proxies == ()
    with pytest.raises(ValidationError):
        Settings.model_validate({"ARTDAG_TRUSTED_PROXIES": "10.0.0.1/8"})
