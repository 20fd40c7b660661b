"""``./artdag`` itself: which environment it takes, what it does where there is none, what it says when it cannot."""

from __future__ import annotations

import ast
import ctypes
import hashlib
import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from artdag_common.media.kernel import place

ROOT = Path(__file__).resolve().parents[3]
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
LOCKS = ["requirements.lock", "requirements-with.lock", "requirements-test.lock"]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, in a checkout of its own."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("bootstrap", str(ROOT / "artdag"))
    spec = importlib.util.spec_from_loader("bootstrap", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    root = tmp_path / "checkout"
    root.mkdir()
    for name in LOCKS:
        (root / name).write_text(f"{name}\n")
    module.ROOT = str(root)  # type: ignore[attr-defined]
    module.LIBRARIES = str(root / "libs")  # type: ignore[attr-defined]
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return module


@pytest.fixture
def root(bootstrap: ModuleType) -> Path:
    """The checkout."""
    return Path(bootstrap.ROOT)


def finish(folder: Path, lock: str) -> None:
    """Make an environment look complete for a lock file."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(f"{lock}\n".encode()).hexdigest()
    (folder / f"artdag-{digest}").touch()


class Programs:
    """Stands in for what the script starts; some fail."""

    def __init__(self, fails: Callable[[list[str]], bool] = lambda _: False) -> None:
        self.started: list[list[str]] = []
        self.settings: list[dict[str, str]] = []
        self._fails = fails

    def __call__(self, command: list[str], environment: dict[str, str] | None = None) -> int:
        self.started.append(command)
        self.settings.append(environment or {})
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
            (Path(command[-1]) / "bin" / "python").touch()
        return int(self._fails(command))

    @property
    def names(self) -> list[str]:
        """What was started, in a word each."""
        words = ("venv", "uv", "pip")
        return [next(w for w in words if any(Path(part).name == w for part in c)) for c in self.started]


def test_an_old_python_can_read_it() -> None:
    """It has to say that it is too old, so the file has to be syntax that old versions know."""
    ast.parse((ROOT / "artdag").read_text(), feature_version=(3, 4))


@pytest.mark.parametrize("version", [(3, 10, 12), (3, 8, 0), (2, 7, 18)])
def test_an_old_python_says_what_to_install(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", version)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit) as end:
        bootstrap.need_python()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert f"Python 3.11 or newer is needed, this is {version[0]}.{version[1]}" in said
    assert "apt install python3.11 python3.11-venv" in said


def test_an_old_python_finds_a_newer_one(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(bootstrap.sys, "argv", ["artdag", "demo", "--json"])
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "python3.12" else None)

    def execv(path: str, arguments: list[str]) -> None:
        became.append(arguments)
        raise SystemExit

    monkeypatch.setattr(bootstrap.os, "execv", execv)
    with pytest.raises(SystemExit):
        bootstrap.need_python()
    assert [(a[0], a[2:]) for a in became] == [("/usr/bin/python3.12", ["demo", "--json"])]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_finished_environment_is_taken_as_it_is(
    bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    finish(root / ".venv", lock)
    monkeypatch.setattr(bootstrap, "run", Programs(lambda _: pytest.fail("nothing has to be started")))
    assert bootstrap.environment(".venv", LOCKS) == str(root / ".venv" / "bin" / "python")


def test_a_shell_that_asks_what_may_come_next_has_nothing_installed(
    bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_ARTDAG_COMPLETE", "complete_bash")
    monkeypatch.setattr(bootstrap, "run", Programs(lambda _: pytest.fail("nothing has to be started")))
    with pytest.raises(SystemExit) as end:
        bootstrap.environment(".venv", LOCKS)
    assert end.value.code == 0
    assert capsys.readouterr() == ("", "")
    finish(root / ".venv", LOCKS[0])
    assert bootstrap.environment(".venv", LOCKS) == str(root / ".venv" / "bin" / "python")


def test_the_tests_need_their_own_packages(bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(root / ".venv", "requirements.lock")
    programs = Programs()
    monkeypatch.setattr(bootstrap, "run", programs)
    monkeypatch.setattr(bootstrap, "pip_index", lambda python: "")
    bootstrap.environment(".venv", LOCKS[2:])
    assert str(root / "requirements-test.lock") in programs.started[-1]


def test_an_environment_is_made_once(
    bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = Programs()
    monkeypatch.setattr(bootstrap, "run", programs)
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    python = bootstrap.environment(".venv", LOCKS)
    assert programs.names == ["venv", "pip", "uv"]
    assert all("--require-hashes" in command for command in programs.started[1:])
    assert programs.settings[-1]["UV_DEFAULT_INDEX"] == "https://packages.example/simple"
    assert programs.settings[-1]["UV_NO_CACHE"] == "1", "nothing outside the environment is touched"
    assert [line.strip()[:3] for line in capsys.readouterr().err.splitlines()[1:4]] == ["1/3", "2/3", "3/3"]
    assert bootstrap.environment(".venv", LOCKS) == python
    assert len(programs.started) == 3


def test_a_changed_lock_file_is_installed(bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs()
    monkeypatch.setattr(bootstrap, "run", programs)
    monkeypatch.setattr(bootstrap, "pip_index", lambda python: "")
    bootstrap.environment(".venv", LOCKS)
    (root / "requirements.lock").write_text("something newer\n")
    bootstrap.environment(".venv", LOCKS)
    assert programs.names.count("uv") == 2


def test_without_uv_pip_does_it(bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(lambda command: command[0].endswith("/uv"))
    monkeypatch.setattr(bootstrap, "run", programs)
    monkeypatch.setattr(bootstrap, "pip_index", lambda python: "")
    bootstrap.environment(".venv", LOCKS)
    assert programs.names == ["venv", "pip", "uv", "pip"]
    assert list((root / ".venv").glob("artdag-*"))


def test_no_network_is_said_and_nothing_counts_as_done(
    bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "run", Programs(lambda command: "venv" not in command))
    with pytest.raises(SystemExit) as end:
        bootstrap.environment(".venv", LOCKS)
    assert end.value.code == 1
    assert "the package index has to be reachable" in capsys.readouterr().err.replace("\n", " ")
    assert not list((root / ".venv").glob("artdag-*"))


def test_a_python_without_venv_says_what_to_install(
    bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "run", Programs(lambda command: "venv" in command))
    with pytest.raises(SystemExit):
        bootstrap.environment(".venv", LOCKS)
    assert f"python{sys.version_info[0]}.{sys.version_info[1]}-venv" in capsys.readouterr().err
    assert not (root / ".venv").exists()


def test_a_checkout_of_somebody_else(
    bootstrap: ModuleType, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.os, "access", lambda path, mode: False)
    programs = Programs()
    monkeypatch.setattr(bootstrap, "run", programs)
    monkeypatch.setattr(bootstrap, "pip_index", lambda python: "")
    own = Path(bootstrap.environment(".venv", LOCKS))
    assert (tmp_path / "home" / ".cache" / "artdag") in own.parents
    assert sorted(os.listdir(root)) == sorted(LOCKS)
    finish(root / ".venv", "requirements.lock")
    before = len(programs.started)
    assert bootstrap.environment(".venv", LOCKS) == str(root / ".venv" / "bin" / "python"), "theirs serves us too"
    assert len(programs.started) == before


@pytest.mark.parametrize(
    ("arguments", "locks"),
    [
        (["demo"], LOCKS),
        (["up"], LOCKS),
        (["up", "--with", "s3,ipfs"], LOCKS[1:]),
        (["up", "--with=s3"], LOCKS[1:]),
        (["--help"], LOCKS),
        ([], LOCKS),
        (["test", "-k", "cid"], LOCKS[2:]),
        (["bench"], LOCKS[2:]),
    ],
)
def test_it_becomes_the_command_line(
    bootstrap: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], locks: list[str]
) -> None:
    asked: list[list[str]] = []
    compiled: list[str] = []
    became: list[tuple[list[str], str]] = []

    def environment(name: str, wanted: list[str]) -> str:
        asked.append(wanted)
        return "/environment/bin/python"

    monkeypatch.setattr(bootstrap, "environment", environment)
    monkeypatch.setattr(bootstrap, "compile_kernel", compiled.append)
    monkeypatch.setattr(bootstrap.sys, "argv", ["./artdag", *arguments])
    monkeypatch.setattr(
        bootstrap.os, "execve", lambda path, command, settings: became.append((command, settings["PYTHONPATH"]))
    )
    bootstrap.main()
    assert asked == [locks]
    assert became == [(["/environment/bin/python", "-m", "artdag_cli", *arguments], f"{root}:{root}/libs")]
    assert compiled == ["/environment"]


# --- the file that is compiled ---------------------------------------------------------------------------------------

MEDIA = Path("artdag_common", "media")
NAME = "artdag-rgb-*.so"


@pytest.fixture
def made(bootstrap: ModuleType, root: Path, tmp_path: Path) -> Path:
    """An environment, for a checkout that holds what is compiled."""
    (root / "libs" / MEDIA).mkdir(parents=True)
    for name in ("kernel.py", "rgb.c"):
        shutil.copy(ROOT / "libs" / MEDIA / name, root / "libs" / MEDIA / name)
    (tmp_path / "environment" / "lib").mkdir(parents=True)
    return tmp_path / "environment"


def compiler(folder: Path, script: str) -> str:
    """Put a compiler into a folder: a script of the shell. Return that folder."""
    folder.mkdir(exist_ok=True)
    (folder / "cc").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "cc").chmod(0o755)
    return str(folder)


WRITES = 'while [ "$1" != -o ]; do shift; done; echo compiled > "$2"'


@needs_compiler
def test_the_kernel_is_compiled_once(bootstrap: ModuleType, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.compile_kernel(str(made))
    (library,) = (made / "lib").iterdir()
    assert library == place(str(made)), "where the media look for it"
    assert ctypes.CDLL(str(library)).artdag_to_rgb
    before = library.stat()
    bootstrap.compile_kernel(str(made))
    assert library.stat() == before
    assert capsys.readouterr() == ("", "")


def test_another_source_is_another_kernel(
    bootstrap: ModuleType, root: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{compiler(tmp_path / 'bin', WRITES)}:{os.environ['PATH']}")
    bootstrap.compile_kernel(str(made))
    (root / "libs" / MEDIA / "rgb.c").write_text("int other;\n")
    bootstrap.compile_kernel(str(made))
    assert len(list((made / "lib").glob(NAME))) == 2


def test_without_a_compiler_it_is_said_once_what_is_slower(
    bootstrap: ModuleType,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    bootstrap.compile_kernel(str(made))
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no C compiler" in line
    assert "15 ms more for each frame" in line
    assert "apt install gcc" in line
    bootstrap.compile_kernel(str(made))
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("PATH", f"{compiler(tmp_path / 'bin', WRITES)}:{os.defpath}")
    bootstrap.compile_kernel(str(made))
    assert list((made / "lib").glob(NAME)), "as soon as there is one"


@pytest.mark.parametrize(
    ("script", "reason"), [("echo no headers >&2; exit 1", "cc failed: no headers"), ("exit 0", "No such file")]
)
def test_a_compiler_that_fails_is_told_of_and_leaves_nothing(
    bootstrap: ModuleType,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str,
    reason: str,
) -> None:
    monkeypatch.setenv("PATH", f"{compiler(tmp_path / 'bin', script)}:{os.defpath}")
    bootstrap.compile_kernel(str(made))
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert list((made / "lib").iterdir()) == []


def test_a_compiler_that_hangs_is_not_waited_for(
    made: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{compiler(tmp_path / 'bin', 'exec sleep 60')}:{os.defpath}")
    kernel = runpy.run_path(str(root / "libs" / MEDIA / "kernel.py"))
    kernel["build"].__globals__["SECONDS"] = 0.2
    assert "timed out" in kernel["build"](str(made))


def test_several_first_starts_at_once(root: Path, made: Path, tmp_path: Path) -> None:
    """Each compiler takes its time and writes in two goes; nobody ever sees half of it."""
    slow = 'while [ "$1" != -o ]; do shift; done; echo half > "$2"; sleep 0.3; echo whole >> "$2"'
    environment = {"PATH": f"{compiler(tmp_path / 'bin', slow)}:{os.defpath}"}
    code = "import runpy, sys; sys.exit(runpy.run_path(sys.argv[1])['build'](sys.argv[2]) or 0)"
    command = [sys.executable, "-c", code, str(root / "libs" / MEDIA / "kernel.py"), str(made)]
    started = [subprocess.Popen(command, env=environment) for _ in range(3)]
    seen = set()
    while any(each.poll() is None for each in started):
        seen |= {path.read_text() for path in (made / "lib").glob(NAME) if path.is_file()}
    assert [each.returncode for each in started] == [0, 0, 0]
    assert [path.read_text() for path in (made / "lib").iterdir()] == ["half\nwhole\n"]
    assert seen <= {"half\nwhole\n"}


def test_nothing_is_compiled_for_a_shell_that_asks_or_in_an_environment_of_somebody_else(
    bootstrap: ModuleType,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", f"{compiler(tmp_path / 'bin', WRITES)}:{os.defpath}")
    with monkeypatch.context() as asking:
        asking.setenv("_ARTDAG_COMPLETE", "complete_bash")
        bootstrap.compile_kernel(str(made))
    with monkeypatch.context() as theirs:
        theirs.setattr(bootstrap.os, "access", lambda path, mode: False)
        bootstrap.compile_kernel(str(made))
    assert list((made / "lib").iterdir()) == []
    assert capsys.readouterr() == ("", "")
