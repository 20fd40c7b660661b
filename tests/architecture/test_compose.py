"""The compose files: that Compose and a swarm take them, and that they run what ``artdag up`` runs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from artdag_cli.credentials import OPERATOR, Servers
from artdag_cli.options import DEFAULT_PORT
from artdag_cli.secrets_folder import keep
from artdag_cli.system import BACKING, ROOT, SERVICES
from artdag_common.config import SECRETS, Settings
from artdag_common.environment import BY_FILE
from tests.containers import COMPOSE, MONITORING, S3, composed, secret_files, settings_of

FILES = (COMPOSE, MONITORING, S3)
SERVERS = ("nats", "postgres", "redis", "ipfs")
NEED_A_FOLDER = {"ARTDAG_IMPORT_DIRS", "ARTDAG_STORAGE_DIRS"}
"""Settings that mean nothing without a folder mounted for them: a file of the operator's own adds both."""

OF_ONE = {"HOST", "PORT", "ARTDAG_CONTENT_HOST", "ARTDAG_CONTENT_PORT", "ARTDAG_CONTENT_URL"}
"""Settings of the service that listens; Docker knows the content's address."""

REFUSED_BY_SWARM = {"profiles", "extends", "mem_limit", "cpus", "scale", "group_add", "pids_limit", "pull_policy"}
"""What Compose takes in a service, and ``docker stack deploy`` stops at."""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of secrets as the command makes it, with a bucket."""
    folder = tmp_path_factory.mktemp("containers") / "secrets"
    servers = Servers("nats:4222", "postgres:5432", "redis:6379")
    keep(folder, servers)
    (folder / "ARTDAG_S3_URL").write_text("s3://key:secret@s3.example.org/bucket")
    keep(folder, servers)
    return folder


@pytest.fixture(scope="module")
def config(secrets: Path) -> dict[str, Any]:
    """All files together, as compose resolves them."""
    return composed(*FILES, SECRETS_FOLDER=str(secrets))


def raw(name: str) -> dict[str, Any]:
    """Return a compose file as it is written."""
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


@pytest.mark.parametrize("more", [(), (MONITORING,), (S3,), (MONITORING, S3)], ids=str)
def test_compose_takes_the_files_in_every_combination(more: tuple[str, ...]) -> None:
    assert set(SERVICES) <= composed(COMPOSE, *more)["services"].keys()


@pytest.mark.parametrize("name", FILES)
def test_swarm_is_given_nothing_that_it_refuses(name: str) -> None:
    written = raw(name)
    assert not re.search(r"\$\{[^}]*\$\{", (ROOT / name).read_text()), "a swarm ends a default at the first }"
    sections = {key for key in written if not key.startswith("x-")}
    assert sections <= {"services", "networks", "volumes", "configs", "secrets"}, "docker stack deploy knows no others"
    for service, its in written["services"].items():
        assert not REFUSED_BY_SWARM & its.keys(), service
        assert isinstance(its.get("depends_on", []), list), f"{service}: conditions are Compose's alone"
        for limits in (its.get("deploy") or {}).get("resources", {}).values():
            assert isinstance(limits.get("cpus", ""), str), f"{service}: cpus has to be text"
        for volume in its.get("volumes", []):
            assert volume["type"] in ("volume", "tmpfs"), f"{service}: a folder is on one machine of a swarm only"
            assert isinstance(volume.get("tmpfs", {}).get("size", 0), int), f"{service}: size has to be a number"
    for service in written["services"].values():
        if "image" in service:
            assert service["deploy"]["restart_policy"]["condition"] in ("any", "on-failure"), (
                "Swarm passes restart over"
            )


@pytest.mark.parametrize("section", ["configs", "secrets"])
def test_a_swarm_finds_what_is_another_file_now_under_another_name(section: str) -> None:
    """It refuses to change a config or a secret that it has."""
    for generation in ("1", "2"):
        given = {"GENERATION": generation} if generation != "1" else {}
        found = composed(*FILES, **given)[section]
        assert found
        assert {name: its["name"] for name, its in found.items()} == {n: f"artdag-{n}-{generation}" for n in found}
        assert all(len(its["name"]) <= 64 for its in found.values()), "a swarm takes no longer one"


def test_a_cache_service_has_time_to_copy_what_only_its_machine_has(config: dict[str, Any]) -> None:
    graces = {name: config["services"][name]["stop_grace_period"] for name in SERVICES}
    assert graces.pop("cache") == "2m30s", "docs/containers.md: ARTDAG_DRAIN_SECONDS up to 120, and 30 to end"
    assert set(graces.values()) == {"30s"}


def test_the_services_are_those_of_up_and_the_servers_too(config: dict[str, Any]) -> None:
    mine = set(raw(COMPOSE)["services"])
    assert mine == {*SERVICES, *SERVERS, "migrate"}
    hosts = {"NATS_URL": "nats", "DATABASE_URL": "postgres", "REDIS_URL": "redis"}
    assert set(hosts) == set(BACKING)
    for service in (*SERVICES, "migrate"):
        files = secret_files(config, service)
        for name, host in hosts.items():
            if name in files:
                assert re.search(rf"[/@]{host}:\d+", files[name].read_text()), f"{service} looks for {name} elsewhere"
    assert config["services"]["ipfs"]["networks"].keys() <= config["services"]["executor"]["networks"].keys()


def test_every_service_gets_the_secrets_that_are_its_own_and_no_others(config: dict[str, Any], secrets: Path) -> None:
    for service in (*SERVICES, "migrate"):
        folder = secrets / (OPERATOR if service == "migrate" else service)
        files = secret_files(config, service)
        assert set(files) == {path.name for path in folder.iterdir()}, service
        for name, path in files.items():
            assert path.read_text() == (folder / name).read_text(), f"{service} gets another's {name}"
        named = {k: v for k, v in settings_of(config["services"][service]).items() if k.endswith(BY_FILE)}
        assert named == {name + BY_FILE: f"/run/secrets/{name}" for name in files}, service
    shared = {*secret_files(config, "prometheus"), *secret_files(config, "grafana")}
    assert shared == {"owner.token", "grafana.password"}


def test_no_secret_is_in_the_environment_or_on_a_command_line(config: dict[str, Any], secrets: Path) -> None:
    text = json.dumps({name: {**its, "secrets": None} for name, its in config["services"].items()})
    for path in secrets.rglob("*"):
        if path.is_file() and path.name not in ("NATS_URL", "nats.conf", "redis.conf"):
            assert path.read_text().strip() not in text, path.name
    assert not set(SECRETS) & {name for its in config["services"].values() for name in settings_of(its)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_settings_without_a_complaint(service: str, config: dict[str, Any], tmp_path: Path) -> None:
    environment = settings_of(config["services"][service])
    for name, path in secret_files(config, service).items():
        environment[name + BY_FILE] = str(path)
    assert environment["CACHE_DIR"] == "/data/cache"
    environment["CACHE_DIR"] = str(tmp_path)  # it is looked at, and who runs this test may not make the image's
    settings, problems = Settings.examine(environment, service)
    # The gateway lets everybody in inside its container; its port is published for this machine alone.
    assert [problem for problem in problems if problem.fatal or problem.names[0] != "L1_PUBLIC_URL"] == []
    assert settings.public_url == f"http://localhost:{DEFAULT_PORT}"


def test_every_setting_can_be_set_and_reaches_all_services() -> None:
    names = {field.alias for field in Settings.model_fields.values()}
    assert None not in names
    free = {str(name) for name in names} - set(SECRETS) - NEED_A_FOLDER - OF_ONE
    written = raw(COMPOSE)["x-settings"]
    passed = {name for name in free if str(written.get(name, "")).startswith(f"${{{name}")}
    fixed = {"ARTDAG_PROBE_HOST", "ARTDAG_PROBE_PORT", "CACHE_DIR"}
    assert passed == free - fixed, f"write them in x-settings of {COMPOSE}"
    assert fixed <= written.keys()
    for service in SERVICES:
        assert written.items() <= raw(COMPOSE)["services"][service]["environment"].items()


def test_what_is_set_is_what_a_service_gets() -> None:
    config = composed(COMPOSE, ARTDAG_RATE_READ="7", L1_PUBLIC_URL="https://art.example.org", IPFS_API="")
    for service in SERVICES:
        settings, _ = Settings.examine(settings_of(config["services"][service]), "")
        assert (settings.rate_read, settings.public_url, settings.ipfs_api) == (7, "https://art.example.org", "")


def test_images_are_pinned_and_nothing_runs_with_more_than_it_needs(config: dict[str, Any]) -> None:
    for name, its in config["services"].items():
        tag = its["image"].rpartition(":")[2]
        assert re.search(r"\d+\.\d+\.\d+|^\d+\.\d+-", tag), f"{name}: {its['image']} is not one version"
        assert not its.get("privileged"), name
        assert not {"network_mode", "pid", "ipc", "devices", "userns_mode"} & its.keys(), name
        assert its["cap_drop"] == ["ALL"], name
        assert its["security_opt"] == ["no-new-privileges:true"], name
        limits = its["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= limits.keys(), name
        assert its["restart"] in ("unless-stopped", "on-failure"), name
        assert its["logging"]["options"]["max-size"], f"{name}: its log grows without an end"
    for name in (*SERVICES, "migrate", "nats", "redis", "postgres", "prometheus", "grafana", "collector"):
        assert config["services"][name]["read_only"] is True, name
    for name in (*SERVICES, "migrate"):
        assert "cap_add" not in config["services"][name]
        assert config["services"][name]["init"] is True, f"{name}: nobody buries orphans"


def test_servers_are_reached_by_who_needs_them_and_nobody_else(config: dict[str, Any]) -> None:
    on = {name: set(its["networks"]) for name, its in config["services"].items()}
    for server in ("nats", "postgres", "redis"):
        assert on[server] == {server}
        assert config["networks"][server]["internal"] is True
    needing = {name for name in SERVICES if "REDIS_URL" in secret_files(config, name)}
    assert {name for name in SERVICES if "redis" in on[name]} == needing
    alone = composed(COMPOSE)["services"]
    assert "front" not in {*alone["executor"]["networks"], *alone["planner"]["networks"]}, "they reach nothing outside"
    published = {name for name, its in config["services"].items() if its.get("ports")}
    assert published == {"gateway", "grafana"}
    assert all(port["host_ip"] == "127.0.0.1" for name in published for port in config["services"][name]["ports"])


def test_content_is_one_volume_of_all_who_read_it(config: dict[str, Any]) -> None:
    for service in SERVICES:
        mounted = [v for v in config["services"][service]["volumes"] if v["type"] == "volume"]
        having = "ARTDAG_CLUSTER_KEY" in secret_files(config, service)
        assert [(v["source"], v["target"]) for v in mounted] == ([("content", "/data/cache")] if having else []), (
            service
        )
    assert config["services"]["cache"]["deploy"]["mode"] == "global", "each machine of a swarm has a volume of its own"


def test_nats_is_set_up_as_the_services_need_it(config: dict[str, Any]) -> None:
    text = (ROOT / "compose" / "nats.conf").read_text()
    for line in ("max_payload: 8MB", "sync_interval: always", 'store_dir: "/data"'):
        assert line in text
    nats = config["services"]["nats"]
    mounted = nats["configs"][0]["target"]
    included = re.search(r'^include "(.*)"', text, re.MULTILINE)
    assert included
    (secret,) = secret_files(config, "nats")
    assert os.path.normpath(Path(mounted).parent / included[1]) == f"/run/secrets/{secret}"
    assert mounted in nats["command"]


def test_what_is_watched_with_reaches_its_containers(config: dict[str, Any]) -> None:
    mounted = {
        Path(config["configs"][each["source"]]["file"]): Path(each["target"])
        for name in ("prometheus", "grafana")
        for each in config["services"][name]["configs"]
    }
    folder = ROOT / "monitoring"
    grafana = {path for path in (folder / "grafana").rglob("*") if path.is_file()}
    assert set(mounted) == {folder / "prometheus.yml", folder / "alerts.yml", *grafana}, f"list them in {MONITORING}"
    for path in grafana:
        assert mounted[path] == Path("/etc/grafana", path.relative_to(folder / "grafana"))
    (provider,) = yaml.safe_load((folder / "grafana/provisioning/dashboards/artdag.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    scraped = yaml.safe_load((folder / "prometheus.yml").read_text())
    asked = {(job["job_name"], sd["port"]) for job in scraped["scrape_configs"] for sd in job["dns_sd_configs"]}
    assert asked == {*((service, 9100) for service in SERVICES), ("system", 8000)}
    for service in SERVICES:
        assert "monitoring" in config["services"][service]["networks"]
        assert settings_of(config["services"][service])["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
