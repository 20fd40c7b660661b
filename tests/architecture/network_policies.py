"""What a set of NetworkPolicies lets through, worked out as Kubernetes defines it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the policies' namespace."""

    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Address:
    """Something that is no pod, or a pod of another namespace, which has that namespace's labels too."""

    ip: str
    namespace: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None


def lets_through(
    policies: Sequence[Object], source: Pod | Address, target: Pod | Address, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection is allowed by both ends. Ends that no policy speaks of allow all."""
    return _allowed(policies, "Egress", source, target, port, protocol) and _allowed(
        policies, "Ingress", target, source, port, protocol
    )


def _allowed(
    policies: Sequence[Object], way: str, end: Pod | Address, other: Pod | Address, port: int, protocol: str
) -> bool:
    if not isinstance(end, Pod):
        return True
    binding = [
        each["spec"]
        for each in policies
        if way in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], end.labels)
    ]
    side = "to" if way == "Egress" else "from"
    rules = [rule for spec in binding for rule in spec.get(way.lower()) or ()]
    return not binding or any(
        _has_port(rule.get("ports"), port, protocol) and _has_peer(rule.get(side), other) for rule in rules
    )


def _has_port(ports: Iterable[Object] | None, port: int, protocol: str) -> bool:
    return not ports or any(each["port"] == port and each["protocol"] == protocol for each in ports)


def _has_peer(peers: Iterable[Object] | None, other: Pod | Address) -> bool:
    return not peers or any(_is_peer(each, other) for each in peers)


def _is_peer(peer: Object, other: Pod | Address) -> bool:
    if block := peer.get("ipBlock"):
        return isinstance(other, Address) and _inside(other.ip, block)
    if "namespaceSelector" in peer:
        return (
            isinstance(other, Address)
            and other.namespace is not None
            and selects(peer["namespaceSelector"], other.namespace)
            and selects(peer.get("podSelector", {}), other.labels or {})
        )
    return isinstance(other, Pod) and selects(peer["podSelector"], other.labels)


def _inside(ip: str, block: Object) -> bool:
    address = ip_address(ip)
    return address in ip_network(block["cidr"]) and not any(
        address in ip_network(each) for each in block.get("except", ())
    )


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector fits."""
    if not all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items()):
        return False
    for each in selector.get("matchExpressions", ()):
        assert each["operator"] == "In"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True
