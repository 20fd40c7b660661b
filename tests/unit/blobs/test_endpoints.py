"""Which endpoints are understood, which people may name, and what of them is shown."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from artdag_common.blobs.endpoints import (
    Endpoint,
    ForbiddenAddressError,
    Hosts,
    is_forbidden,
    parse_endpoint,
    redacted,
    shown,
)
from artdag_common.blobs.s3 import S3Settings
from artdag_common.errors import ServiceUnavailableError, StorageRefusedError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://s3.example.org", "https://s3.example.org"),
        ("https://S3.Example.org:443/base/", "https://s3.example.org/base"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("/dns/localhost/tcp/5001", "http://localhost:5001"),
        ("/dns4/node/tcp/5001/http", "http://node:5001"),
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip6/::1/tcp/5001", "http://[::1]:5001"),
        ("/dns/node.example.org/tcp/443/https", "https://node.example.org"),
        ("/dns/node.example.org/tcp/443/tls/http", "https://node.example.org"),
    ],
)
def test_urls_and_multiaddrs_are_read(text: str, url: str) -> None:
    assert parse_endpoint(text).url == url
    assert parse_endpoint(parse_endpoint(text).url) == parse_endpoint(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("ftp://host", "begin it with https://"),
        ("host:9000", "begin it with https://"),
        ("file:///etc/passwd", "begin it with https://"),
        ("https://", "neither a name nor an address"),
        ("https://host:99999", "[Pp]ort"),
        ("https://ho st", "neither a name nor an address"),
        ("https://host%2f", "neither a name nor an address"),
        ("https://key:word@host", "secrets have fields of their own"),
        ("https://host/?token=word", "secrets have fields of their own"),
        ("https://host/#word", "secrets have fields of their own"),
        ("http://127.1", "four decimal numbers"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://0x7f000001", "four decimal numbers"),
        ("http://0177.0.0.1", "four decimal numbers"),
        ("/ip4/127.0.0.1/udp/5001", "looks like"),
        ("/dns/host/tcp/0", "looks like"),
        ("/dns/host/tcp/5001/p2p/Qm", "looks like"),
        ("/", "looks like"),
    ],
)
def test_what_is_no_endpoint_is_named(text: str, rule: str) -> None:
    with pytest.raises(StorageRefusedError, match=rule) as raised:
        parse_endpoint(text)
    assert "word" not in raised.value.message.replace("password", "")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_the_servers_own_network_is_not_for_people(address: str) -> None:
    assert not Hosts.parse("").allows(ipaddress.ip_address(address), 443)
    assert Hosts.everywhere().allows(ipaddress.ip_address(address), 443)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are(address: str) -> None:
    assert Hosts.parse("").allows(ipaddress.ip_address(address), 443)


def test_the_operator_allows_networks_and_ports() -> None:
    hosts = Hosts.parse(" 10.1.0.0/16, 127.0.0.1:9000 ,[::1]:5001,[fd00::]:1,192.168.7.7,minio.lan:9000")
    allowed = [
        (address, port)
        for address in ("10.1.2.3", "10.2.2.3", "127.0.0.1", "127.0.0.2", "::1", "192.168.7.7", "::ffff:10.1.2.3")
        for port in (9000, 5001)
        if hosts.allows(ipaddress.ip_address(address), port)
    ]
    assert allowed == [
        ("10.1.2.3", 9000),
        ("10.1.2.3", 5001),
        ("127.0.0.1", 9000),
        ("::1", 5001),
        ("192.168.7.7", 9000),
        ("192.168.7.7", 5001),
        ("::ffff:10.1.2.3", 9000),
        ("::ffff:10.1.2.3", 5001),
    ]


@pytest.mark.parametrize("text", ["10.1.0.0/40", "a b", "host:", "host:123456", "1.2.3", "https://host", "[host]", "*"])
def test_a_rule_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name, an address or a network"):
        Hosts.parse(text)


class Names:
    """Stands in for the look-up of names."""

    def __init__(self, *addresses: str, error: int = 0) -> None:
        self._addresses = addresses
        self._error = error

    async def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        if self._error:
            raise socket.gaierror(self._error, "no")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self._addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have names mean what a test says."""
    import asyncio

    def mean(*addresses: str, error: int = 0) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(*addresses, error=error), raising=False)

    return mean


STORE = Endpoint("https", "store.example.org", 443)


async def test_a_name_passes_if_all_its_addresses_do(names: Any) -> None:
    names("8.8.8.8", "2606:4700::1111")
    await Hosts.parse("").permit(STORE)
    names("8.8.8.8", "fe80::1%eth0")
    with pytest.raises(StorageRefusedError, match=r"store\.example\.org is inside .* ARTDAG_STORAGE_HOSTS"):
        await Hosts.parse("").permit(STORE)
    await Hosts.parse("store.example.org").permit(STORE)
    with pytest.raises(StorageRefusedError):
        await Hosts.parse("store.example.org:80").permit(STORE)


async def test_names_that_mean_nothing_are_told_from_those_that_cannot_be_looked_up(names: Any) -> None:
    names(error=socket.EAI_NONAME)
    with pytest.raises(StorageRefusedError, match="there is no host"):
        await Hosts.parse("").permit(STORE)
    names(error=socket.EAI_AGAIN)
    with pytest.raises(ServiceUnavailableError, match="cannot be looked up now"):
        await Hosts.parse("").permit(STORE)


def test_an_address_is_checked_when_the_connection_is_made() -> None:
    make = Hosts.parse("").sockets(STORE)
    with pytest.raises(ForbiddenAddressError) as raised:
        make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443)))
    wrapped = ConnectionError("wrapped")
    wrapped.__cause__ = raised.value
    assert is_forbidden(wrapped)
    assert not is_forbidden(ConnectionError("other"))
    make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))).close()


def test_what_is_quoted_is_one_line_without_secrets() -> None:
    assert shown("a\n  b\tword", "word", "") == "a b …"
    assert len(shown("x" * 1000)) == 300
    assert redacted("s3://key:word@host/bucket?tls=false") == "s3://…@host/bucket?…"
    assert redacted("https://host/path#word") == "https://host/path?…"


def test_a_bucket_as_one_address() -> None:
    settings = S3Settings.from_url("s3://key:se%2Fcret@[::1]:9000/bucket/a/b?tls=false&region=eu-west-1&style=virtual")
    assert settings == S3Settings("bucket", "key", "se/cret", "http://[::1]:9000", "eu-west-1", "a/b/", False)
    assert S3Settings.from_url("s3://key:word@host/bucket") == S3Settings("bucket", "key", "word", "https://host")


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("s3://host/bucket", "it has to be"),
        ("s3://key:word@host", "it has to be"),
        ("https://key:word@host/bucket", "it has to be"),
        ("s3://key:word@host/bucket?tsl=false", "'tsl' is not one of"),
        ("s3://key:word@host:port/bucket", "ort"),
        ("s3://key:word@host/bucket?x", "bad query field"),
    ],
)
def test_what_is_no_such_address_is_named_without_its_secret(url: str, rule: str) -> None:
    with pytest.raises(StorageRefusedError, match=rule) as raised:
        S3Settings.from_url(url)
    assert "word" not in raised.value.message
