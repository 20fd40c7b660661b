"""Which mechanism isolates an effect, and that nothing runs where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artdag_common.errors import IsolationUnavailableError
from artdag_common.isolation import bubblewrap, landlock, seccomp
from artdag_common.isolation.process import FOLDER as FOLDER_NAME
from artdag_common.isolation.process import Isolated, describe
from tests.unit.isolation.conftest import NAMESPACES

Framed = Callable[..., list[Any]]
FOLDER = Path(__file__).parent
landlocked = pytest.mark.skipif(landlock.version() < landlock.ALONE, reason="the kernel has no Landlock")


@pytest.mark.skipif(not NAMESPACES, reason="this machine makes no namespaces")
def test_namespaces_are_taken_where_they_are(framed: Framed) -> None:
    assert framed("pass")
    assert Isolated.latest.startswith("namespaces, ")
    assert Isolated.latest.endswith("seccomp, limits")


@landlocked
def test_landlock_does_where_bubblewrap_is_not_installed(framed: Framed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "program", lambda: None)
    assert framed("pass")
    assert Isolated.latest == f"Landlock {landlock.version()}, seccomp, limits"


@landlocked
def test_landlock_does_where_namespaces_are_refused(
    framed: Framed, monkeypatch: pytest.MonkeyPatch, complaining: Path
) -> None:
    monkeypatch.setattr(bubblewrap, "program", lambda: complaining)
    assert framed("pass")
    assert Isolated.latest.startswith("Landlock ")


@landlocked
def test_landlock_does_where_bubblewrap_may_not_be_run(
    framed: Framed, monkeypatch: pytest.MonkeyPatch, complaining: Path
) -> None:
    complaining.chmod(0o644)
    monkeypatch.setattr(bubblewrap, "program", lambda: complaining)
    assert framed("pass")
    assert Isolated.latest.startswith("Landlock ")


@landlocked
def test_what_killed_processes_left_is_removed(framed: Framed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bubblewrap, "program", lambda: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    left = tmp_path / f"{FOLDER_NAME}{dead.pid}-abc"
    mine = tmp_path / f"{FOLDER_NAME}{os.getpid()}-abc"
    for folder in (left, mine):
        folder.mkdir()
        (folder / "file").touch()
    assert framed("pass")
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [mine]


def test_nothing_runs_where_nothing_isolates(
    framed: Framed, monkeypatch: pytest.MonkeyPatch, complaining: Path
) -> None:
    monkeypatch.setattr(bubblewrap, "program", lambda: complaining)
    monkeypatch.setattr(landlock, "version", lambda: 2)
    with pytest.raises(IsolationUnavailableError) as refused:
        framed("pass")
    assert refused.value.message == (
        "effect 'stranger' cannot be run, since nothing here could isolate it: bwrap: No permissions to create new"
        " namespace; Landlock has version 2 here and has to have 3 (Linux 6.2)"
    )


def test_nothing_runs_without_a_filter_of_system_calls(framed: Framed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "available", lambda: False)
    with pytest.raises(IsolationUnavailableError, match=r"filters no system calls \(seccomp\)"):
        framed("pass")


def test_what_there_is_can_be_asked() -> None:
    assert [line.partition(":")[0] for line in describe()] == ["bubblewrap", "Landlock", "seccomp"]


@pytest.fixture
def complaining(tmp_path: Path) -> Path:
    """Bubblewrap on a machine that makes no namespaces."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("machine", sorted(seccomp.TABLES))
def test_filters_of_all_processors_are_whole(machine: str) -> None:
    """Every jump stays inside, every way ends in a verdict, and threads are the only difference between the two."""
    for threads in (False, True):
        program = seccomp.assemble(machine, threads)
        code = [program[i : i + 8] for i in range(0, len(program), 8)]
        for place, (op, yes, no) in enumerate((int.from_bytes(c[:2], sys.byteorder), c[2], c[3]) for c in code):
            assert op in (seccomp.LOAD, *JUMPS, seccomp.RETURN)
            if op in JUMPS:
                assert place + 1 + max(yes, no) < len(code)
        assert int.from_bytes(code[-1][:2], sys.byteorder) == seccomp.RETURN
    without, whole = seccomp.assemble(machine, False), seccomp.assemble(machine, True)
    assert whole[:-40] + whole[-8:] == without


JUMPS = (seccomp.JUMP_EQUAL, seccomp.JUMP_GREATER_EQUAL, seccomp.JUMP_ANY_BIT)


def reachable() -> Path | None:
    """Return a Python of this version that any user may run, or None."""
    for path in (Path(sys.executable), Path(f"/usr/bin/python3.{sys.version_info.minor}")):
        real = path.resolve()
        if real.exists() and all(folder.stat().st_mode & 0o001 for folder in real.parents):
            return real
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole suite runs as an ordinary user already")
@pytest.mark.skipif(reachable() is None, reason="no Python that an ordinary user may run")
def test_an_ordinary_user_is_as_safe() -> None:
    """The attempts of strangers, once more, as nobody."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.chown(folder, 65534, 65534)
        (folder / "pytest.ini").write_text("[pytest]\n")
        arguments = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-W", "error"]
        arguments += ["--rootdir", str(FOLDER.parents[2]), "--confcutdir", str(FOLDER)]
        arguments += ["-c", str(folder / "pytest.ini"), "--basetemp", str(folder / "t")]
        arguments += [
            "-k",
            "AF_INET or file_of_ours or starts_no_process or more_memory or kill or environment",
        ]
        packages = [path for path in sys.path if "site-packages" in path or "/lib/python" not in path]
        done = subprocess.run(
            [str(reachable()), "-B", "-m", "pytest", *arguments, str(FOLDER / "test_strangers.py")],
            user=65534,
            group=65534,
            extra_groups=[],
            cwd=folder,
            env={
                "PYTHONPATH": os.pathsep.join(filter(None, packages)),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "HOME": str(folder),
            },
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        assert " passed" in done.stdout
    finally:
        shutil.rmtree(folder)
