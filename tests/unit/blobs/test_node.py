"""Names of nodes, and the proof that one belongs to the cluster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artdag_common.blobs.node import WINDOW_SECONDS, Membership, node_id

PATH = "/content/bafybeib3ev7kvhqh6rca2i2n6wztnnwkhmzv5iqazdc2ljwozd4vg77zqy"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def member(clock: Clock) -> Membership:
    return Membership("one key", clock)


def test_a_node_keeps_its_name(tmp_path: Path) -> None:
    assert node_id(tmp_path) == node_id(tmp_path)
    assert len(node_id(tmp_path)) == 16
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def test_a_copy_of_a_folder_is_another_node(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    name = node_id(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert node_id(tmp_path / "b") != name


def test_who_has_the_key_is_let_in(member: Membership, clock: Clock) -> None:
    assert member.check(Membership("one key", clock).prove("GET", PATH), "GET", PATH)


@pytest.mark.parametrize("seconds", [-WINDOW_SECONDS, WINDOW_SECONDS])
def test_clocks_may_differ_by_a_minute(member: Membership, clock: Clock, seconds: int) -> None:
    proof = member.prove("GET", PATH)
    clock.now += seconds
    assert member.check(proof, "GET", PATH)


@pytest.mark.parametrize("seconds", [-WINDOW_SECONDS - 1, WINDOW_SECONDS + 1])
def test_a_proof_is_of_its_minute(member: Membership, clock: Clock, seconds: int) -> None:
    proof = member.prove("GET", PATH)
    clock.now += seconds
    assert not member.check(proof, "GET", PATH)


def test_a_proof_is_good_once(member: Membership, clock: Clock) -> None:
    proof = member.prove("GET", PATH)
    assert member.check(proof, "GET", PATH)
    assert not member.check(proof, "GET", PATH)
    clock.now += WINDOW_SECONDS
    for _ in range(3):
        assert member.check(member.prove("GET", PATH), "GET", PATH)
    assert not member.check(proof, "GET", PATH)


def test_a_proof_is_for_one_request(member: Membership) -> None:
    assert not member.check(member.prove("GET", PATH), "HEAD", PATH)
    assert not member.check(member.prove("GET", PATH), "GET", f"{PATH}x")


def test_another_key_does_not_do(member: Membership, clock: Clock) -> None:
    other = Membership("another key", clock)
    assert not member.check(other.prove("GET", PATH), "GET", PATH)
    assert other.cluster != member.cluster


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_nothing_in_a_proof_can_be_changed(member: Membership, changed: int) -> None:
    scheme, _, rest = member.prove("GET", PATH).partition(" ")
    parts = rest.split(".")
    parts[changed] = parts[changed][:-1] + ("0" if parts[changed][-1] != "0" else "1")
    assert not member.check(f"{scheme} {'.'.join(parts)}", "GET", PATH)


@pytest.mark.parametrize(
    "text",
    ["", "Artdag", "Artdag .", "Artdag ..", "Artdag 1.2", "Bearer x", "Artdag ²." + "0" * 32 + ".0", "Artdag -1.a.b"],
)
def test_what_is_no_proof(member: Membership, text: str) -> None:
    assert not member.check(text, "GET", PATH)
