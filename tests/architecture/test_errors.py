"""The one tree of errors: each explained, each with an HTTP status of its own choosing."""

from __future__ import annotations

import inspect

import pytest

from artdag_common import errors
from artdag_common.errors import ArtdagError
from services.gateway.app import STATUS, status_of

ALL = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, ArtdagError) and cls.__module__ == errors.__name__
]
LEAVES = [cls for cls in ALL if not any(issubclass(other, cls) and other is not cls for other in ALL)]


@pytest.mark.parametrize("cls", ALL, ids=lambda c: str(c.__name__))
def test_an_error_says_when_it_happens(cls: type[ArtdagError]) -> None:
    doc = vars(cls).get("__doc__")
    assert doc, "its own docstring, not the inherited one"
    assert len(doc) > 30
    assert doc.strip().endswith((".", "again", "here"))
    assert cls.__name__.endswith("Error")


def test_codes_are_unique() -> None:
    """They travel in replies and problem responses, and name the error there."""
    codes = [cls.code.fget(cls.__new__(cls)) for cls in ALL]  # type: ignore[attr-defined]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("cls", LEAVES, ids=lambda c: str(c.__name__))
def test_the_gateway_has_a_status_for_it(cls: type[ArtdagError]) -> None:
    """By its own name or by that of its family; the root's entry is no decision."""
    named = [c for c in cls.__mro__ if c in STATUS and c is not ArtdagError]
    assert named, f"add {cls.__name__} to STATUS in services/gateway/app.py"
    assert status_of(cls.__new__(cls)) == STATUS[named[0]]
    assert 400 <= STATUS[named[0]] < 600


def test_the_status_table_names_no_stranger() -> None:
    assert set(STATUS) <= set(ALL)
