"""The pods that the chart makes: as restricted as can be, probed, with time to end, and their content kept."""

from __future__ import annotations

import re

from tests.architecture.chart import (
    EVERY,
    ROOT,
    VARIANTS,
    containers,
    environment,
    labels_of,
    of_kind,
    ours,
    pod_of,
    service_of,
    workloads,
)

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


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
def test_every_image_is_pulled_with_the_secrets_that_are_named(variant: str) -> None:
    named = [{"name": each} for each in VARIANTS[variant].get("image", {}).get("pullSecrets", ())]
    for name, workload in workloads(variant).items():
        assert pod_of(workload).get("imagePullSecrets", []) == named, name


@EVERY
def test_everything_that_goes_on_is_probed(variant: str) -> None:
    for name, _, container in containers(variant):
        if "migrate" not in name:
            assert set(PROBES) <= container.keys(), name
            assert all(container[probe]["timeoutSeconds"] >= 3 for probe in PROBES), f"{name}: busy is not dead"
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
def test_who_copies_for_others_makes_room_before_its_folder_is_full(variant: str) -> None:
    workload = workloads(variant)["artdag-cache"]
    (container,) = pod_of(workload)["containers"]
    (folder,) = (each["emptyDir"]["sizeLimit"] for each in pod_of(workload)["volumes"] if each["name"] == "content")
    limit = int(environment(variant, container).get("ARTDAG_CACHE_LIMIT", 0))
    assert folder == "20Gi"
    assert limit == (16 * 2**30 if {"s3", "ipfs"} & VARIANTS[variant].keys() else 0), "what is nowhere else stays"


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
