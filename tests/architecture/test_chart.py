"""What the Helm chart renders: valid for Kubernetes, of one piece, and the same as the plain manifests."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, lint
from kubernetes_validate import utils

from artdag_common.version import VERSION
from tests.architecture.chart import (
    EVERY,
    ROOT,
    VARIANTS,
    build,
    labels_of,
    objects,
    of_kind,
    ours,
    pod_of,
    workloads,
)
from tests.architecture.network_policies import selects

VERSIONS = ("1.30", "1.33", "1.37")
"""Of Kubernetes: the oldest that the chart is for, one in between, the newest whose schemas are here."""


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


def test_the_version_is_that_of_the_code() -> None:
    chart = yaml.safe_load((build.CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION


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
