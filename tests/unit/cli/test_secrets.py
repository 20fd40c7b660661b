"""What ``artdag secrets`` makes, and for whom."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from artdag_cli.accounts import SECRETS, withheld
from artdag_cli.credentials import MADE, Servers, manifests, of_servers, of_services
from artdag_cli.secrets_folder import keep
from artdag_common.config import SECRETS as SECRET_SETTINGS
from artdag_common.config import Settings
from artdag_common.errors import ConfigurationError
from artdag_common.eventstore import roles
from artdag_common.messaging.permissions import RELAY, SERVICES, seed

HOSTS = Servers("nats:4222", "postgres:5432", "redis:6379")
KEPT = {name: f"{name.replace('.', '-')}-as-it-was-made" for name in MADE}


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_service_gets_accounts_of_its_own_and_no_secret_that_is_anothers() -> None:
    found = of_services(KEPT, HOSTS)
    assert set(found) == {*SERVICES, "operator"}
    for service in SERVICES:
        settings = found[service]
        assert not settings.keys() & withheld(service).keys()
        assert {"NATS_URL", "ARTDAG_NATS_SEED", "DATABASE_URL"} <= settings.keys() <= set(SECRET_SETTINGS)
        assert urlsplit(settings["DATABASE_URL"]).username == f"artdag_{service}"
        assert settings["ARTDAG_NATS_SEED"] == seed(KEPT["nats.password"], service)
        wanted = {name for name, services in SECRETS.items() if service in services} - {"ARTDAG_S3_URL"}
        assert wanted <= settings.keys()
        relays = {"ARTDAG_RELAY_NATS_SEED", "ARTDAG_RELAY_DATABASE_URL"} & settings.keys()
        assert bool(relays) == (service == "auth")
    seeds = [found[service]["ARTDAG_NATS_SEED"] for service in SERVICES]
    assert len({*seeds, found["auth"]["ARTDAG_RELAY_NATS_SEED"]}) == len(SERVICES) + 1
    assert urlsplit(found["auth"]["ARTDAG_RELAY_DATABASE_URL"]).username == f"artdag_{RELAY}"


def test_no_service_is_given_what_the_operators_accounts_are_opened_with() -> None:
    found = of_services(KEPT, HOSTS)
    for service in SERVICES:
        text = " ".join(found[service].values())
        for name in ("postgres.password", "nats.password", "owner.token"):
            assert KEPT[name] not in text, f"{service} could sign in as the operator, by {name}"


def test_roles_of_postgres_are_those_that_migrate_makes_of_the_operators_url() -> None:
    found = of_services(KEPT, HOSTS)
    made = roles.urls(found["operator"]["DATABASE_URL"])
    assert {service: found[service]["DATABASE_URL"] for service in SERVICES} | {
        RELAY: found["auth"]["ARTDAG_RELAY_DATABASE_URL"]
    } == made


def test_a_password_of_ones_own_may_hold_anything() -> None:
    found = of_services({**KEPT, "postgres.password": "p@ss/w#rd?", "redis.password": "a b:c"}, HOSTS)
    assert roles.urls(found["operator"]["DATABASE_URL"])["gateway"] == found["gateway"]["DATABASE_URL"]
    parts = urlsplit(found["operator"]["DATABASE_URL"])
    assert (parts.hostname, parts.port, parts.path) == ("postgres", 5432, "/artdag")
    assert urlsplit(found["gateway"]["REDIS_URL"]).hostname == "redis"


@pytest.mark.parametrize("place", ["nats", "nats:", "user@nats:4222", "nats:4222/x", "nats:4222,", "", "a b:1"])
def test_a_server_is_a_host_with_a_port(place: str) -> None:
    with pytest.raises(ConfigurationError, match="--nats"):
        Servers(place, "postgres:5432", "redis:6379")


def test_several_nats_servers_are_one_url() -> None:
    found = of_services(KEPT, Servers("a:4222,b:4222,[::1]:4222", "postgres:5432", "redis:6379"))
    assert found["gateway"]["NATS_URL"] == "nats://a:4222,b:4222,[::1]:4222"
    assert found["operator"]["NATS_URL"].endswith("@a:4222,b:4222,[::1]:4222")


def test_the_servers_learn_no_seed_and_classes_of_ones_own() -> None:
    found, seeds = of_servers(KEPT, ("render",)), of_services(KEPT, HOSTS)
    assert {"postgres.password", "redis.password", "nats.conf", "redis.conf"} <= found.keys()
    assert "WORK.executor-render.work.render.*" in found["nats.conf"]
    assert "executor-render" not in of_servers(KEPT)["nats.conf"]
    assert not [name for name in SERVICES if seeds[name]["ARTDAG_NATS_SEED"] in found["nats.conf"]]
    assert f"requirepass {KEPT['redis.password']}" in found["redis.conf"].splitlines()


def test_secrets_are_files_in_a_folder_that_keeps_others_out(tmp_path: Path) -> None:
    kept = keep(tmp_path / "secrets", HOSTS)
    assert set(kept.made) == set(MADE)
    found = files(tmp_path / "secrets")
    assert {"postgres.password", "nats.conf", "redis.conf", "owner.token", "gateway/NATS_URL"} <= found.keys()
    assert {f"{service}/{name}" for service in kept.services for name in kept.services[service]} <= found.keys()
    for path in (tmp_path / "secrets").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o444), path
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert all(text.endswith("\n") and text.strip() for text in found.values())


def test_made_again_nothing_changes(tmp_path: Path) -> None:
    first = keep(tmp_path / "secrets", HOSTS)
    before, times = files(tmp_path / "secrets"), {p: p.stat().st_mtime_ns for p in (tmp_path / "secrets").rglob("*")}
    again = keep(tmp_path / "secrets", HOSTS)
    assert again.made == ()
    assert (again.values, again.services) == (first.values, first.services)
    assert files(tmp_path / "secrets") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "secrets").rglob("*")} == times


def test_other_hosts_change_addresses_and_no_secret(tmp_path: Path) -> None:
    first = keep(tmp_path / "secrets", HOSTS)
    other = keep(tmp_path / "secrets", Servers("n:1", "p:2", "r:3"))
    assert other.values == first.values
    assert other.services["gateway"]["DATABASE_URL"].endswith("@p:2/artdag")
    assert other.services["gateway"]["ARTDAG_NATS_SEED"] == first.services["gateway"]["ARTDAG_NATS_SEED"]
    assert (tmp_path / "secrets/gateway/NATS_URL").read_text() == "nats://n:1\n"


def test_a_secret_that_is_removed_is_made_anew_and_what_comes_of_it_follows(tmp_path: Path) -> None:
    first = keep(tmp_path / "secrets", HOSTS)
    (tmp_path / "secrets/owner.token").unlink()
    again = keep(tmp_path / "secrets", HOSTS)
    assert again.made == ("owner.token",)
    for service in ("auth", "gateway"):
        name = "ARTDAG_OWNER_TOKEN_HASH"
        assert again.services[service][name] != first.services[service][name]
    assert again.services["gateway"]["DATABASE_URL"] == first.services["gateway"]["DATABASE_URL"]


def test_a_bucket_of_the_operators_is_given_to_those_who_read_content_and_taken_again(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    keep(folder, HOSTS)
    (folder / "ARTDAG_S3_URL").write_text("s3://key:secret@host/bucket\n")
    kept = keep(folder, HOSTS)
    having = {service for service, settings in kept.services.items() if "ARTDAG_S3_URL" in settings}
    assert having == set(SECRETS["ARTDAG_S3_URL"])
    (folder / "ARTDAG_S3_URL").unlink()
    keep(folder, HOSTS)
    assert not list(folder.glob("*/ARTDAG_S3_URL"))


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    mode = tmp_path.stat().st_mode
    with pytest.raises(ConfigurationError, match="holds something else"):
        keep(tmp_path, HOSTS)
    assert files(tmp_path) == {"letter.txt": "mine"}
    assert tmp_path.stat().st_mode == mode


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file"):
        keep(tmp_path / "file" / "secrets", HOSTS)


def test_the_services_read_what_is_made_without_a_complaint(tmp_path: Path) -> None:
    kept = keep(tmp_path / "secrets", HOSTS)
    for service in SERVICES:
        environment = {f"{name}_FILE": str(tmp_path / "secrets" / service / name) for name in kept.services[service]}
        settings, problems = Settings.examine(environment, service)
        assert not problems, service
        assert settings.database_url == kept.services[service]["DATABASE_URL"]
        assert settings.nats_seed == kept.services[service]["ARTDAG_NATS_SEED"]
        assert settings.actor_key.strip() == kept.services[service].get("ARTDAG_ACTOR_KEY", "")


def test_kubernetes_gets_the_same_as_secrets(tmp_path: Path) -> None:
    kept = keep(tmp_path / "secrets", HOSTS)
    documents = [
        yaml.safe_load(each) for each in manifests(kept.services, kept.servers, kept.values["owner.token"], "artdag-")
    ]
    found = {document["metadata"]["name"]: document["stringData"] for document in documents}
    assert {(document["apiVersion"], document["kind"]) for document in documents} == {("v1", "Secret")}
    assert set(found) == {f"artdag-{name}" for name in (*SERVICES, "operator", "backing")}
    for service in SERVICES:
        assert found[f"artdag-{service}"] == kept.services[service]
    assert found["artdag-operator"] == {**kept.services["operator"], "owner.token": kept.values["owner.token"]}
    assert found["artdag-backing"] == kept.servers
