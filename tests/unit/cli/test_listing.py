"""All commands: what the listing says of them, what each takes, what docs/cli.md tells, and what is loaded for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from artdag_cli import messages
from artdag_cli.__main__ import app
from artdag_cli.completion import SCRIPTS
from artdag_cli.exits import AWAY, DONE, INTERRUPTED, NO_FILE, NOT_SO, REFUSED, SIGN_IN, WRONG_ARGUMENTS
from artdag_cli.listing import COMMANDS
from docs.build_cli import PAGE, commands, document, summary
from services.gateway.web.download import artdag as downloaded

ROOT = Path(__file__).resolve().parents[3]
RUN = CliRunner()
CODES = (DONE, NOT_SO, WRONG_ARGUMENTS, REFUSED, SIGN_IN, AWAY, NO_FILE, INTERRUPTED)

NO_JSON = {
    "completion": "a script",
    "test": "pytest prints it",
    "secrets": "files, or manifests for kubectl",
    "migrate": "one line",
}
"""Commands without ``--json``, and why."""

NOT_LOADED = ("asyncpg", "nats", "redis", "eventsourcing", "aiohttp", "av", "numpy", "fastapi")
"""What no command loads that only speaks to a server."""


ALL = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listing_says_what_a_command_says_of_itself(name: str) -> None:
    assert summary(typer.main.get_command(app).commands[name]) == COMMANDS[name].summary  # type: ignore[attr-defined]


def test_the_guide_lists_every_command() -> None:
    assert PAGE.read_text() == document(), "run python docs/build_cli.py"


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_json_and_quiet_and_is_explained(name: str) -> None:
    command = ALL[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in options) == (
        name not in NO_JSON and not name.startswith("bench ")
    )  # benchmarks print their own
    if not command.ignore_unknown_options:
        assert "--quiet" in options or isinstance(command, TyperGroup)
    assert summary(command).endswith(".")
    for parameter in command.params:
        assert getattr(parameter, "help", ""), (name, parameter.name)


def test_every_exit_code_has_its_line() -> None:
    assert tuple(map(int, re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE))) == CODES
    assert CODES == (
        downloaded.OK,
        downloaded.GAVE_NOTHING,
        downloaded.WRONG_ARGUMENTS,
        downloaded.REFUSED,
        downloaded.SIGN_IN,
        downloaded.AWAY,
        downloaded.NO_FILE,
        downloaded.INTERRUPTED,
    )


def leaves(parser: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command of the downloaded client by its whole name."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, sub in action.choices.items():
                found = list(leaves(sub, f"{before} {name}".strip()))
                yield from found or [(f"{before} {name}".strip(), sub)]


OTHERWISE = {("login", "--token"), ("run", "--force"), ("download", "--force")}
"""Options of the downloaded client that mean something else, or are not there: whoever has ``artdag`` has a folder for
tokens, and names the nodes that are forced."""


@pytest.mark.parametrize(("name", "parser"), list(leaves(downloaded.parser())))
def test_what_the_downloaded_client_takes_this_one_takes(name: str, parser: Any) -> None:
    here = ALL[name if name != "run" else "run start"]
    known = {option for parameter in here.params for option in parameter.opts}
    options = {option for action in parser._actions for option in action.option_strings}
    missing = {each for each in options - known if (name, each) not in OTHERWISE}
    assert (
        missing <= {"-h", "--help", "--server"} if name == "login" or name == "logout" else missing <= {"-h", "--help"}
    )


def test_what_is_no_command_of_run_is_what_to_render() -> None:
    shown = RUN.invoke(app, ["run", "dog"], env={"ARTDAG_STATE": "/nowhere"})
    assert "no system runs on /nowhere" in str(shown.exception)
    assert RUN.invoke(app, ["run", "--help"]).exit_code == 0
    assert "export" in RUN.invoke(app, ["run"]).output


def test_a_typing_error_names_what_is_meant() -> None:
    assert "Did you mean 'render'" in " ".join(RUN.invoke(app, ["rendr"]).output.replace("│", " ").split())


def test_quiet_is_for_one_command(tmp_path: Path) -> None:
    for arguments in (["-q", "down"], ["down", "-q"], ["down", "--quiet"]):
        quiet = RUN.invoke(app, [*arguments, "--state", str(tmp_path)])
        assert (quiet.exit_code, quiet.output) == (0, "")
    assert "no system runs" in RUN.invoke(app, ["down", "--state", str(tmp_path)]).stderr
    assert not messages.console.quiet


@pytest.mark.parametrize("arguments", [["--help"], ["runs", "--help"], ["storage", "--help"], ["completion", "bash"]])
def test_little_is_loaded_for_little(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["artdag", *{arguments}]
from artdag_cli.__main__ import main
try:
    main()
except SystemExit:
    pass
print(sorted({{name.partition(".")[0] for name in sys.modules}} & set({NOT_LOADED})), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_one_its_shell_reads(shell: str, tmp_path: Path) -> None:
    script = tmp_path / shell
    script.write_text(RUN.invoke(app, ["completion", shell]).output)
    assert f"artdag completion {shell}" in script.read_text()
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here: apt install {shell}, then run this again")
    subprocess.run([program, "-n", str(script)], check=True)


def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "artdag"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m artdag_cli "$@"\n')
    program.chmod(0o755)
    script = f"""
source <({program} completion bash)
ask() {{
    COMP_WORDS=({program} "$@"); COMP_CWORD=$#; COMPREPLY=()
    _artdag_completion {program}
    echo "${{COMPREPLY[*]}}"
}}
ask re; ask recipe ''; ask run dog --pri; ask watch ''; ask --version st; ask cache --
COMP_WORDS=('~/artdag' rep); COMP_CWORD=1; _artdag_completion '~/artdag'; echo "${{COMPREPLY[*]}}"
"""
    environment = os.environ | {"ARTDAG_STATE": str(tmp_path / "none"), "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["render", "resume", "retry", "rerun", "recipe", "replay"],
        ["check", "upload", "list", "show", "delete"],
        ["--priority"],
        [],  # no system runs that has any
        ["status", "storage"],
        ["--help"],  # nothing that would write to files of the shell
        ["replay"],  # the shell hands the program on as it was typed
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("typed", ["artdag", "./artdag", "~/artdag"])
def test_zsh_completes(tmp_path: Path, typed: str) -> None:
    program = shutil.which("zsh")
    if program is None:
        pytest.skip("zsh is not here: apt install zsh, then run this again")
    there = tmp_path / "artdag"
    there.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m artdag_cli "$@"\n')
    there.chmod(0o755)
    script = f"""
compdef() {{ :; }}
_describe() {{ print -r -- "${{(@)offered%%:*}}" }}
_files() {{ print -r -- files }}
source <({there} completion zsh)
ask() {{ local -a words=("$@"); local CURRENT=$#; _artdag_completion }}
ask {typed!r} re; ask {typed!r} recipe ''; ask {typed!r} run dog --pri; ask {typed!r} watch ''
"""
    environment = os.environ | {
        "ARTDAG_STATE": str(tmp_path / "none"),
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [program, "-f", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["render", "resume", "retry", "rerun", "recipe", "replay"],
        ["check", "upload", "list", "show", "delete"],
        ["--priority"],
        ["files"],  # no system runs that has any run
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("typed", ["artdag", "./artdag", "~/artdag"])
def test_fish_completes(tmp_path: Path, typed: str) -> None:
    program = shutil.which("fish")
    if program is None:
        pytest.skip("fish is not here: apt install fish, then run this again")
    there = tmp_path / "artdag"
    there.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m artdag_cli "$@"\n')
    there.chmod(0o755)
    script = f"""
source ({there} completion fish | psub)
for line in 're' 'recipe ' 'run dog --pri' 'watch artd'
    echo (complete -C "{typed} $line" | string split --fields 1 \\t)
end
"""
    environment = os.environ | {
        "ARTDAG_STATE": str(tmp_path / "none"),
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [program, "--no-config", "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["recipe", "render", "replay", "rerun", "resume", "retry"],
        ["check", "delete", "list", "show", "upload"],
        ["--priority"],
        ["artdag"],  # no system runs that has any run: files
    ]
    assert done.stderr == ""
