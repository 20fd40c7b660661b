"""The chart's NetworkPolicies: who reaches whom, and nobody else does."""

from __future__ import annotations

import itertools

import pytest

from tests.architecture.chart import EVERY, VARIANTS, labels_of, of_kind, workloads
from tests.architecture.network_policies import Address, Pod, lets_through

PORTS = (8000, 8200, 9100, 9101, 4222, 6222, 8222, 5432, 6379)
SHARERS = ("gateway", "planner", "executor-cpu", "cache")
STRANGER = Address("10.9.9.9", {"kubernetes.io/metadata.name": "stranger"}, {"app": "stranger"})


def pods(variant: str) -> dict[str, Pod]:
    """Return a pod of each workload, by its component."""
    return {
        labels_of(each)["app.kubernetes.io/component"]: Pod(labels_of(each)) for each in workloads(variant).values()
    }


@pytest.mark.parametrize("variant", ["bare", "passing"])
def test_pods_reach_what_they_need_and_nothing_else(variant: str) -> None:
    policies, there = of_kind(variant, "NetworkPolicy"), pods(variant)
    reached = {
        (source, target, port)
        for (source, one), (target, other), port in itertools.product(there.items(), there.items(), PORTS)
        if lets_through(policies, one, other, port)
    }
    services = (*SHARERS, "auth")
    expected = {
        *itertools.product(SHARERS, SHARERS, [8200]),
        *itertools.product(services, ["nats"], [4222]),
        *itertools.product((*services, "migrate"), ["postgres"], [5432]),
        *itertools.product(("gateway", "auth"), ["redis"], [6379]),
    }
    if variant == "passing":  # a cluster of NATS
        expected.add(("nats", "nats", 6222))
    assert reached == expected


def test_servers_of_yours_are_reached_by_who_needs_them() -> None:
    """Where no peers are given (Postgres, Redis), at any address; NATS where it is said to be."""
    policies = of_kind("open", "NetworkPolicy")

    def reaching(ip: str, port: int) -> set[str]:
        return {name for name, pod in pods("open").items() if lets_through(policies, pod, Address(ip), port)}

    services = {name for name in pods("open") if name != "migrate"}
    assert reaching("10.1.0.5", 4222) == services
    assert reaching("10.2.0.5", 4222) == set()
    assert reaching("10.1.0.5", 5432) == {*services, "migrate"}
    assert reaching("10.1.0.5", 6379) == {"gateway", "auth"}


def test_the_ipfs_node_is_reached_by_who_has_content() -> None:
    policies = of_kind("passing", "NetworkPolicy")
    node = Address("10.2.0.4", {"kubernetes.io/metadata.name": "ipfs"}, {})

    def reaching(port: int) -> set[str]:
        return {name for name, pod in pods("passing").items() if lets_through(policies, pod, node, port)}

    assert reaching(5001) == set(SHARERS)
    assert reaching(8080) == set()


def test_only_who_speaks_to_the_outside_gets_out() -> None:
    for variant, outward in (("bare", {"cache"}), ("open", {"cache", "gateway", "auth"})):
        policies = of_kind(variant, "NetworkPolicy")
        outside = {
            name for name, pod in pods(variant).items() if lets_through(policies, pod, Address("203.0.113.9"), 8443)
        }
        assert outside == outward
        for name, pod in pods(variant).items():
            for inside in ("169.254.169.254", "10.0.0.1", "192.168.1.1", "172.20.0.1", "127.0.0.1", "fd00::1"):
                assert not lets_through(policies, pod, Address(inside), 80), f"{name} reaches {inside}"


@pytest.mark.parametrize(("variant", "reaching"), [("open", {"cache", "gateway", "auth"}), ("bare", set())])
def test_a_network_of_yours_is_reached_where_it_is_named(variant: str, reaching: set[str]) -> None:
    policies = of_kind(variant, "NetworkPolicy")
    found = {name for name, pod in pods(variant).items() if lets_through(policies, pod, Address("10.7.0.9"), 9000)}
    assert found == reaching


def test_nobody_from_elsewhere_gets_in() -> None:
    for variant in VARIANTS:
        policies = of_kind(variant, "NetworkPolicy")
        for (name, pod), port in itertools.product(pods(variant).items(), PORTS):
            assert not lets_through(policies, STRANGER, pod, port), f"{name}:{port}"


def test_who_is_named_gets_in_at_one_port() -> None:
    ingress = Address("10.2.0.1", {"kubernetes.io/metadata.name": "ingress"}, {})
    prometheus = Address("10.2.0.2", {"kubernetes.io/metadata.name": "monitoring"}, {})
    keda = Address("10.2.0.3", {"kubernetes.io/metadata.name": "keda"}, {})

    def entered(variant: str, who: Address) -> set[tuple[str, int]]:
        policies = of_kind(variant, "NetworkPolicy")
        all_of_them = itertools.product(pods(variant).items(), PORTS)
        return {(name, port) for (name, pod), port in all_of_them if lets_through(policies, who, pod, port)}

    assert entered("open", ingress) == {("gateway", 8000)}
    assert entered("passing", keda) == {("nats", 8222)}
    assert entered("bare", keda) == set(), "it scales nothing there"
    services = {name for name in pods("open") if name != "migrate"}
    assert entered("open", prometheus) == {*itertools.product(services, (9100, 9101)), ("gateway", 8000)}


@EVERY
def test_every_pod_finds_names(variant: str) -> None:
    dns = Address("10.96.0.10", {"kubernetes.io/metadata.name": "kube-system"}, {"k8s-app": "kube-dns"})
    policies = of_kind(variant, "NetworkPolicy")
    for name, pod in pods(variant).items():
        assert lets_through(policies, pod, dns, 53, "UDP"), name
