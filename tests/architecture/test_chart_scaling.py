"""How the chart has executors scaled, by KEDA."""

from __future__ import annotations

from urllib.parse import urlsplit

from artdag_common.messaging import subjects
from tests.architecture.chart import of_kind, pod_of, workloads


def test_executors_are_scaled_by_what_waits_for_them() -> None:
    scaled = {each["metadata"]["name"]: each["spec"] for each in of_kind("open", "ScaledObject")}
    assert scaled.keys() == {"artdag-executor-cpu", "artdag-executor-gpu"}
    for name, spec in scaled.items():
        work_class = name.removeprefix("artdag-executor-")
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "nats-jetstream"
        assert trigger["metadata"]["natsServerMonitoringEndpoint"] == "nats.example:8222"
        assert trigger["metadata"]["account"] == "ART"
        assert trigger["metadata"]["stream"] == subjects.WORK
        assert trigger["metadata"]["consumer"] == subjects.workers(work_class)
        assert trigger["name"] in spec["advanced"]["scalingModifiers"]["formula"]
        # KEDA falls back only where the target is a whole number; below 100 a hand, pods that are all busy are too few.
        target, slots = int(spec["advanced"]["scalingModifiers"]["target"]), int(trigger["metadata"]["lagThreshold"])
        assert 0 < target < 100 * slots
        assert spec["fallback"]["replicas"] >= 1, "without an executor there is no consumer to ask"


def test_keda_finds_the_server_that_leads_a_consumer() -> None:
    """It asks one server of a cluster for its routes, as long as servers tell clients of no other's address, and then
    each at the endpoint with the first part of the route's host before it. It takes what the leader says.
    """
    (scaled,) = of_kind("passing", "ScaledObject")
    named = scaled["spec"]["triggers"][0]["metadata"]
    assert named["account"] == "$G", "accounts.conf sets up no account"
    endpoint = named["natsServerMonitoringEndpoint"]
    nats = workloads("passing")["artdag-nats"]
    service = nats["spec"]["serviceName"]
    assert endpoint == f"{service}.artdag.svc:8222", "pods have names below their headless Service"
    (headless,) = (each["spec"] for each in of_kind("passing", "Service") if each["metadata"]["name"] == service)
    assert (headless["clusterIP"], headless["publishNotReadyAddresses"]) == ("None", True)
    (config,) = (each for each in of_kind("passing", "ConfigMap") if each["metadata"]["name"] == "artdag-nats")
    lines = config["data"]["nats.conf"].splitlines()
    assert {"server_name: $POD_NAME", "  no_advertise: true"} <= set(lines)
    (container,) = pod_of(nats)["containers"]
    given = {each["name"]: each for each in container["env"]}
    assert given["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    hosts = [urlsplit(each["value"]).hostname for name, each in given.items() if name.startswith("ROUTE_")]
    assert hosts == [f"artdag-nats-{number}.{service}" for number in range(nats["spec"]["replicas"])]
