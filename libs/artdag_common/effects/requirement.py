"""What an effect's header asks of Python and of packages: names and versions, compared with what is offered.

Versions are numbers with dots; specifiers are those of the Python packaging guide (``==  !=  >=  <=  >  <  ~=``),
without extras, markers and addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(.*)", re.S)
CLAUSE = re.compile(r"(==|!=|>=|<=|>|<|~=)\s*(\d{1,9}(?:\.\d{1,9}){0,5})(\.\*)?")


def problem_of(requirement: str, offered: Mapping[str, str]) -> str:
    """Return why a requirement cannot be met; empty: it can.

    Args:
        offered: versions by name; an empty one is not known here and fits.
    """
    found = REQUIREMENT.fullmatch(requirement.strip())
    if not found:
        return f"not a requirement: give a name and versions, like {next(iter(offered), 'numpy')}>=1"
    name = re.sub(r"[-_.]+", "-", found[1]).lower()
    if name not in offered:
        known = ", ".join(f"{name} {version}".strip() for name, version in offered.items())
        return f"{found[1]} is not offered to effects, and nothing is installed for them; offered are: {known}"
    return version_problem(found[2], offered[name], found[1])


def version_problem(specifier: str, version: str, name: str) -> str:
    """Return why a version does not fit a specifier (``>=3.11,<4``); empty: it does."""
    for clause in filter(None, (part.strip() for part in specifier.strip("() ").split(","))):
        found = CLAUSE.fullmatch(clause)
        if not found:
            return f"{clause[:40]!r} is not a version specifier like >=1.2"
        if version and not _fits(found[1], found[2], bool(found[3]), version):
            return f"{name} {version} is what is offered, and {clause} asks for another"
    return ""


def name_of(requirement: str) -> str:
    """Return the name of a package that is asked for."""
    found = REQUIREMENT.fullmatch(requirement.strip())
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def _fits(operator: str, wanted: str, prefix: bool, version: str) -> bool:
    have, want = _numbers(version), _numbers(wanted)
    width = max(len(have), len(want))
    left, right = have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
    same = left[: len(want)] == want if prefix else left == right
    match operator:
        case "==":
            return same
        case "!=":
            return not same
        case "~=":
            return left >= right and left[: len(want) - 1] == want[:-1]
        case ">=":
            return left >= right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left < right


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
