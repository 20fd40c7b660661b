"""docs/security.md promises nothing that no test shows."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from artdag_cli.system import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
PROMISES = PAGE.partition("## What is promised\n")[2].partition("## What is not promised\n")[0]
BULLETS = re.split(r"^\* ", PROMISES, flags=re.MULTILINE)[1:]


@cache
def defined_in(path: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda each: str(each).rpartition("/")[2])
def test_a_test_that_a_promise_names_is_there(path: str, name: str) -> None:
    assert (ROOT / path).is_file(), f"docs/security.md names {path}"
    assert name in defined_in(path), f"docs/security.md names {path}::{name}"


@pytest.mark.parametrize("bullet", BULLETS, ids=lambda each: " ".join(str(each).split()[:6]))
def test_every_promise_names_a_test(bullet: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", bullet), bullet


def test_the_page_has_promises_and_says_what_is_none() -> None:
    assert len(BULLETS) > 20
    assert len(NAMED) > 40
    for heading in ("What is not promised", "Running it hardened", "Reporting a flaw", "Where trust ends"):
        assert f"## {heading}\n" in PAGE
