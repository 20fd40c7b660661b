"""The chart gives services the settings, secrets and ports that the code, compose and ``up`` have."""

from __future__ import annotations

import pytest

from artdag_cli.accounts import SECRETS as SECRETS_OF
from artdag_cli.system import SERVICES
from artdag_common.config import SECRETS, Settings
from artdag_common.messaging import permissions
from tests.architecture.chart import (
    EVERY,
    VARIANTS,
    build,
    compose,
    containers,
    environment,
    made_secrets,
    of_kind,
    ours,
    pod_of,
    secrets_of,
    service_of,
    workloads,
)


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


def test_every_setting_can_be_set() -> None:
    """By a value of its own, below ``config``, or by a Secret; ``NOWHERE`` is what means nothing in a pod."""
    given = {name for variant in VARIANTS for _, container in ours(variant) for name in environment(variant, container)}
    known = {str(field.alias) for field in Settings.model_fields.values()}
    assert known <= given | build.free_settings().keys() | build.NOWHERE
    assert known - given >= build.NOWHERE


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
def test_executors_take_the_class_that_they_are_called_by(variant: str) -> None:
    executors = {name: container for name, container in ours(variant) if service_of(container) == "executor"}
    for name, container in executors.items():
        settings, _ = Settings.examine(environment(variant, container), "executor")
        work_class = name.removeprefix("artdag-executor-")
        assert list(settings.hands) == [work_class]
        assert settings.hands[work_class] == settings.slots
    expected = {"cpu"} | {each for each, spec in VARIANTS[variant].get("executors", {}).items() if "enabled" in spec}
    assert {name.removeprefix("artdag-executor-") for name in executors} == expected


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
