"""Requirements of an effect, compared with what is offered."""

from __future__ import annotations

import pytest

from artdag_common.effects.requirement import name_of, problem_of, version_problem


@pytest.mark.parametrize(
    ("specifier", "fits"),
    [
        ("", True), (">=3.11", True), (">=3.11,<4", True), ("==3.11.*", True), ("==3.11", False), ("==3.11.7", True),
        ("!=3.11.7", False), ("!=3.12", True), ("~=3.11", True), ("~=3.11.0", True), ("~=3.10.0", False),
        (">3.11.7", False), (">3.11", True), ("<3.11.7", False), ("<=3.11.7", True), (">=3.9", True), ("<3.9", False),
        ("<= 3.12 , >= 3.2", True),
    ],
)  # fmt: skip
def test_versions_compare_as_numbers(specifier: str, fits: bool) -> None:
    assert (version_problem(specifier, "3.11.7", "Python") == "") is fits


@pytest.mark.parametrize("specifier", ["3.11", "=>3", ">=x", "===3", ">=3;os"])
def test_what_is_no_specifier_is_refused(specifier: str) -> None:
    assert "is not a version specifier" in version_problem(specifier, "3.11.7", "Python")


def test_names_are_compared_as_packages_are() -> None:
    assert name_of("Some_Package >= 1") == "some-package"
    assert problem_of("NumPy>=1", {"numpy": "2.4.6"}) == ""
    assert problem_of("numpy>=3", {"numpy": "2.4.6"}) == "numpy 2.4.6 is what is offered, and >=3 asks for another"
    assert problem_of("numpy>=3", {"numpy": ""}) == ""
