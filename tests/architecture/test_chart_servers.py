"""The servers that the chart brings, and the database's migrations."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from artdag_cli.backing.launch import binary
from tests.architecture.chart import (
    BARE,
    Object,
    build,
    compose,
    environment,
    made_secrets,
    objects,
    of_kind,
    ours,
    pod_of,
    rendered,
    secrets_of,
    service_of,
    workloads,
)

SERVERS = ("nats", "postgres", "redis")


def test_a_new_version_leaves_the_servers_as_they_are(tmp_path: Path) -> None:
    """What is changed in a template of pods replaces them."""
    newer = shutil.copytree(build.CHART, tmp_path / "artdag")
    about = yaml.safe_load((newer / "Chart.yaml").read_text())
    (newer / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": "9.9.9", "appVersion": "9.9.9"}))

    def templates(found: tuple[Object, ...]) -> dict[str, Object]:
        return {
            each["metadata"]["name"]: each["spec"]["template"] for each in found if "template" in each.get("spec", {})
        }

    before, after = templates(rendered(BARE)), templates(rendered(BARE, newer))
    assert before["artdag-gateway"] != after["artdag-gateway"]
    for server in SERVERS:
        assert before[f"artdag-{server}"] == after[f"artdag-{server}"], server


@pytest.mark.parametrize(("variant", "password"), [("bare", ""), ("passing", ""), ("passing", "9" * 64)])
def test_nats_takes_its_configuration(variant: str, password: str, tmp_path: Path) -> None:
    """Read by the server itself, with what the Secret brings, or a password of yours that looks like a number."""
    config = next(each for each in of_kind(variant, "ConfigMap") if each["metadata"]["name"] == "artdag-nats")
    (tmp_path / "nats.conf").write_text(config["data"]["nats.conf"])
    (tmp_path / "accounts.conf").write_text(made_secrets()["artdag-backing"]["nats.conf"])
    (container,) = pod_of(workloads(variant)["artdag-nats"])["containers"]
    password = password or made_secrets()["artdag-backing"]["nats-routes.password"]
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


def test_redis_is_asked_as_compose_asks_it() -> None:
    (container,) = pod_of(workloads("bare")["artdag-redis"])["containers"]
    (folder,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "config")
    kind, asked = compose()["services"]["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    wanted = ["sh", "-c", asked.replace("$$", "$").replace("/run/secrets/redis.conf", f"{folder}/redis.conf")]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["exec"]["command"] == wanted


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
