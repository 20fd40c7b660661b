"""``NATS_URL``: a server, or several of one cluster with commas between them, and the account to sign in with.

``nats://artdag:secret@a:4222,b:4222,c:4222``: the scheme and the account of the first hold for those that name none.
"""

from __future__ import annotations

SCHEME = "nats://"


def addresses(url: str) -> list[str]:
    """Return the URL of each server, without the account; what is no URL is left as it is, for the client to refuse."""
    found, scheme = [], SCHEME
    for each in _parts(url):
        begin, separator, rest = each.rpartition("://")
        scheme = begin + separator or scheme
        found.append(scheme + rest.rpartition("@")[2])
    return found


def account(url: str) -> dict[str, str]:
    """Return how to sign in at every server, also at those that only the cluster tells of, as nats-py takes it."""
    for each in _parts(url):
        name, separator, _ = each.rpartition("://")[2].rpartition("@")
        if separator:
            user, has_password, password = name.partition(":")
            return {"user": user, "password": password} if has_password else {"token": user}
    return {}


def without_account(url: str) -> str:
    """Return the same servers, for whoever signs in otherwise."""
    return ",".join(addresses(url))


def named(url: str) -> str:
    """Return the servers as people may be shown them."""
    return ", ".join(each.rpartition("://")[2] for each in addresses(url))


def _parts(url: str) -> list[str]:
    return [each.strip() for each in url.split(",") if each.strip()]
