"""What doctor says of a machine and its servers, each of which lacks one thing."""

from __future__ import annotations

import asyncio
from ctypes import CDLL
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from artdag_cli import doctor
from artdag_cli.__main__ import app
from artdag_cli.client import NotRunningError, RequestFailedError
from artdag_cli.exits import AWAY, REFUSED, SIGN_IN
from artdag_cli.logins import NotSignedInError
from artdag_cli.surroundings import machine
from artdag_cli.surroundings.checks import CHECKS, Finding
from artdag_cli.surroundings.facts import Clock, Folder, Nats, Other, Postgres, Redis, Secret, Space, Surroundings
from artdag_cli.surroundings.looking import BACKING, look, problems
from artdag_common.environment import Problem
from artdag_common.errors import ArtdagError
from artdag_common.eventstore.schema import EMPTY, SCHEMA, Standing
from artdag_common.media import kernel
from services.gateway.api.doctor import report_of
from tests.unit.gateway.test_doctor import well

STATE = Path("/srv/artdag")
ROOMY = Space(device=1, free=900 * 2**30, size=1000 * 2**30, free_files=90_000, files=100_000)
POSTGRES = Postgres(
    "db:5432/artdag",
    version=160004,
    settings={"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "100"},
    encoding="UTF8",
    left=40,
    makes_roles=True,
    schema=Standing(SCHEMA),
    clock=Clock(0.001, 0.002),
)
NATS = Nats("bus:4222", version="2.12.1", jetstream=True, max_payload=8_388_608, synced=True, clock=Clock(0.0, 0.001))
REDIS = Redis("redis:6379", version="7.2.4", policy="allkeys-lru", limit=2**28)
WELL = Surroundings(
    STATE,
    running=True,
    folders=[Folder("the state folder", STATE, "", ROOMY), Folder("the folder of content", STATE / "cache", "", ROOMY)],
    secrets=[Secret(STATE / "token", 0o600, True)],
    postgres=POSTGRES,
    nats=NATS,
    redis=REDIS,
    others=[Other("the S3 store", "s3:9000")],
)


def found(surroundings: Surroundings) -> list[tuple[str, Finding]]:
    return [(check.__name__, finding) for check in CHECKS for finding in check(surroundings)]


def pg(**changes: Any) -> Surroundings:
    return replace(WELL, postgres=replace(POSTGRES, **changes))


def bus(**changes: Any) -> Surroundings:
    return replace(WELL, nats=replace(NATS, **changes))


def disk(**changes: Any) -> Surroundings:
    return replace(WELL, folders=[Folder("the state folder", STATE, "", replace(ROOMY, **changes))])


def test_where_all_is_well_nothing_is_told() -> None:
    assert found(WELL) == []
    assert found(replace(WELL, running=False, postgres=None, nats=None, redis=None, others=[])) == []


@pytest.mark.parametrize(
    ("surroundings", "check", "what", "wrong"),
    [
        (replace(WELL, problems=[Problem(("PORT",), "x", "no number")]), "configuration", "PORT='x': no number", True),
        (replace(WELL, problems=[Problem(("A",), None, "new", fatal=False)]), "configuration", "A: new", False),
        (replace(WELL, folders=[Folder("the state folder", STATE, "is no folder")]), "folders", "is no folder", True),
        (replace(WELL, secrets=[Secret(STATE / "token", 0o644, True)]), "secrets", "token, which holds a secret", True),
        (replace(WELL, secrets=[Secret(STATE / "token", 0o640, True)]), "secrets", "(mode 640)", False),
        (disk(free=4 * 2**30), "disk", "4.0 GiB left of 1000.0 GiB", True),
        (disk(free=4 * 2**30, size=100 * 2**30), "disk", "4.0 GiB left of 100.0 GiB", False),
        (disk(free=2**20), "disk", "1.0 MiB left", True),
        (disk(free_files=9000), "disk", "room for 9000 more files of 100000", False),
        (disk(free_files=900), "disk", "room for 900 more files", True),
        (pg(data=replace(ROOMY, device=2, free=2**20)), "disk", "the data of Postgres", True),
        (pg(away="refused"), "postgres", "Postgres at db:5432/artdag cannot be reached: refused", True),
        (pg(version=130012), "postgres", "is of version 13", True),
        (pg(settings={"fsync": "off"}), "postgres", "fsync of Postgres is off", True),
        (pg(settings={"synchronous_commit": "off"}), "postgres", "loses events", True),
        (pg(encoding="LATIN1"), "postgres", "encoding LATIN1", True),
        (pg(left=5, settings={"max_connections": "50"}), "postgres", "5 connections left of 50", False),
        (pg(left=-1), "postgres", "0 connections left", True),
        (pg(missing_roles=["artdag_auth"]), "postgres", "missing in Postgres: artdag_auth", True),
        (replace(pg(missing_roles=["artdag_auth"], schema=EMPTY), running=False), "postgres", "missing in Post", False),
        (pg(read_only="it is a standby"), "postgres", "nothing can be written to Postgres at db:5432/artdag: it", True),
        (pg(unable="may make no tables"), "postgres", "the account of DATABASE_URL may make no tables", True),
        (pg(schema=EMPTY), "schema", "a system runs, and there are no tables", True),
        (pg(schema=None), "schema", "cannot be seen by the account", False),
        (pg(missing_roles=["artdag_auth"], makes_roles=False), "postgres", "share one account", False),
        (pg(schema=Standing(SCHEMA + 1, SCHEMA + 1)), "schema", "cannot work with it", True),
        (pg(schema=Standing(SCHEMA + 1, SCHEMA)), "schema", "works with it too", False),
        (pg(schema=Standing(SCHEMA - 1)), "schema", f"the database has schema {SCHEMA - 1}", True),
        (bus(away="no answer in time"), "nats", "NATS at bus:4222 cannot be reached", True),
        (bus(silent={"b:4222": "refused"}), "nats", "NATS at b:4222 cannot be reached, while another", True),
        (bus(version="2.9.25"), "nats", "2.9.25; 2.10 is the oldest", True),
        (bus(version="2.10.0-beta.1", jetstream=False), "nats", "has no JetStream", True),
        (bus(max_payload=1_048_576), "nats", "messages of 1.0 MiB at most", True),
        (bus(synced=False), "nats", "before it is on the disk", True),
        (bus(synced=None), "nats", "cannot be asked", False),
        (bus(stored=95, stored_most=100), "nats", "95 bytes on disk, of at most 100 bytes", True),
        (replace(WELL, redis=Redis("redis:6379", away="refused")), "redis", "Redis at redis:6379 cannot", True),
        (replace(WELL, redis=replace(REDIS, refuses="READONLY")), "redis", "nothing can be written to Redis", True),
        (replace(WELL, redis=replace(REDIS, version="6.0.9")), "redis", "6.0.9; 6.2 is the oldest", True),
        (replace(WELL, redis=replace(REDIS, policy="noeviction")), "redis", "refuses to write", True),
        (replace(WELL, others=[Other("the IPFS node", "ipfs:5001", "refused")]), "others", "IPFS node cannot", True),
        (replace(WELL, others=[Other("the S3 store", "s3:9000", refuses="no bucket")]), "others", "not work: no", True),
        (pg(clock=Clock(-4.0, 0.5)), "clock", "Postgres is 3.5 s behind", False),
        (bus(clock=Clock(30.0, 0.5)), "clock", "NATS is 29.5 s ahead of", True),
        (replace(WELL, kernel=False), "conversion", "NumPy turns frames into RGB", False),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(surroundings: Surroundings, check: str, what: str, wrong: bool) -> None:
    ((name, finding),) = found(surroundings)
    assert name == check
    assert what in finding.what
    assert finding.wrong is wrong
    assert len(finding.how) > 3


@pytest.mark.parametrize("library", [None, CDLL(None)])
def test_whether_rgb_is_compiled_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: CDLL | None
) -> None:
    for name in BACKING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kernel, "load", lambda: library)
    there = asyncio.run(look(tmp_path))
    assert [name for name, _ in found(there) if name == "conversion"] == ([] if library else ["conversion"])


def test_a_disk_is_told_of_once_and_what_cannot_be_seen_not_at_all() -> None:
    full = replace(ROOMY, free=2**20)
    both = [Folder("the state folder", STATE, "", full), Folder("the folder of content", STATE / "cache", "", full)]
    assert [name for name, _ in found(replace(WELL, folders=both))] == ["disk"]
    assert found(disk(files=0, free_files=0)) == [], "a file system without a limit of files"
    assert found(pg(clock=Clock(9.0, 8.0))) == [], "the answer took so long that nothing is known"


# --- with what the gateway says -------------------------------------------------------------------------------------

TOLD: dict[str, Any] = {
    "well": False,
    "checked": ["services"],
    "findings": [{"check": "services", "what": "the cache does not answer", "how": "start it", "wrong": True}],
    "repairs": {"counts": [], "last": []},
}


def test_what_the_gateway_knows_comes_after_what_is_here() -> None:
    report = doctor.whole(bus(synced=None), TOLD)
    assert not report["well"]
    assert [each["check"] for each in report["findings"]] == ["nats", "services"]
    assert report["checked"] == [*(check.__name__ for check in CHECKS), "system", "services"]
    assert doctor.lines_of(report)[0] == "wrong: the cache does not answer", "what is wrong is told first"


REFUSED_HERE = [
    (pg(away="refused"), {"postgres": False}),
    (pg(read_only="it is a standby"), {"refuses": {"postgres": "it is a standby"}}),
    (bus(away="refused"), {"nats": False}),
    (bus(jetstream=False), {"bus": None}),
    (replace(WELL, redis=replace(REDIS, away="refused")), {"redis": False}),
    (replace(WELL, redis=replace(REDIS, refuses="READONLY")), {"refuses": {"redis": "READONLY"}}),
]
PLACES = {"postgres": "db:5432/artdag", "nats": "bus:4222", "redis": "redis:6379"}


@pytest.mark.parametrize(("here", "there"), REFUSED_HERE)
def test_a_server_that_does_not_do_here_and_at_the_gateway_is_told_of_once(
    here: Surroundings, there: dict[str, Any]
) -> None:
    ((name, finding),) = found(here)
    report = doctor.whole(here, report_of(well(places=PLACES, **there)))
    assert [(each["check"], each["what"]) for each in report["findings"]] == [(name, finding.what)]
    assert len(report["checked"]) == len(set(report["checked"]))


@pytest.mark.parametrize(("here", "there"), REFUSED_HERE)
def test_a_server_that_only_the_gateway_finds_away_is_told_of(here: Surroundings, there: dict[str, Any]) -> None:
    elsewhere = {name: f"elsewhere.{place}" for name, place in PLACES.items()}
    told = report_of(well(places=PLACES, **there))
    another = report_of(well(places=elsewhere, **there))
    assert doctor.whole(WELL, told)["findings"] == told["findings"] != []
    assert doctor.whole(here, another)["findings"][1:] == another["findings"], "another server of this kind"
    assert doctor.whole(replace(WELL, postgres=None, nats=None, redis=None), told)["findings"] == told["findings"]


@pytest.mark.parametrize(
    ("running", "server", "silent", "how"),
    [
        (True, "", RequestFailedError("no answer"), "look at its log"),
        (False, "", NotRunningError("no system runs"), "start it: artdag up"),
        (False, "https://l1.example", RequestFailedError("no answer"), "see whether the address is right"),
        (True, "", RequestFailedError("not yours", status=403), "sign in as the operator"),
        (True, "", RequestFailedError("Postgres does not answer", status=503), "mend that first"),
        (False, "https://l1.example", RequestFailedError("no token", status=401), "artdag login https://l1.example"),
        (False, "https://l1.example", NotSignedInError("no token"), "artdag login https://l1.example"),
    ],
)
def test_where_the_gateway_tells_nothing_the_rest_is_told_all_the_same(
    running: bool, server: str, silent: ArtdagError, how: str
) -> None:
    report = doctor.whole(replace(pg(version=130012), running=running), doctor.NOTHING, silent, server)
    assert not report["well"]
    assert [(each["check"], each["what"]) for each in report["findings"]] == [
        ("postgres", report["findings"][0]["what"]),
        ("system", silent.message),
    ]
    assert report["findings"][1]["how"].startswith(how)
    assert doctor.whole(WELL, TOLD | {"findings": []})["well"]


@pytest.mark.parametrize(
    ("silent", "code"),
    [
        (RequestFailedError("no answer"), AWAY),
        (NotRunningError("no system runs"), AWAY),
        (RequestFailedError("not yours", status=403), REFUSED),
        (RequestFailedError("no token", status=401), SIGN_IN),
    ],
)
def test_the_exit_code_says_why_the_gateway_told_nothing(
    silent: ArtdagError, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(state: Path) -> Surroundings:
        return WELL

    monkeypatch.setattr(doctor, "look", look)
    monkeypatch.setattr(doctor, "asked", lambda folder, server: (doctor.NOTHING, silent))
    outcome = CliRunner().invoke(app, ["doctor", "--state", str(tmp_path)])
    assert outcome.exit_code == code
    assert f"wrong: {silent.message}" in outcome.stdout


# --- looking --------------------------------------------------------------------------------------------------------


def test_secrets_of_a_state_folder_are_found_with_their_modes(tmp_path: Path) -> None:
    for name, mode in (("token", 0o600), ("nats.password", 0o644), ("postgres.port", 0o644), ("other", 0o644)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    (tmp_path / "given").write_text("x")
    (tmp_path / "given").chmod(0o604)
    secrets = machine.secrets(tmp_path, {"REDIS_URL_FILE": str(tmp_path / "given"), "NATS_URL_FILE": "/nowhere"})
    assert {(each.path.name, each.mode) for each in secrets} == {
        ("token", 0o600),
        ("nats.password", 0o644),
        ("given", 0o604),
    }


def test_the_space_of_a_folder_that_is_still_to_be_made_is_that_of_the_one_above(tmp_path: Path) -> None:
    there, later = machine.space(tmp_path), machine.space(tmp_path / "a" / "b")
    assert there
    assert later
    assert (there.device, there.size) == (later.device, later.size)
    (folder,) = machine.folders({"the state folder": tmp_path / "a"})
    assert folder.unusable == ""


def test_settings_are_looked_at_as_up_would_hand_them_on(tmp_path: Path) -> None:
    assert problems(tmp_path, {}, {}) == []
    assert problems(tmp_path, {"L2_SERVER": "http://localhost:9000"}, {}) == [], "up makes the key"
    (told,) = problems(tmp_path, {"ARTDAG_SLOT": "2"}, {})
    assert "did you mean ARTDAG_SLOTS?" in str(told)
    secret = tmp_path / "redis"
    secret.write_text("redis://localhost:6379/5\n")
    given = {"REDIS_URL_FILE": str(secret)}
    assert problems(tmp_path, given, {}) == []
    assert problems(tmp_path, given, {"REDIS_URL": "redis://localhost:1/5"}) == [], "what up resolved is no second one"
    (told,) = problems(tmp_path, given | {"REDIS_URL": "redis://localhost:1/5"}, {})
    assert "only one of the two" in str(told)
