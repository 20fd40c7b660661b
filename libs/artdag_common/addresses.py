"""Addresses of clients: networks, who counts as one, and whose word is taken for where a request comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
IPV6_PREFIX = 64
FORWARDED_FOR = b"x-forwarded-for"
MOST_HOPS = 32


@lru_cache(maxsize=4096)
def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, one of IPv4 in IPv6 as what it is; None: the text is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def among(text: str, networks: Iterable[Network]) -> bool:
    """Return whether an address is in one of the networks."""
    address = read_address(text)
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=4096)
def client_key(text: str) -> str:
    """Return what stands for a client in counts: its address; of IPv6 the /64, all of which is one household's."""
    address = read_address(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return str(address or text)


def client_of(peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]) -> str:
    """Return where a request comes from.

    That is whoever opened the connection. Where that is a trusted proxy, it is the last address in
    ``X-Forwarded-For`` that is not one of them: what stands before it anybody may have written.
    """
    if not trusted or not among(peer, trusted):
        return peer
    said = ",".join(value.decode("latin-1") for name, value in headers if name == FORWARDED_FOR)
    found = peer
    for each in reversed(said.split(",")[-MOST_HOPS:]):
        address = read_address(_without_port(each.strip()))
        if address is None:
            break
        found = str(address)
        if not among(found, trusted):
            break
    return found


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
