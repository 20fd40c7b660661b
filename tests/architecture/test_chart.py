"""The Helm chart: valid for Kubernetes, strict about what runs, and of one mind with the code, compose and ``up``."""

from __future__ import annotations

import copy
import functools
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, HelmError, lint
from kubernetes_validate import utils

from artdag_cli import credentials
from artdag_cli.accounts import SECRETS as SECRETS_OF
from artdag_cli.backing.launch import binary
from artdag_cli.system import SERVICES
from artdag_common.config import SECRETS, Settings
from artdag_common.messaging import permissions, subjects
from tests.architecture.network_policies import Address, Pod, lets_through, selects

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("k8s_build", ROOT / "k8s" / "build.py")
assert SPEC
assert SPEC.loader
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)

VERSIONS = ("1.30", "1.33", "1.37")
"""Of Kubernetes: the oldest that the chart is for, one in between, the newest whose schemas are here."""

Values = dict[str, Any]
Object = dict[str, Any]

INGRESS_PODS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
BARE: Values = {"secrets": {"prefix": "artdag-"}}
OPEN: Values = {
    **BARE,
    "image": {"registry": "registry.example:5000", "tag": "0.1.0-3", "pullSecrets": ["pull"]},
    "l2": {"server": "https://l2.example"},
    "s3": {"enabled": True},
    "config": {"ARTDAG_QUOTA_BYTES": 5_000_000_000_000, "ARTDAG_CLASS_LIMITS": "cpu=8", "ARTDAG_RETENTION_DAYS": 7.5},
    "content": {"limit": 20_000_000_000, "storageClass": "fast"},
    "nats": {"bundled": False, "monitoring": "nats.example:8222", "peers": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
    "postgres": {"bundled": False},
    "redis": {"bundled": False},
    "gateway": {"allowFrom": [INGRESS_PODS], "autoscaling": {"enabled": True}},
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
    "ipfs": {"api": "http://kubo:5001", "primary": True},
    "content": {"volume": "emptyDir"},
    "nats": {"replicas": 3},
    "ipv6": True,
}
VARIANTS = {"bare": BARE, "open": OPEN, "passing": PASSING}
EVERY = pytest.mark.parametrize("variant", VARIANTS)


@functools.cache
def objects(variant: str, upgrade: bool = False) -> tuple[Object, ...]:
    """All that the chart renders, hooks too."""
    files = build.rendered(VARIANTS[variant], is_upgrade=upgrade, is_install=not upgrade)
    return tuple(each for text in files.values() for each in build.objects(text))


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
        if container["command"][:2] == ["python", "-m"] if "command" in container else False:
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


# --- valid ----------------------------------------------------------------------------------------------------------


@EVERY
def test_helm_finds_nothing_wrong(variant: str) -> None:
    report = lint(build.CHART, VARIANTS[variant], strict=True, namespace="artdag", kube_version="v1.30.0")
    assert not report["errors"]
    assert [each for each in report["messages"] if each["severity"] > 1] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_all_objects_are_what_kubernetes_takes(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
    known = {}
    for variant, upgrade in itertools.product(VARIANTS, (False, True)):
        for each in objects(variant, upgrade):
            if not each["apiVersion"].startswith(("keda.sh/", "monitoring.coreos.com/")):
                known[json.dumps(each)] = each
    for each in known.values():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_oldest_version_is_the_one_that_the_chart_asks_for() -> None:
    chart = yaml.safe_load((build.CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={VERSIONS[0]}.0-0"


def test_what_is_derived_is_up_to_date() -> None:
    assert build.stale() == [], "run python k8s/build.py"


def test_plain_manifests_name_every_file() -> None:
    known = yaml.safe_load((build.PLAIN / "kustomization.yaml").read_text())["resources"]
    assert sorted(known) == sorted(path.name for path in build.PLAIN.glob("*") if path.name != "kustomization.yaml")


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: https://kubernetes.io/docs/tasks/tools")
def test_kubectl_takes_the_plain_manifests_as_they_are() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(build.PLAIN)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    taken = {(each["kind"], each["metadata"]["name"]): each for each in build.objects(done.stdout)}
    assert {kind for kind, _ in taken} == {"Namespace", *(each["kind"] for each in objects("bare"))}
    for each in objects("bare"):
        one = taken[each["kind"], each["metadata"]["name"]]
        assert one["metadata"].pop("namespace") == build.NAME
        assert one == each


def test_plain_manifests_have_no_hooks() -> None:
    """kubectl knows none."""
    assert [each for each in objects("bare") if "helm.sh/hook" in each["metadata"].get("annotations", {})] == []


@EVERY
def test_nothing_is_left_blank_and_the_next_step_is_told(variant: str) -> None:
    with Chart.load(build.CHART) as chart:
        rendered = chart.render(VARIANTS[variant], name="artdag", namespace="artdag")
    assert [name for name, text in rendered.items() if "<no value>" in text or "%!" in text] == []
    notes = next(text for name, text in rendered.items() if name.endswith("NOTES.txt"))
    assert "--for condition=Ready" in notes
    assert ("https://art.example" in notes) == (variant == "open")
    assert ("port-forward service/artdag-gateway 8100:8000" in notes) == (variant != "open")
    assert ("artdag-operator" in notes) == (variant != "open"), "the owner's token, on a personal server"


@EVERY
def test_no_two_objects_have_one_name(variant: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in objects(variant)]
    assert len(names) == len(set(names))


def test_the_version_is_that_of_the_code() -> None:
    from artdag_common.version import VERSION

    chart = yaml.safe_load((build.CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION


# --- refused --------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Values, str]] = [
    ({"secrets": {"prefix": ""}}, "artdag secrets secrets --kubernetes --nats artdag-nats:4222"),
    ({"secrets": {"prefix": "Art"}}, "/secrets/prefix"),
    ({"gatewy": {}}, "gatewy"),
    ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
    ({"gateway": {"replicas": "two"}}, "/gateway/replicas"),
    ({"gateway": {"resources": {"limits": None}}}, "limits"),
    ({"image": {"tag": "latest"}}, "/image/tag"),
    ({"nats": {"image": "nats:latest"}}, "/nats/image"),
    ({"nats": {"image": "nats"}}, "/nats/image"),
    ({"nats": {"replicas": 2}}, "/nats/replicas"),
    ({"config": {"ARTDAG_QUOTA": 1}}, "ARTDAG_QUOTA"),
    ({"config": {"ARTDAG_SECRET_KEY": "00"}}, "ARTDAG_SECRET_KEY"),
    ({"executors": {"inline": OPEN["executors"]["render"]}}, "inline"),
    ({"executors": {"GPU": OPEN["executors"]["render"]}}, "GPU"),
    ({"executors": {"own": {"enabled": True}}}, "/executors/own"),
    ({"content": {"size": "20 GB"}}, "/content/size"),
    ({"content": {"volume": "emptyDir"}}, "nothing else has all content. Set s3.enabled"),
    ({"content": {"volume": "emptyDir"}, "s3": {"enabled": True}}, "gateway.volume=claim"),
    ({"executors": {"cpu": {"volume": "emptyDir"}}}, "executors.cpu keeps content in an emptyDir"),
    ({"executors": {"cpu": {"autoscaling": {"enabled": True}}}}, "executors.cpu.autoscaling takes pods away"),
    ({"gateway": {"autoscaling": {"enabled": True}}}, "gateway.autoscaling takes pods away"),
    ({"ipfs": {"primary": True}}, "ipfs.primary needs ipfs.api"),
    ({"ingress": {"enabled": True}}, "ingress.host is not set"),
    (changed(OPEN, {"ingress": {"tlsSecret": ""}}), "ingress.tlsSecret is not set"),
    (changed(OPEN, {"ingress": {"proxies": []}}), "ingress.proxies is not set"),
    (changed(OPEN, {"l2": {"server": ""}}), "ingress.personal=true"),
    (changed(OPEN, {"gateway": {"allowFrom": []}}), "gateway.allowFrom is not set"),
    (changed(OPEN, {"nats": {"monitoring": ""}}), "nats.monitoring"),
    ({"l2": {"server": "l2.example"}}, "/l2/server"),
    ({"ingress": {"proxies": ["10.0.0.1"]}}, "/ingress/proxies/0"),
]


@pytest.mark.parametrize(("values", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_work_is_refused(values: Values, said: str) -> None:
    with Chart.load(build.CHART) as chart, pytest.raises(HelmError) as error:
        chart.render(changed(BARE, values), name="artdag", namespace="artdag")
    assert said in str(error.value)


# --- policy ---------------------------------------------------------------------------------------------------------


@EVERY
def test_every_pod_is_as_restricted_as_it_can_be(variant: str) -> None:
    for name, workload in workloads(variant).items():
        pod = pod_of(workload)
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, f"{name}: a Service's name would become a setting"
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys(), name
        assert not [each for each in pod["volumes"] if "hostPath" in each], name


@EVERY
def test_every_container_is_as_restricted_as_it_can_be(variant: str) -> None:
    for name, _, container in containers(variant):
        security = container["securityContext"]
        assert security == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        for bound in ("requests", "limits"):
            assert {"cpu", "memory"} <= container["resources"][bound].keys(), f"{name}: {bound}"
        tag = container["image"].rpartition(":")[2]
        assert re.search(r"\d", tag), f"{name}: {container['image']} names no version"


@EVERY
def test_services_run_as_the_user_of_their_images(variant: str) -> None:
    dockerfile = (ROOT / "services" / "Dockerfile").read_text()
    user = int(re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)[-1])
    for name, _ in ours(variant):
        security = pod_of(workloads(variant)[name])["securityContext"]
        assert {security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {user}


@EVERY
def test_every_account_is_one_of_ours_without_a_token(variant: str) -> None:
    accounts = {each["metadata"]["name"]: each for each in of_kind(variant, "ServiceAccount")}
    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    for name, workload in workloads(variant).items():
        if workload["kind"] != "Job":  # hooks run before there are accounts of ours; no token is mounted either
            assert pod_of(workload)["serviceAccountName"] in accounts, name


@EVERY
def test_everything_that_goes_on_is_probed(variant: str) -> None:
    for name, _, container in containers(variant):
        if "migrate" not in name:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name
    for name, container in ours(variant):
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        probed = environment(variant, container)
        assert probed["ARTDAG_PROBE_HOST"] in ("0.0.0.0", "::")
        for probe, path in (("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")):
            asked = container[probe]["httpGet"]
            assert asked["path"] == path, name
            assert ports[asked["port"]] == int(probed["ARTDAG_PROBE_PORT"]), name


@EVERY
def test_no_two_containers_of_a_pod_have_one_port(variant: str) -> None:
    for name, workload in workloads(variant).items():
        pod = pod_of(workload)
        all_of_them = [*pod.get("initContainers", ()), *pod["containers"]]
        ports = [port["containerPort"] for each in all_of_them for port in each.get("ports", ())]
        assert len(ports) == len(set(ports)), name


@EVERY
def test_every_volume_is_used_and_every_mount_has_one(variant: str) -> None:
    for name, workload in workloads(variant).items():
        pod = pod_of(workload)
        claims = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())]
        volumes = [*claims, *(each["name"] for each in pod["volumes"])]
        mounted = {m["name"] for c in (*pod.get("initContainers", ()), *pod["containers"]) for m in c["volumeMounts"]}
        assert len(volumes) == len(set(volumes)), name
        assert set(volumes) == mounted, name


# --- of one mind ----------------------------------------------------------------------------------------------------


def compose() -> Object:
    found: Object = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


@EVERY
def test_services_are_those_of_up_and_of_compose(variant: str) -> None:
    assert {service_of(container) for _, container in ours(variant)} == set(SERVICES)
    assert set(SERVICES) <= compose()["services"].keys()
    for _, container in ours(variant):
        image = container["image"].rpartition("/")[2]
        assert image.partition(":")[0] == service_of(container)


@pytest.mark.parametrize("server", ["nats", "postgres", "redis"])
def test_bundled_servers_are_those_of_compose(server: str) -> None:
    image = pod_of(workloads("bare")[f"artdag-{server}"])["containers"][0]["image"]
    assert image == compose()["services"][server]["image"]


@EVERY
def test_ports_are_those_of_compose(variant: str) -> None:
    of_compose = compose()["services"]
    for _, container in ours(variant):
        given, there = environment(variant, container), of_compose[service_of(container)]["environment"]
        for name in ("PORT", "ARTDAG_CONTENT_PORT", "CACHE_DIR"):
            assert given[name] == there.get(name, given[name])
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        if service_of(container) == "gateway":
            assert ports["http"] == int(given["PORT"]) == 8000
        if service_of(container) == "cache":
            assert ports["content"] == int(given["ARTDAG_CONTENT_PORT"]) == 8200


@EVERY
def test_every_variable_is_a_setting(variant: str) -> None:
    known = {field.alias for field in Settings.model_fields.values()}
    for name, container in ours(variant):
        assert environment(variant, container).keys() - known <= {"OTEL_EXPORTER_OTLP_ENDPOINT"}, name


@EVERY
def test_services_have_nothing_against_their_settings(variant: str) -> None:
    """All but the folder, which is only there in a pod."""
    for name, container in ours(variant):
        _, problems = Settings.examine(environment(variant, container), service_of(container))
        found = [
            str(each) for each in problems if each.names[0] != "CACHE_DIR" and each.names != ("L1_PUBLIC_URL", "HOST")
        ]
        assert found == [], name


@EVERY
def test_each_service_gets_the_secrets_that_it_needs_and_no_others(variant: str) -> None:
    everybodys = {"NATS_URL", "DATABASE_URL", "ARTDAG_NATS_SEED"}
    given_s3 = "s3" in VARIANTS[variant]
    for name, container in ours(variant):
        service = service_of(container)
        wanted = {each for each, services in SECRETS_OF.items() if service in services}
        if not given_s3:
            wanted -= {"ARTDAG_S3_URL"}
        if service == "auth":
            wanted |= {"ARTDAG_RELAY_NATS_SEED", "ARTDAG_RELAY_DATABASE_URL"}
        if environment(variant, container).get("ARTDAG_CACHE_DUTIES") == "node":
            wanted -= {"ARTDAG_SECRET_KEY", "ARTDAG_ACTOR_KEY"}  # those are for what it does not do
        given = secrets_of(container)
        assert given.keys() == everybodys | wanted, name
        assert {secret for secret, _, _ in given.values()} == {f"artdag-{service}"}, name
        assert given.keys() <= set(SECRETS)


@EVERY
def test_artdag_secrets_makes_all_secrets(variant: str) -> None:
    for name, pod, container in containers(variant):
        for variable, (secret, key, _) in secrets_of(container).items():
            assert key in made_secrets()[secret], f"{name}: {variable}"
        for volume in pod["volumes"]:
            for source in (volume, *volume.get("projected", {}).get("sources", ())):
                if held := source.get("secret"):
                    secret = held.get("secretName") or held["name"]
                    assert {each["key"] for each in held["items"]} <= made_secrets()[secret].keys(), name


def test_the_address_that_secrets_are_made_for_is_that_of_the_services() -> None:
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in of_kind("bare", "Service")}
    for server, port in (("nats", 4222), ("postgres", 5432), ("redis", 6379)):
        assert port in [each["port"] for each in services[f"artdag-{server}"]]
    assert "@artdag-postgres:5432/" in made_secrets()["artdag-gateway"]["DATABASE_URL"]


@EVERY
def test_executors_take_the_class_that_they_are_called_by(variant: str) -> None:
    executors = {name: container for name, container in ours(variant) if service_of(container) == "executor"}
    for name, container in executors.items():
        settings, _ = Settings.examine(environment(variant, container), "executor")
        work_class = name.removeprefix("artdag-executor-")
        assert list(settings.hands) == [work_class]
        assert settings.hands[work_class] == settings.slots
    expected = {"cpu"} | {each for each, spec in VARIANTS[variant].get("executors", {}).items() if "enabled" in spec}
    assert {name.removeprefix("artdag-executor-") for name in executors} == expected


def test_executors_are_scaled_by_what_waits_for_them() -> None:
    scaled = {each["metadata"]["name"]: each["spec"] for each in of_kind("open", "ScaledObject")}
    assert scaled.keys() == {"artdag-executor-cpu", "artdag-executor-gpu"}
    for name, spec in scaled.items():
        work_class = name.removeprefix("artdag-executor-")
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "nats-jetstream"
        assert trigger["metadata"]["stream"] == subjects.WORK
        assert trigger["metadata"]["consumer"] == subjects.workers(work_class)
        assert trigger["name"] in spec["advanced"]["scalingModifiers"]["formula"]
        # KEDA falls back only where the target is a whole number; below 100 a hand, pods that are all busy are too few.
        target, slots = int(spec["advanced"]["scalingModifiers"]["target"]), int(trigger["metadata"]["lagThreshold"])
        assert 0 < target < 100 * slots
        assert spec["fallback"]["replicas"] >= 1, "without an executor there is no consumer to ask"


@EVERY
def test_what_refers_to_a_workload_finds_it(variant: str) -> None:
    there = workloads(variant)
    for each in of_kind(variant, "HorizontalPodAutoscaler", "ScaledObject"):
        target = each["spec"]["scaleTargetRef"]
        assert there[target["name"]]["kind"] == target["kind"]
        assert "replicas" not in there[target["name"]]["spec"], "an upgrade would take back what was scaled"
    pods = [(labels_of(each), each) for each in there.values()]
    for each in of_kind(variant, "Service"):
        found = [pod for labels, pod in pods if each["spec"]["selector"].items() <= labels.items()]
        names = {
            p.get("name")
            for pod in found
            for c in (*pod_of(pod)["containers"], *pod_of(pod).get("initContainers", ()))
            for p in c.get("ports", ())
        }
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= names, each["metadata"]["name"]
    for each in of_kind(variant, "PodDisruptionBudget"):
        assert [labels for labels, _ in pods if selects(each["spec"]["selector"], labels)], each["metadata"]["name"]
    budgets = [each["spec"]["selector"] for each in of_kind(variant, "PodDisruptionBudget")]
    for name, _ in ours(variant):
        assert any(selects(each, labels_of(there[name])) for each in budgets), f"{name} has no budget"
    services = {each["metadata"]["name"] for each in of_kind(variant, "Service")}
    for name, each in there.items():
        if each["kind"] == "StatefulSet":
            assert each["spec"]["serviceName"] in services, name


def test_prometheus_gets_the_rules_and_knows_services_as_the_rules_do() -> None:
    (rules,) = of_kind("open", "PrometheusRule")
    assert rules["spec"] == yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())
    wanted = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    endpoints = [each for monitor in of_kind("open", "ServiceMonitor") for each in monitor["spec"]["endpoints"]]
    jobs = {rule["replacement"] for each in endpoints for rule in each["relabelings"] if "replacement" in rule}
    source = ["__meta_kubernetes_pod_label_artdag_service"]
    assert [each["port"] for each in endpoints if {"sourceLabels": source, "targetLabel": "job"} in each["relabelings"]]
    jobs |= {labels_of(workloads("open")[name])["artdag-service"] for name, _ in ours("open")}
    assert {each["job_name"] for each in wanted} <= jobs
    ports = {port["name"] for service in of_kind("open", "Service") for port in service["spec"]["ports"]}
    assert {each["port"] for each in endpoints} <= ports


# --- content --------------------------------------------------------------------------------------------------------


@EVERY
def test_every_pod_with_content_serves_it_to_the_others(variant: str) -> None:
    for name, workload in workloads(variant).items():
        pod = pod_of(workload)
        with_content = [c for c in pod["containers"] if {"name": "content", "mountPath": "/data"} in c["volumeMounts"]]
        if not with_content or with_content[0]["name"] == "cache":
            continue
        (sidecar,) = pod["initContainers"]
        assert sidecar["restartPolicy"] == "Always", "else it would have to end before the service begins"
        assert service_of(sidecar) == "cache"
        given = environment(variant, sidecar)
        assert given["ARTDAG_CACHE_DUTIES"] == "node", name
        assert given["ARTDAG_CONTENT_URL"] in ("http://10.244.0.7:8200", "http://[fd00::7]:8200")
        assert labels_of(workload)["artdag-content"] == "true"


@EVERY
def test_content_that_goes_with_its_pod_is_somewhere_else(variant: str) -> None:
    complete = {"s3", "ipfs"} & VARIANTS[variant].keys()
    for name, workload in workloads(variant).items():
        content = [each for each in pod_of(workload)["volumes"] if each["name"] == "content"]
        assert not content or complete or name == "artdag-cache", f"{name}: the cache service has copies only"


@EVERY
def test_a_pod_has_time_to_end(variant: str) -> None:
    complete = bool({"s3", "ipfs"} & VARIANTS[variant].keys())
    for name, container in ours(variant):
        pod = pod_of(workloads(variant)[name])
        drains = [float(environment(variant, each)["ARTDAG_DRAIN_SECONDS"]) for each in pod.get("initContainers", ())]
        assert all((each > 0) == complete for each in drains), "copied where there is somewhere to copy to"
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] >= 30 + sum(drains) + pause, name


@EVERY
def test_the_gateway_is_never_away_altogether(variant: str) -> None:
    gateway = workloads(variant)["artdag-gateway"]["spec"]
    if "strategy" in gateway:
        assert gateway["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    else:  # one after the other, each when the one before is ready
        assert gateway["updateStrategy"] == {"type": "RollingUpdate"}
        assert gateway.get("replicas", 2) >= 2


# --- migrations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "upgrade", "hook"),
    [("bare", False, False), ("bare", True, True), ("open", False, True), ("open", True, True)],
)
def test_migrations_come_before_services_where_the_database_is_there_before(
    variant: str, upgrade: bool, hook: bool
) -> None:
    (job,) = (each for each in objects(variant, upgrade) if each["kind"] == "Job")
    annotations = job["metadata"].get("annotations", {})
    assert ("helm.sh/hook" in annotations) is hook
    if hook:
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = pod_of(job)["containers"]
    assert container["command"][:2] == ["artdag", "migrate"]
    assert secrets_of(container) == {"DATABASE_URL": ("artdag-operator", "DATABASE_URL", False)}


# --- network --------------------------------------------------------------------------------------------------------

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
    assert entered("bare", keda) == {("nats", 8222)}
    services = {name for name in pods("open") if name != "migrate"}
    assert entered("open", prometheus) == {*itertools.product(services, (9100, 9101)), ("gateway", 8000)}


@EVERY
def test_every_pod_finds_names(variant: str) -> None:
    dns = Address("10.96.0.10", {"kubernetes.io/metadata.name": "kube-system"}, {"k8s-app": "kube-dns"})
    policies = of_kind(variant, "NetworkPolicy")
    for name, pod in pods(variant).items():
        assert lets_through(policies, pod, dns, 53, "UDP"), name


# --- servers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["bare", "passing"])
def test_nats_takes_its_configuration(variant: str, tmp_path: Path) -> None:
    """Read by the server itself, with what the Secret brings."""
    config = next(each for each in of_kind(variant, "ConfigMap") if each["metadata"]["name"] == "artdag-nats")
    (tmp_path / "nats.conf").write_text(config["data"]["nats.conf"])
    (tmp_path / "accounts.conf").write_text(made_secrets()["artdag-backing"]["nats.conf"])
    (container,) = pod_of(workloads(variant)["artdag-nats"])["containers"]
    password = made_secrets()["artdag-backing"]["nats-routes.password"]
    given = {each["name"]: each.get("value", "") for each in container["env"]}
    given |= {"POD_NAME": "artdag-nats-0", "ROUTES_PASSWORD": password}
    given = {name: value.replace("$(ROUTES_PASSWORD)", password) for name, value in given.items()}
    command = [binary("nats-server"), "-t", "-c", str(tmp_path / "nats.conf")]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_cluster_of_nats_keeps_streams_as_often() -> None:
    (_, container) = next(each for each in ours("passing") if service_of(each[1]) == "auth")
    assert environment("passing", container)["ARTDAG_NATS_REPLICAS"] == "3"
    assert workloads("passing")["artdag-nats"]["spec"]["replicas"] == 3


def test_operators_account_is_for_migrations_only() -> None:
    for variant in VARIANTS:
        holders = {
            name
            for name, _, container in containers(variant)
            for secret, _, _ in secrets_of(container).values()
            if secret == "artdag-operator"
        }
        assert holders == {name for name in workloads(variant) if "migrate" in name}
    assert permissions.OPERATOR not in {*SERVICES}
