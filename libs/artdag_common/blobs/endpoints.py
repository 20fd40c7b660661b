"""Where far places are, and which of them people may name: not those inside the server's own network."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from artdag_common.errors import ServiceUnavailableError, StorageRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Rule = tuple[str | Network, int | None]
"""A name, address or network, and a port or None: all of them."""

DEFAULT_PORTS = {"http": 80, "https": 443}
EMBEDDING = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")))
"""Networks whose addresses end in the IPv4 address that they stand for: NAT64 (RFC 6052, 8215), IPv4-compatible and
IPv4-translated ones."""
SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.IGNORECASE)
SHOWN_CHARACTERS = 300
LOOKUP_SECONDS = 10.0
HOSTS_SETTING = "ARTDAG_STORAGE_HOSTS"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The base address of an HTTP service, without anything secret."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def netloc(self) -> str:
        """Host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"{self.scheme}://{self.netloc.removesuffix(f':{DEFAULT_PORTS[self.scheme]}')}{self.path}"

    def __str__(self) -> str:
        return self.url


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that a URL (``https://host:port/path``) or a multiaddr (``/dns/host/tcp/5001``) names.

    Raises:
        StorageRefusedError: it names none; or it holds a user name, a password, a query or a fragment.
    """
    if text.startswith("/"):
        return _multiaddr(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _not_an_endpoint(text, str(error)) from error
    if parts.scheme not in DEFAULT_PORTS:
        raise _not_an_endpoint(text, "begin it with https:// or http://")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _not_an_endpoint(text, "leave out user name, password, ? and #; secrets have fields of their own")
    host = checked_host(parts.hostname or "", text)
    return Endpoint(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def _multiaddr(text: str) -> Endpoint:
    """Parse the part of https://multiformats.io/multiaddr/ that names HTTP services."""
    parts = text.strip("/").split("/")
    if len(parts) >= 4 and parts[0] in ("dns", "dns4", "dns6", "ip4", "ip6") and parts[2] == "tcp":
        transport = parts[4:]
        scheme = "https" if transport in (["https"], ["tls", "http"]) else "http"
        if (
            parts[3].isdecimal()
            and 0 < int(parts[3]) < 65536
            and transport in ([], ["http"], ["https"], ["tls", "http"])
        ):
            return Endpoint(scheme, checked_host(parts[1], text), int(parts[3]))
    raise _not_an_endpoint(text, "a multiaddr looks like /dns/localhost/tcp/5001 or /ip4/127.0.0.1/tcp/5001/https")


def checked_host(host: str, text: str) -> str:
    """Return a host in lower case.

    Raises:
        StorageRefusedError: it is neither an address in its usual form nor a name. Other forms of addresses, such as
            ``127.1`` and ``0x7f000001``, are understood differently by different programs.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    name = host.lower().rstrip(".")
    labels = name.split(".")
    if len(name) > 253 or not all(len(label) < 64 and LABEL.fullmatch(label) for label in labels):
        raise _not_an_endpoint(text, "its host is neither a name nor an address")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        raise _not_an_endpoint(text, "write the address as four decimal numbers, such as 192.0.2.1")
    return name


def _not_an_endpoint(text: str, rule: str) -> StorageRefusedError:
    return StorageRefusedError(f"endpoint {redacted(text)!r} cannot be used: {rule}")


def redacted(text: str) -> str:
    """Return a URL as it may be shown: what could be a user name or password left out."""
    return shown(re.sub(r"//[^/@]*@", "//…@", re.sub(r"[?#].*", "?…", text)))


def shown(text: object, *secrets: str) -> str:
    """Return what a server said as a message may quote it: one line, not long, none of the secrets."""
    line = " ".join(str(text).split())
    for secret in secrets:
        if secret:
            line = line.replace(secret, "…")
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def split_credentials(text: str) -> tuple[SplitResult, str, str]:
    """Split a URL into its parts, the user name and the password; both may be empty."""
    parts = urlsplit(text)
    return parts, unquote(parts.username or ""), unquote(parts.password or "")


class ForbiddenAddressError(PermissionError):
    """A connection to an address that people may not name was about to be made. An ``OSError`` for HTTP clients."""


class Hosts:
    """Which hosts far places may be on.

    A host passes if its name is allowed, or if each of its addresses is public or inside an allowed network. Names are
    looked up again for each connection, so the address is checked there once more (:meth:`sockets`): a name that
    answers differently the second time gains nothing.
    """

    def __init__(self, rules: Iterable[Rule] = (), *, all_: bool = False, setting: str = HOSTS_SETTING) -> None:
        """``setting``: name of the one that allows hosts besides public ones, for messages."""
        self._rules = tuple(rules)
        self._all = all_
        self.setting = setting

    @classmethod
    def everywhere(cls) -> Hosts:
        """For what the operator set up: any host."""
        return cls(all_=True)

    @classmethod
    def parse(cls, text: str, setting: str = HOSTS_SETTING) -> Hosts:
        """Return public hosts, and what a setting allows besides: host names, addresses and CIDRs between commas, each
        with a port or for all ports: ``minio.lan:9000,10.1.0.0/16,127.0.0.1:5001,[::1]:5001``.

        Raises:
            ValueError: an entry is none of these.
        """
        entries = filter(None, (part.strip().lower() for part in text.split(",")))
        return cls((_rule(entry) for entry in entries), setting=setting)

    def names(self, endpoint: Endpoint) -> bool:
        """Return whether the operator allows an endpoint by its name, or by the address that it is written as."""
        try:
            address = ipaddress.ip_address(endpoint.host)
        except ValueError:
            return self._trusts(endpoint)
        return self._all or self._lists(address, endpoint.port)

    def _lists(self, address: Address, port: int) -> bool:
        both = {address, _inner(address)}
        return any(
            only in (None, port) and not isinstance(what, str) and any(each in what for each in both)
            for what, only in self._rules
        )

    def allows(self, address: Address, port: int) -> bool:
        """Return whether people may name an address."""
        if self._lists(address, port):
            return True
        both = {address, _inner(address)}
        return self._all or all(each.is_global and not each.is_multicast and each not in SITE_LOCAL for each in both)

    async def permit(self, endpoint: Endpoint) -> None:
        """Make sure that people may name an endpoint.

        Raises:
            StorageRefusedError: they may not, or there is no such host.
            ServiceUnavailableError: names cannot be looked up now.
        """
        if self._trusts(endpoint):
            return
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise ServiceUnavailableError(f"the name {endpoint.host} cannot be looked up now") from error
            raise StorageRefusedError(f"there is no host {endpoint.host}; check the endpoint {endpoint}") from error
        except TimeoutError as error:
            raise ServiceUnavailableError(f"the name {endpoint.host} cannot be looked up now") from error
        for *_, address in found:
            if not self.allows(_address(address), endpoint.port):
                raise refusal(endpoint, self.setting)

    def sockets(self, endpoint: Endpoint) -> Callable[[Any], socket.socket]:
        """Return a factory of sockets, as aiohttp takes it, that refuses addresses at the last moment."""
        trusted = self._trusts(endpoint)

        def make(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
            family, kind, protocol, _, address = info
            if not trusted and not self.allows(_address(address), address[1]):
                raise ForbiddenAddressError(f"{address[0]} is inside the server's own network")
            return socket.socket(family, kind, protocol)

        return make

    def _trusts(self, endpoint: Endpoint) -> bool:
        return self._all or any(what == endpoint.host and only in (None, endpoint.port) for what, only in self._rules)


def refusal(endpoint: Endpoint, setting: str = HOSTS_SETTING) -> StorageRefusedError:
    """Return the error for an endpoint that people may not name."""
    return StorageRefusedError(
        f"endpoint {endpoint} is inside the server's own network; the operator can allow it with {setting}"
    )


def is_forbidden(error: BaseException | None) -> bool:
    """Return whether an HTTP client's error is about an address that may not be named."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ForbiddenAddressError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _rule(entry: str) -> Rule:
    """Read what a setting allows."""
    found = re.fullmatch(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?", entry)
    host = (found["six"] or found["host"]) if found else entry
    port = int(found["port"]) if found and found["port"] else None
    try:
        return ipaddress.ip_network(host), port
    except ValueError:
        if found and found["host"] and not host[-1].isdigit() and all(map(LABEL.fullmatch, host.split("."))):
            return host, port
    raise ValueError(f"{entry!r} is not a host name, an address or a network like 10.0.0.0/8, with or without :port")


def _address(sockaddr: tuple[Any, ...]) -> Address:
    return ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in EMBEDDING):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
