"""Settings: all that is wrong is said at once, in words; secrets come from files and are never shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from artdag_common.config import SECRETS, Settings, known
from artdag_common.config_rules import mistaken, refuse
from artdag_common.environment import BY_FILE, FILE_BYTES, misspelt, take_in, with_secrets
from artdag_common.errors import ConfigurationError
from artdag_common.federation.signatures import new_key

SEED = "SU" + "A" * 56
PASSWORD = "not-to-be-shown"


def told(service: str, environment: dict[str, str], fatal: bool | None = None) -> list[str]:
    """What is said of an environment."""
    _, problems = Settings.examine(environment, service)
    return [str(each) for each in problems if fatal in (None, each.fatal)]


@pytest.fixture
def well(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is wrong."""
    return {"CACHE_DIR": str(tmp_path / "cache"), "ARTDAG_OWNER_TOKEN_HASH": "0" * 64}


@pytest.mark.parametrize("service", ["gateway", "planner", "executor", "cache", "auth"])
def test_where_all_is_well_nothing_is_said(service: str, well: dict[str, str]) -> None:
    assert told(service, well) == []
    assert told(service, {**well, "PATH": "/bin", "ARTDAG_STATE": "/srv", "IPFS_PATH": "/srv/ipfs"}) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ARTDAG_SLOTS", "0", "has to be at least 1; the nearest is 1"),
        ("ARTDAG_SLOTS", "two", "has to be a whole number"),
        ("PORT", "70000", "has to be at most 65535; the nearest is 65535"),
        ("ARTDAG_STEP_TIMEOUT", "0", "has to be more than 0"),
        ("ARTDAG_STEP_TIMEOUT", "1h", "has to be a number"),
        ("ARTDAG_STEP_TIMEOUT", "inf", "has to be a finite number"),
        ("ARTDAG_RETENTION_DAYS", "inf", "has to be at most 36500; the nearest is 36500"),
        ("ARTDAG_CACHE_LIMIT", "20GiB", "has to be a whole number; did you mean 21474836480?"),
        ("ARTDAG_CACHE_LIMIT", "1.5 MB", "did you mean 1500000?"),
        ("IPFS_PRIMARY", "perhaps", "has to be true or false"),
        ("ARTDAG_LOG_LEVEL", "warn", "has to be one of debug, info, warning, error; did you mean warning?"),
        ("ARTDAG_LOG_FORMAT", "xml", "has to be one of auto, pretty, json"),
        ("L2_SERVER", "l2.example.org", "did you mean https://l2.example.org?"),
        ("ARTDAG_WORK_CLASSES", "cpu:2, highmem:1", "looks like cpu:2,highmem:1"),
        ("ARTDAG_TRUSTED_PROXIES", "10.0.0.1/8", "'10.0.0.1/8' is no network"),
        ("ARTDAG_CLASS_LIMITS", "cpu=0", "cpu: has to be at least 1"),
        ("ARTDAG_CLASS_LIMITS", "cpu", "every entry is name=value"),
        ("ARTDAG_IMPORT_DIRS", "media", "every folder has to be an absolute path; not so: media"),
        ("L1_PUBLIC_URL", "art.example.org", "has to begin with https:// or http://"),
    ],
)
def test_a_wrong_value_is_said_with_its_rule_and_the_nearest_right_one(
    well: dict[str, str], name: str, value: str, said: str
) -> None:
    (line,) = told("gateway", {**well, name: value})
    assert line.startswith(f"{name}={value!r}: ")
    assert said.replace("looks like", "has to look like") in line


@pytest.mark.parametrize("name", sorted(set(SECRETS) - {"ARTDAG_CLUSTER_KEY"}))
def test_a_wrong_secret_is_told_of_and_not_shown(well: dict[str, str], name: str, tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    for value in (PASSWORD, f"nowhere://{PASSWORD}@host:{PASSWORD}/x", f"redis://:{PASSWORD}/x@host:1"):
        for service in ("cache", "auth"):
            lines = told(service, {**well, name: value})
            kept.write_text(value)
            lines += told(service, {**{k: v for k, v in well.items() if k != name}, name + BY_FILE: str(kept)})
            assert PASSWORD not in "".join(lines)
        if name != "NATS_URL" or "://" in value:  # which needs no scheme
            both = told("cache", {**well, name: value}) + told("auth", {**well, name: value})
            assert any(line.startswith(f"{name}: ") for line in both)


def test_all_of_it_is_said_at_once(well: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = {
        **well,
        "CACHE_DIR": str(tmp_path / "file" / "cache"),
        "PORT": "eighty",
        "ARTDAG_CONTENT_HOST": "0.0.0.0",
        "ARTDAG_SLOT": "3",
        "REDIS_URL_FILE": str(tmp_path / "nowhere"),
        "L2_SERVER": "https://l2.example.org",
        "ARTDAG_STORAGE_HOSTS": "a b",
    }
    _, problems = Settings.examine(wrong, "cache")
    with pytest.raises(ConfigurationError) as raised:
        refuse(problems)
    first, *lines = raised.value.message.splitlines()
    assert first == f"{len(lines)} settings are wrong:"
    assert {line.strip().partition("=")[0].partition(":")[0] for line in lines} == {
        *("CACHE_DIR", "PORT", "ARTDAG_CONTENT_HOST", "ARTDAG_SLOT", "REDIS_URL_FILE", "L2_SERVER"),
        "ARTDAG_STORAGE_HOSTS",
    }


def test_what_is_only_told_of_stops_nobody(well: dict[str, str]) -> None:
    given = {**well, "ARTDAG_OF_A_LATER_VERSION": "1", "IPFS_PRIMARY": "true"}
    settings, problems = Settings.examine(given, "executor")
    refuse(problems)
    assert settings.ipfs_primary
    assert [each.names[0] for each in problems] == ["ARTDAG_OF_A_LATER_VERSION", "IPFS_PRIMARY"]


def test_an_empty_value_is_as_if_it_were_not_set() -> None:
    empty = dict.fromkeys(known(), "")
    settings, problems = Settings.examine(empty, "auth")
    defaults = Settings.model_validate({})
    same = set(Settings.model_fields) - {"ipfs_gateway_url", "metrics_from"}
    assert {name: getattr(settings, name) for name in same} == {name: getattr(defaults, name) for name in same}
    assert (settings.ipfs_gateway_url, settings.metrics_from) == ("", ()), "where it means something"
    assert not [each for each in problems if each.fatal]


def test_white_space_around_a_value_is_no_part_of_it(well: dict[str, str]) -> None:
    given = {**well, "DATABASE_URL": "postgresql://a:b@host/artdag\r", "ARTDAG_LOG_LEVEL": " debug\n", "L2_SERVER": " "}
    settings, problems = Settings.examine(given, "planner")
    assert problems == []
    assert (settings.database_url, settings.log_level) == ("postgresql://a:b@host/artdag", "debug")
    assert settings.l2_server == "", "as if it were not set"


# --- rules of several values ----------------------------------------------------------------------------------------

KEY = new_key().decode()


@pytest.mark.parametrize(
    ("service", "environment", "said", "fatal"),
    [
        ("cache", {"ARTDAG_CONTENT_HOST": "0.0.0.0"}, "without ARTDAG_CLUSTER_KEY; set that too", True),
        ("cache", {"ARTDAG_CONTENT_URL": "http://node-a:8200"}, "leave ARTDAG_CONTENT_URL out", True),
        ("cache", {"L2_SERVER": "http://localhost:9"}, "ARTDAG_ACTOR_KEY has to be set too", True),
        ("cache", {"ARTDAG_ACTOR_KEY": "/nowhere"}, "neither a PEM nor a path to one", True),
        ("gateway", {"L2_SERVER": "https://l2.example.org"}, "the registry is to reach this server there", False),
        ("gateway", {"ARTDAG_SECRET_KEY": "abc"}, "key 1 is not 64 hexadecimal digits", True),
        ("gateway", {"HOST": "0.0.0.0"}, "by another name than localhost are refused", False),
        ("gateway", {"ARTDAG_TRUSTED_PROXIES": "0.0.0.0/0"}, "every client is believed", False),
        ("gateway", {"ARTDAG_IMPORT_DIRS": "/no/such/folder"}, "/no/such/folder is not there", False),
        ("cache", {"ARTDAG_STORAGE_DIRS": "/no/such/folder"}, "/no/such/folder is not there", False),
        ("gateway", {"PORT": "9100", "ARTDAG_PROBE_PORT": "9100"}, "is PORT too", True),
        ("auth", {"ARTDAG_OWNER_TOKEN_HASH": ""}, "nobody can sign in", False),
        ("auth", {"ARTDAG_NATS_SEED": SEED}, "ARTDAG_RELAY_NATS_SEED: has to be set", True),
        ("executor", {"ARTDAG_NATS_SEED": "SUPER"}, "begin with SU and have 58 characters", True),
        ("executor", {"ARTDAG_S3_URL": "s3://key@host"}, "has to look like s3://KEY:SECRET@host", True),
        ("planner", {"IPFS_API": "/dns/localhost"}, "a multiaddr looks like", True),
        ("planner", {"IPFS_PRIMARY": "true"}, "/dns/localhost/tcp/5001; set IPFS_API", False),
        ("cache", {"ARTDAG_WEBHOOK_HOSTS": "a b"}, "'a b' is not a host name", True),
    ],
)
def test_settings_that_do_not_fit_together(
    well: dict[str, str], service: str, environment: dict[str, str], said: str, fatal: bool
) -> None:
    (line,) = told(service, {**well, **environment}, fatal)
    assert said in line


@pytest.mark.parametrize(
    ("service", "environment"),
    [
        ("cache", {"ARTDAG_CONTENT_HOST": "0.0.0.0", "ARTDAG_CLUSTER_KEY": "k"}),
        ("executor", {"ARTDAG_CONTENT_HOST": "0.0.0.0"}),
        ("cache", {"L2_SERVER": "http://localhost:9", "ARTDAG_ACTOR_KEY": KEY}),
        ("gateway", {"L2_SERVER": "https://l2.example.org", "L1_PUBLIC_URL": "https://l1.example.org"}),
        ("gateway", {"HOST": "0.0.0.0", "L1_PUBLIC_URL": "https://l1.example.org"}),
        ("gateway", {"PORT": "9100", "ARTDAG_PROBE_PORT": "0"}),
        ("auth", {"ARTDAG_NATS_SEED": SEED, "ARTDAG_RELAY_NATS_SEED": SEED}),
        ("executor", {"ARTDAG_NATS_SEED": SEED}),
        ("executor", {"NATS_URL": "nats://artdag:p@a:4222,b:4222,c:4222", "DATABASE_URL": "postgres://a:1,b:2/x"}),
        ("executor", {"NATS_URL": "localhost:4222"}),
    ],
)
def test_settings_that_do_fit_together(well: dict[str, str], service: str, environment: dict[str, str]) -> None:
    assert told(service, {**well, **environment}) == []


def test_a_rule_says_nothing_of_a_value_that_is_wrong_itself(well: dict[str, str]) -> None:
    (line,) = told("cache", {**well, "ARTDAG_CONTENT_PORT": "x", "ARTDAG_CLUSTER_KEY": "k", "ARTDAG_PROBE_PORT": "0"})
    assert line.startswith("ARTDAG_CONTENT_PORT='x'")
    (line,) = told("cache", {**well, "L2_SERVER": "l2"})
    assert line.startswith("L2_SERVER='l2'")


# --- secrets by file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_may_be_in_a_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    for content in ("v a l u e\n", "v a l u e\r\n", "v a l u e"):
        file.write_bytes(content.encode())
        assert with_secrets({name + BY_FILE: str(file), "OTHER": "x"}, SECRETS) == (
            {name: "v a l u e", "OTHER": "x"},
            [],
        )
    file.write_text(KEY)
    found, _ = with_secrets({name + BY_FILE: str(file)}, SECRETS)
    assert found == {name: KEY.removesuffix("\n")}, "only the last newline goes"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "holds no text"),
        (b"a\0b", "holds no text"),
        (b"x" * (FILE_BYTES + 1), "larger than 64 KiB"),
    ],
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    found, (problem,) = with_secrets({"REDIS_URL_FILE": str(file)}, SECRETS)
    assert found == {}
    assert str(problem).startswith(f"REDIS_URL_FILE='{file}': ")
    assert said in str(problem)
    assert problem.fatal


def test_a_secret_comes_from_one_place(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file")
    given = {"REDIS_URL_FILE": str(file), "REDIS_URL": "given"}
    found, (problem,) = with_secrets(given, SECRETS)
    assert found == {"REDIS_URL": "given"}
    assert "only one of the two may be" in str(problem)
    assert "given" not in str(problem)
    assert with_secrets({**given, "REDIS_URL": ""}, SECRETS) == ({"REDIS_URL": "from the file"}, [])
    assert with_secrets({**given, "REDIS_URL_FILE": ""}, SECRETS) == ({"REDIS_URL": "given"}, [])


def test_an_environment_that_is_handed_on_holds_secrets_in_place_of_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s\n")
    given = {"REDIS_URL_FILE": str(file), "NATS_URL_FILE": "/nowhere", "ARTDAG_S3_URL_FILE": "", "HOME": "/root"}
    (problem,) = take_in(given, SECRETS)
    assert problem.names == ("NATS_URL_FILE",)
    assert given == {"REDIS_URL": "s", "NATS_URL_FILE": "/nowhere", "HOME": "/root"}


def test_a_seed_may_be_a_path_or_be_in_a_file(tmp_path: Path, well: dict[str, str]) -> None:
    file = tmp_path / "seed"
    file.write_text(f"{SEED}\n")
    for given in ({"ARTDAG_NATS_SEED": str(file)}, {"ARTDAG_NATS_SEED_FILE": str(file)}):
        settings, problems = Settings.examine({**well, **given}, "planner")
        assert settings.nats_seed == SEED
        assert problems == []


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ARTDAG_SLOT", "ARTDAG_SLOTS"),
        ("ARTDAG_LOGLEVEL", "ARTDAG_LOG_LEVEL"),
        ("ARTDAG_CACHE_LIMITS", "ARTDAG_CACHE_LIMIT"),
        ("ARTDAG_DATABASE_URL", "DATABASE_URL"),
        ("ARTDAG_REDIS_URL_FILE", "REDIS_URL_FILE"),
        ("ARTDAG_CACHE_DIR", "CACHE_DIR"),
        ("ARTDAG_PUBLIC_URL", "L1_PUBLIC_URL"),
        ("L2_SEVER", "L2_SERVER"),
        ("ARTDAG_SEVER", "ARTDAG_SERVER"),
    ],
)
def test_a_misspelt_name_stops_a_service(name: str, meant: str) -> None:
    (problem,) = misspelt({name: "1"}, known())
    assert problem.fatal
    assert problem.hint == f"did you mean {meant}?"


@pytest.mark.parametrize("name", ["ARTDAG_QUOTA", "ARTDAG_MIND_READING", "L1_COLOUR"])
def test_a_name_that_is_like_none_is_only_told_of(name: str) -> None:
    (problem,) = misspelt({name: "1"}, known())
    assert not problem.fatal


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABASE_URI", "DATABASE_URL"),
        ("REDIS_URLS", "REDIS_URL"),
        ("NATS_URL_FILES", "NATS_URL_FILE"),
        ("CACHE_DIRS", "CACHE_DIR"),
        ("IPFS_APIS", "IPFS_API"),
        ("artdag_slots", "ARTDAG_SLOTS"),
        ("database_url", "DATABASE_URL"),
    ],
)
def test_a_name_that_may_be_somebody_elses_is_only_told_of(well: dict[str, str], name: str, meant: str) -> None:
    _, (problem,) = Settings.examine({key: value for key, value in well.items() if key != meant} | {name: "1"}, "auth")
    assert str(problem) == f"{name}: nobody reads it; is {meant} meant?"
    assert not problem.fatal
    known_url = {"NATS_URL_FILE": "", "NATS_URL": "nats://a"} if meant == "NATS_URL_FILE" else {meant: "1"}
    assert mistaken({**known_url, name: "1"}, known()) == [], "whoever set both knows"


@pytest.mark.parametrize("name", ["REDIS_PORT", "DATABASE_HOST", "HOSTS", "PORTS", "CACHE_DIRECTORY", "IPFS_PATH"])
def test_a_name_of_somebody_else_is_none_of_ours(name: str) -> None:
    assert mistaken({name: "1"}, known()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARTDAG_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("ARTDAG_GATEWAY_SERVICE_PORT", "8000"),
        ("ARTDAG_GATEWAY_SERVICE_PORT_HTTP", "8000"),
        ("ARTDAG_GATEWAY_PORT", "tcp://10.0.0.1:8000"),
        ("ARTDAG_GATEWAY_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("IPFS_LOGGING", "debug"),
        ("SLOTS", "3"),
    ],
)
def test_names_of_others_are_passed_over(name: str, value: str) -> None:
    assert misspelt({name: value}, known()) == []


# --- a process ------------------------------------------------------------------------------------------------------


def test_a_service_says_it_and_ends(tmp_path: Path) -> None:
    given: dict[str, Any] = {"ARTDAG_SLOTS": "0", "ARTDAG_LOG_LEVL": "info", "DATABASE_URL_FILE": "/nowhere"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ARTDAG_")}
    done = subprocess.run(
        [sys.executable, "-m", "services.executor"],
        env={**environment, "CACHE_DIR": str(tmp_path), **given},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == "executor: 3 settings are wrong:"
    assert {line.split()[0].rstrip(":").partition("=")[0] for line in done.stderr.splitlines()[1:]} == {
        *("ARTDAG_SLOTS", "ARTDAG_LOG_LEVL", "DATABASE_URL_FILE")
    }
