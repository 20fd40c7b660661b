"""What is wrong with settings: those of one value, in words, and those that hold among several and with the machine."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from artdag_common.addresses import LOOPBACK, among
from artdag_common.environment import BY_FILE, NEAR, OURS, Problem
from artdag_common.errors import ArtdagError, ConfigurationError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from artdag_common.config import Settings

SHOWN_CHARACTERS = 200
ALTERNATIVES = re.compile(r"\^\(([\w|-]+)\)\$")
IN_WORDS = {
    "^[a-z][a-z0-9-]{0,31}$": "has to be a class: up to 32 lower case letters, digits and -, such as gpu",
}
LEAST_CHARACTERS = 8
"""Of a name; shorter ones are like too many."""

SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([KMGT])(i?)B?", re.IGNORECASE)
SEED = re.compile("SU[A-Z2-7]{56}")
WITH_CONTENT = ("gateway", "planner", "executor", "cache")
"""Services that read and write the folder of content."""

WITH_NATS = (*WITH_CONTENT, "auth")


# --- one value ------------------------------------------------------------------------------------------------------


def explain(error: ErrorDetails, field: FieldInfo, given: str | None) -> Problem:
    """Return what is wrong with a value, in words.

    Args:
        given: the value as it may be shown, or None.
    """
    name, *place = error["loc"]
    rule, hint = _rule(error, field, str(error["input"]) if given is not None else "")
    entry = f"{place[0]}: " if place and isinstance(place[0], str) else ""
    return Problem((str(name),), None if given is None else given[:SHOWN_CHARACTERS], entry + rule, hint)


def _rule(error: ErrorDetails, field: FieldInfo, value: str) -> tuple[str, str]:
    """Return what a value has to be, and the nearest that is so; ``value`` is empty where nobody may see it."""
    said: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "string_pattern_mismatch":
            return _form(str(said["pattern"]), field, value)
        case "int_parsing" | "int_from_float":
            return "has to be a whole number", _as_number(value)
        case "float_parsing":
            return "has to be a number", _as_number(value)
        case "finite_number":
            return "has to be a finite number", ""
        case "bool_parsing" | "bool_type":
            return "has to be true or false", ""
        case "greater_than_equal":
            return f"has to be at least {said['ge']:g}", f"the nearest is {said['ge']:g}"
        case "greater_than":
            return f"has to be more than {said['gt']:g}", ""
        case "less_than_equal":
            return f"has to be at most {said['le']:g}", f"the nearest is {said['le']:g}"
        case "ip_any_network" | "ip_v4_network" | "ip_v6_network":
            return f"{value!r} is no network", "write it as 10.0.0.0/8, with only zeros behind the prefix"
        case "value_error":
            return str(said["error"]), ""
        case _:
            return error["msg"], ""


def _form(pattern: str, field: FieldInfo, value: str) -> tuple[str, str]:
    if words := ALTERNATIVES.fullmatch(pattern):
        known = words[1].split("|")
        near = difflib.get_close_matches(value.strip().lower(), known, n=1)
        return f"has to be one of {', '.join(known)}", f"did you mean {near[0]}?" if near else ""
    if pattern in IN_WORDS:
        return IN_WORDS[pattern], ""
    example = f"has to look like {field.examples[0]}" if field.examples else f"has to match {pattern}"
    for meant in (value.strip(), f"https://{value.strip()}", value.replace(" ", "")):
        if value and re.search(pattern, meant):
            return example, f"did you mean {meant}?"
    return example, ""


def _as_number(value: str) -> str:
    """Return the number that was meant by 20GiB, or nothing."""
    if not (size := SIZE.fullmatch(value.strip())):
        return ""
    power = "KMGT".index(size[2].upper()) + 1
    return f"did you mean {int(float(size[1]) * (1024 if size[3] else 1000) ** power)}?"


# --- names ----------------------------------------------------------------------------------------------------------


def mistaken(given: Mapping[str, str], known: Collection[str]) -> list[Problem]:
    """Return names that may be meant for ours, but do not begin like them or are in small letters.

    They may be somebody else's, so it is only told; not where the right one is set too.
    """
    short = {name for name in known if not name.startswith(OURS) and len(name) >= LEAST_CHARACTERS}
    problems = []
    for name in sorted(set(given) - set(known)):
        upper = name.upper()
        near = [upper] if upper in known and upper != name else []
        if not upper.startswith(OURS):
            near += difflib.get_close_matches(upper, short, n=1, cutoff=NEAR)
        meant = [each for each in near if not given.get(each) and not given.get(each.removesuffix(BY_FILE))]
        if meant:
            problems.append(Problem((name,), None, "nobody reads it", f"is {meant[0]} meant?", fatal=False))
    return problems


# --- rules of several values, and of values and this machine --------------------------------------------------------

Rule = Callable[["Settings", str], Iterator[Problem]]


def broken(settings: Settings, service: str, doubtful: Collection[str] = ()) -> list[Problem]:
    """Return what is wrong with the settings of a service, each of which is well by itself.

    Args:
        doubtful: variables whose values are not those that were given; what is about them is left out.
    """
    found = [problem for rule in RULES for problem in rule(settings, service)]
    return [problem for problem in found if not set(problem.names) & set(doubtful)]


def content_folder(settings: Settings, service: str) -> Iterator[Problem]:
    """Who reads and writes content can."""
    if service in WITH_CONTENT and (why := unusable(settings.cache_dir)):
        hint = "give another folder, or make it this user's: chown"
        yield Problem(("CACHE_DIR",), str(settings.cache_dir), why, f"{hint} {os.geteuid()} {settings.cache_dir}")


def unusable(folder: Path) -> str:
    """Return why this process cannot read and write a folder, or make it; empty: it can."""
    try:
        there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
        if not there.is_dir():
            return f"{there} is no folder"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        verb = "read and written" if there == folder else "made"
        below = "" if there == folder else f": {there} is not this user's to write"
        return f"cannot be {verb} by user {os.geteuid()}{below}"
    return ""


def folders(settings: Settings, service: str) -> Iterator[Problem]:
    """Folders that users may name are there. They may be on disks that are not here just now, so it is only told."""
    asked = {"gateway": ("ARTDAG_IMPORT_DIRS", settings.import_dirs)}
    asked["cache"] = ("ARTDAG_STORAGE_DIRS", settings.storage_dirs)
    name, paths = asked.get(service, ("", ()))
    for path in paths:
        if not os.access(path, os.R_OK | os.X_OK):
            rule = f"{path} is not there, or cannot be read by user {os.geteuid()}"
            yield Problem((name,), os.pathsep.join(map(str, paths)), rule, "make it, or leave it out", fatal=False)


def cluster(settings: Settings, service: str) -> Iterator[Problem]:
    """Content for other nodes is served only where there is a cluster key."""
    if service != "cache" or settings.cluster_key:
        return
    open_host = not among(settings.content_host, LOOPBACK) and settings.content_host != "localhost"
    for name, value, set_ in (
        ("ARTDAG_CONTENT_HOST", settings.content_host, open_host),
        ("ARTDAG_CONTENT_URL", settings.content_url, bool(settings.content_url)),
    ):
        if set_:
            rule = "no content is served to other nodes without ARTDAG_CLUSTER_KEY"
            yield Problem((name, "ARTDAG_CLUSTER_KEY"), value, rule, f"set that too, or leave {name} out")


def registry(settings: Settings, service: str) -> Iterator[Problem]:
    """Who speaks to a registry signs, and can be reached by it."""
    if not settings.shared:
        return
    if service == "cache" and settings.cache_duties == "all" and not settings.actor_key:
        rule = "with a registry ARTDAG_ACTOR_KEY has to be set too, which signs what is sent to it"
        hint = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out actor.key"
        yield Problem(("L2_SERVER", "ARTDAG_ACTOR_KEY"), settings.l2_server, rule, hint)
    if _local(settings.public_url) and not _local(settings.l2_server):
        rule = "the registry is to reach this server there, and is on another machine"
        hint = "set the address at which it is reached from outside"
        yield Problem(("L1_PUBLIC_URL", "L2_SERVER"), settings.public_url, rule, hint, fatal=False)


def _local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host.endswith(".localhost") or among(host, LOOPBACK)


def people(settings: Settings, service: str) -> Iterator[Problem]:
    """Somebody can sign in."""
    if service == "auth" and not settings.shared and not settings.owner_token_hash:
        rule = "neither this nor L2_SERVER is set, so nobody can sign in"
        yield Problem(("ARTDAG_OWNER_TOKEN_HASH", "L2_SERVER"), None, rule, "artdag secrets makes one", fatal=False)


def seeds(settings: Settings, service: str) -> Iterator[Problem]:
    """Seeds are seeds, and whoever has an account of its own has one for the relay."""
    given = {"ARTDAG_NATS_SEED": settings.nats_seed if service in WITH_NATS else ""}
    given["ARTDAG_RELAY_NATS_SEED"] = settings.relay_nats_seed if service == "auth" else ""
    for name, seed in given.items():
        if seed and not SEED.fullmatch(seed):
            rule = "is no seed: nkey seeds of users begin with SU and have 58 characters"
            yield Problem((name,), None, rule, "or give a path to a file with one")
    if service == "auth" and settings.nats_seed and not settings.relay_nats_seed:
        rule = "has to be set, since ARTDAG_NATS_SEED is: the relay runs here, under an account of its own"
        yield Problem(("ARTDAG_RELAY_NATS_SEED", "ARTDAG_NATS_SEED"), None, rule, "artdag secrets makes both")


def keys(settings: Settings, service: str) -> Iterator[Problem]:
    """Keys can be used."""
    if service in ("gateway", "cache") and settings.secret_key:
        from artdag_common.sealing import Sealer

        yield from _refused("ARTDAG_SECRET_KEY", None, lambda: Sealer(settings.secret_key))
    if service == "cache" and settings.actor_key:
        from artdag_common.federation.signatures import read_key

        yield from _refused("ARTDAG_ACTOR_KEY", None, lambda: read_key(settings.actor_key))


def places(settings: Settings, service: str) -> Iterator[Problem]:
    """Places of content, and hosts that users may name, can be understood."""
    from artdag_common.blobs.endpoints import Hosts, parse_endpoint

    if service in WITH_CONTENT and settings.s3_url:
        from artdag_common.blobs.s3 import S3Settings

        for problem in _refused("ARTDAG_S3_URL", None, lambda: S3Settings.from_url(settings.s3_url)):
            # What is said of it may show a part of it.
            rule = "has to look like s3://KEY:SECRET@host:port/bucket?tls=false"
            yield replace(problem, rule=rule, hint="write / ? # @ in the secret as %2F %3F %23 %40")
    if service in WITH_CONTENT and settings.ipfs_api:
        yield from _refused("IPFS_API", settings.ipfs_api, lambda: parse_endpoint(settings.ipfs_api))
    if service in WITH_CONTENT and settings.ipfs_primary and not settings.ipfs_api:
        rule = "IPFS_API is not set, so the node is looked for at /dns/localhost/tcp/5001"
        yield Problem(("IPFS_PRIMARY", "IPFS_API"), "true", rule, "set IPFS_API", fatal=False)
    if service == "cache":
        for name, hosts in (
            ("ARTDAG_STORAGE_HOSTS", settings.storage_hosts),
            ("ARTDAG_WEBHOOK_HOSTS", settings.webhook_hosts),
        ):
            yield from _refused(name, hosts, partial(Hosts.parse, hosts, name))


def _refused(name: str, shown: str | None, read: Callable[[], object]) -> Iterator[Problem]:
    """Yield what a reader of a value has against it."""
    try:
        read()
    except ArtdagError as error:
        yield Problem((name,), shown, error.message.removeprefix(name).lstrip(": "))
    except ValueError as error:
        yield Problem((name,), shown, str(error))


def ports(settings: Settings, service: str) -> Iterator[Problem]:
    """No two listen at one address."""
    asked = {"gateway": [("PORT", settings.port)]}
    asked["cache"] = [("ARTDAG_CONTENT_PORT", settings.content_port)] if settings.cluster_key else []
    listening = [*asked.get(service, []), ("ARTDAG_PROBE_PORT", settings.probe_port)]
    for (first, port), (second, other) in pairwise(listening):
        if port and port == other:
            yield Problem((second, first), str(other), f"is {first} too", "give it another, or 0")


def reach(settings: Settings, service: str) -> Iterator[Problem]:
    """The gateway is asked by the name under which people know it, and believes no client about its address."""
    if service != "gateway":
        return
    if not among(settings.host, LOOPBACK) and settings.host != "localhost" and _local(settings.public_url):
        rule = "requests by another name than localhost are refused, although HOST lets others in"
        hint = "set the address that people use"
        yield Problem(("L1_PUBLIC_URL", "HOST"), settings.public_url, rule, hint, fatal=False)
    if wide := [str(each) for each in settings.trusted_proxies if each.prefixlen == 0]:
        rule = "every client is believed what it says of its address"
        yield Problem(("ARTDAG_TRUSTED_PROXIES",), ", ".join(wide), rule, "name your proxies' networks", fatal=False)


RULES: tuple[Rule, ...] = (
    content_folder,
    folders,
    cluster,
    registry,
    people,
    seeds,
    keys,
    places,
    ports,
    reach,
)
"""What has to hold, in this order. A new rule is a function here that yields what is broken."""


# --- all of it ------------------------------------------------------------------------------------------------------


def refuse(problems: Collection[Problem]) -> None:
    """Raise all that a service does not start with, together.

    Raises:
        ConfigurationError: there is such.
    """
    fatal = [str(problem) for problem in problems if problem.fatal]
    if len(fatal) == 1:
        raise ConfigurationError(fatal[0])
    if fatal:
        raise ConfigurationError("\n  ".join([f"{len(fatal)} settings are wrong:", *fatal]))


def shown(given: Mapping[str, str], secrets: Collection[str]) -> Mapping[str, str]:
    """Return the values that may be shown."""
    return {name: value for name, value in given.items() if name not in secrets}
