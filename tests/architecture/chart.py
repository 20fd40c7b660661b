"""The chart as tests look at it: what it renders, for three ways to install it, and what a pod of that is given."""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from artdag_cli import credentials

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("k8s_build", ROOT / "k8s" / "build.py")
assert SPEC
assert SPEC.loader
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)

Values = dict[str, Any]
Object = dict[str, Any]


def pods_in(namespace: str) -> Object:
    """Return the peer of a NetworkPolicy that all pods of a namespace are."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


BARE: Values = {"secrets": {"prefix": "artdag-"}}
OPEN: Values = {
    **BARE,
    "image": {"registry": "registry.example:5000", "tag": "0.1.0-3", "pullSecrets": ["pull"]},
    "l2": {"server": "https://l2.example", "domain": "people.example"},
    "s3": {"enabled": True},
    "config": {
        "ARTDAG_QUOTA_BYTES": 5_000_000_000_000,
        "ARTDAG_CLASS_LIMITS": "cpu=8",
        "ARTDAG_RETENTION_DAYS": 7.5,
        "ARTDAG_STORAGE_HOSTS": "storage.example",
    },
    "networkPolicy": {"outside": [{"ipBlock": {"cidr": "10.7.0.0/16"}}]},
    "content": {"limit": 20_000_000_000, "storageClass": "fast"},
    "nats": {
        "bundled": False,
        "monitoring": "nats.example:8222",
        "account": "ART",
        "peers": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
    },
    "postgres": {"bundled": False},
    "redis": {"bundled": False},
    "gateway": {"allowFrom": [pods_in("ingress")], "autoscaling": {"enabled": True}},
    "executors": {
        "cpu": {"autoscaling": {"enabled": True}},
        "gpu": {"enabled": True, "autoscaling": {"enabled": True}, "runtimeClassName": "nvidia"},
        "highmem": {"enabled": True, "nodeSelector": {"memory": "much"}},
        "render": {
            "enabled": True,
            "replicas": 1,
            "slots": 3,
            "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "2Gi"}},
            "autoscaling": {"enabled": False, "minReplicas": 1, "maxReplicas": 2, "busyPercent": 50},
        },
    },
    "ingress": {
        "enabled": True,
        "className": "outer",
        "host": "art.example",
        "tlsSecret": "certificate",
        "proxies": ["10.244.0.0/16"],
    },
    "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
    "tracing": {"endpoint": "http://collector.monitoring:4318"},
    "userNamespaces": True,
}
PASSING: Values = {
    **BARE,
    "image": {"pullSecrets": ["pull"]},
    "ipfs": {"api": "http://kubo.ipfs:5001", "primary": True, "peers": [pods_in("ipfs")]},
    "content": {"volume": "emptyDir"},
    "nats": {"replicas": 3},
    "executors": {"cpu": {"autoscaling": {"enabled": True}}},
    "ipv6": True,
}
VARIANTS = {"bare": BARE, "open": OPEN, "passing": PASSING}
EVERY = pytest.mark.parametrize("variant", VARIANTS)


@functools.cache
def objects(variant: str, upgrade: bool = False) -> tuple[Object, ...]:
    """Return all that the chart renders, hooks too."""
    return rendered(VARIANTS[variant], is_upgrade=upgrade, is_install=not upgrade)


def rendered(values: Values, chart: Path = build.CHART, **options: Any) -> tuple[Object, ...]:
    """Return what a chart renders of values that are no variant; ``options`` are Helm's, such as the release's name."""
    files = build.rendered(values, chart=chart, **options)
    return tuple(each for text in files.values() for each in build.objects(text))


def compose() -> Object:
    """Return docker-compose.yml as it is written."""
    found: Object = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def of_kind(variant: str, *kinds: str) -> list[Object]:
    return [each for each in objects(variant) if each["kind"] in kinds]


def workloads(variant: str) -> dict[str, Object]:
    """Return what runs pods, by name."""
    return {each["metadata"]["name"]: each for each in of_kind(variant, "Deployment", "StatefulSet", "Job")}


def pod_of(workload: Object) -> Object:
    found: Object = workload["spec"]["template"]["spec"]
    return found


def labels_of(workload: Object) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def containers(variant: str) -> Iterator[tuple[str, Object, Object]]:
    """Yield workload, pod and container."""
    for name, workload in workloads(variant).items():
        pod = pod_of(workload)
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield name, pod, container


def ours(variant: str) -> Iterator[tuple[str, Object]]:
    """Yield the services' containers, each with the name of its workload."""
    for name, _, container in containers(variant):
        if container.get("command", [])[:2] == ["python", "-m"]:
            yield name, container


def service_of(container: Object) -> str:
    return str(container["command"][2]).removeprefix("services.")


def secrets_of(container: Object) -> dict[str, tuple[str, str, bool]]:
    """Return the variables that come from Secrets: Secret, key, whether it may be missing."""
    refs = {each["name"]: each.get("valueFrom", {}).get("secretKeyRef") for each in container.get("env", ())}
    return {name: (ref["name"], ref["key"], ref.get("optional", False)) for name, ref in refs.items() if ref}


@functools.cache
def made_secrets() -> Mapping[str, Mapping[str, str]]:
    """Return what ``artdag secrets --kubernetes`` makes, by Secret."""
    kept = {name: make() for name, make in credentials.MADE.items()} | {"ARTDAG_S3_URL": "s3://key:secret@s3:9000/all"}
    servers = credentials.Servers("artdag-nats:4222", "artdag-postgres:5432", "artdag-redis:6379")
    services, backing = credentials.of_services(kept, servers), credentials.of_servers(kept)
    documents = credentials.manifests(services, backing, kept["owner.token"], "artdag-")
    parsed = [yaml.safe_load(each) for each in documents]
    return {each["metadata"]["name"]: each["stringData"] for each in parsed}


def environment(variant: str, container: Object) -> dict[str, str]:
    """Return what a container of ours finds in its environment."""
    config = next(each for each in of_kind(variant, "ConfigMap") if each["metadata"]["name"] == "artdag")
    found = dict(config["data"])
    for name, (secret, key, _) in secrets_of(container).items():
        found[name] = made_secrets()[secret][key]
    given = {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
    pod_ip = "fd00::7" if VARIANTS[variant].get("ipv6") else "10.244.0.7"
    return found | {name: value.replace("$(POD_IP)", pod_ip) for name, value in given.items()}


def changed(values: Values, *more: Values) -> Values:
    """Return values with others over them."""
    found = copy.deepcopy(values)
    for each in more:
        for name, value in each.items():
            nested = isinstance(value, dict) and isinstance(found.get(name), dict)
            found[name] = changed(found[name], value) if nested else value
    return found
