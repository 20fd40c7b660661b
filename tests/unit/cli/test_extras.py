"""Which servers ``up`` starts besides."""

from __future__ import annotations

import pytest

from artdag_cli.system import EXTRAS
from artdag_cli.up import NAMES, extras
from artdag_common.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("s3", ["s3"]), ("s3,ipfs", ["s3", "ipfs"]), (" IPFS , s3,ipfs,", ["ipfs", "s3"])],
)
def test_servers_are_named_by_commas(text: str, names: list[str]) -> None:
    assert extras(text) == names


@pytest.mark.parametrize(("text", "meant"), [("s3,ipsf", "did you mean ipfs"), ("kafka", "known are s3, ipfs")])
def test_an_unknown_server_is_named_with_the_nearest(text: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=meant):
        extras(text)


def test_every_server_has_a_name_for_people() -> None:
    assert NAMES.keys() == EXTRAS.keys()
