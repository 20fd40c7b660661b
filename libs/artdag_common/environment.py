"""The environment as it is given: secrets that are named by file, and names that nobody reads."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass

BY_FILE = "_FILE"
FILE_BYTES = 64 * 1024
"""More is no secret but a mistake: a device, a database, a film."""

NEAR, REMOTE = 0.85, 0.6
"""How alike two names have to be for one to be taken for the other, and to be worth a question."""

OURS = ("ARTDAG_", "L1_", "L2_")
"""How names begin that are nobody else's."""

BEGINNING = re.compile("^(ARTDAG|L1|L2)_")
LINKED = re.compile("_SERVICE_HOST$|_SERVICE_PORT(_.*)?$|_PORT_[0-9]+_(TCP|UDP)(_PROTO|_PORT|_ADDR)?$")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about the environment that cannot work, or is not as it seems.

    Attributes:
        names: variables that it is about, the one to change first.
        shown: the value as it may be shown; None: there is none, or nobody may see it.
        rule: what is wrong, or what the value has to be.
        hint: the nearest right thing.
        fatal: a service does not start with it; else it is told, and goes on.
    """

    names: tuple[str, ...]
    shown: str | None
    rule: str
    hint: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        value = "" if self.shown is None else f"={self.shown!r}"
        return f"{self.names[0]}{value}: {self.rule}{f'; {self.hint}' if self.hint else ''}"


def with_secrets(given: Mapping[str, str], secrets: Collection[str]) -> tuple[dict[str, str], list[Problem]]:
    """Return an environment with the secrets that it names by file, ``NAME_FILE=/path``, and what is wrong with those.

    The newline at the end of a file is not a part of the secret. A name that is empty counts as not set.
    """
    found, problems = dict(given), []
    for name in sorted(secrets):
        path = found.pop(name + BY_FILE, "")
        if not path:
            continue
        if given.get(name):
            rule = f"{name} is set too, and only one of the two may be"
            problems.append(Problem((name + BY_FILE, name), path, rule, f"leave {name} out"))
            continue
        try:
            found[name] = read_secret(path)
        except ValueError as error:
            problems.append(Problem((name + BY_FILE,), path, str(error)))
    return found, problems


def read_secret(path: str) -> str:
    """Return what a file holds, without the newline at its end.

    Raises:
        ValueError: it cannot be read, or holds no secret; says why, and nothing of what it holds.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES:
        raise ValueError(f"the file is larger than {FILE_BYTES // 1024} KiB, which no secret is")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("the file holds no text") from None
    if not text.strip() or "\0" in text:
        raise ValueError("the file is empty" if not text.strip() else "the file holds no text")
    return text


def take_in(environment: MutableMapping[str, str], secrets: Collection[str]) -> list[Problem]:
    """Put secrets that are named by file in the place of those names; what is wrong stays, and is returned.

    For whoever hands its environment on, with values of its own for some of the secrets.
    """
    found, problems = with_secrets(environment, secrets)
    wrong = {problem.names[0] for problem in problems}
    for name in (each + BY_FILE for each in secrets):
        if name not in wrong:
            environment.pop(name, None)
    environment.update(found)
    return problems


def misspelt(given: Mapping[str, str], known: Collection[str]) -> list[Problem]:
    """Return the names that begin like ours and that nobody reads.

    One that is nearly a name of ours is fatal: whoever set it counts on it, and what is in force is the default. Any
    other may be of a newer version, which a service of this one has to bear beside it.
    """
    problems = []
    for name in sorted(set(given) - set(known)):
        if not name.startswith(OURS) or _linked(name, given[name]):
            continue
        (like, _), nearest = max((_likeness(name, each), each) for each in known)
        hint = f"did you mean {nearest}?" if like >= REMOTE else "docs/configuration.md names all"
        problems.append(Problem((name,), None, "nobody reads a setting of this name", hint, fatal=like >= NEAR))
    return problems


def _linked(name: str, value: str) -> bool:
    """Whether Kubernetes made this name up: it gives every container some for each Service of the namespace."""
    return bool(LINKED.search(name)) or value.startswith(("tcp://", "udp://"))


def _likeness(name: str, known: str) -> tuple[float, float]:
    """Return how alike two names are without their beginnings, and with them, 0 to 1."""
    short, known_short = (BEGINNING.sub("", each) for each in (name, known))
    return difflib.SequenceMatcher(None, short, known_short).ratio(), difflib.SequenceMatcher(None, name, known).ratio()
