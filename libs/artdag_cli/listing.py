"""The commands by name, each with the module that is loaded when it is used, and the line that the help shows.

To list all of them loads none. A command joins by a row in :data:`COMMANDS`; a test compares the rows with what the
commands say of themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

SYSTEM, RENDER, CONTENT, OPERATE, OTHER = (
    "The system",
    "Rendering",
    "Content and recipes",
    "For the operator",
    "More",
)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@dataclass(frozen=True, slots=True)
class Listed:
    """A command, or a group of commands, that is not loaded yet.

    Attributes:
        place: ``module:attribute`` below ``artdag_cli``, a function or a ``typer.Typer``.
        summary: the first sentences of its help.
        panel: under which heading the help shows it.
        settings: the context settings of a function.
    """

    place: str
    summary: str
    panel: str
    settings: dict[str, Any] = field(default_factory=dict)

    def load(self, name: str) -> Any:
        """Return the command itself."""
        module, _, attribute = self.place.partition(":")
        found = getattr(importlib.import_module(f"artdag_cli.{module}"), attribute)
        command: Any
        if isinstance(found, typer.Typer):
            command = typer.main.get_group(found)  # get_command adds options that write to files of shells
        else:
            single = typer.Typer(add_completion=False)
            single.command(name, context_settings=self.settings)(found)
            command = typer.main.get_command(single)
        command.name = name
        _let_be_quiet(command)
        return command


COMMANDS: dict[str, Listed] = {
    "up": Listed("up:up", "Run the whole system until Ctrl-C.", SYSTEM),
    "down": Listed("up:down", "Stop the system that runs on a state folder.", SYSTEM),
    "status": Listed(
        "up:status", "Show what runs on a state folder. Exit code 3: nothing does; 1: something is not ready.", SYSTEM
    ),
    "demo": Listed(
        "demo:demo", "Start the system, make a video and a drum track, cut the one to the other, twice.", SYSTEM
    ),
    "doctor": Listed(
        "doctor:doctor",
        "Say what is wrong and how to mend it, and what the reconciler put back lately.",
        SYSTEM,
    ),
    "login": Listed(
        "login:login",
        "Sign in at a server: confirm a code in a browser, on this machine or any other. The token is kept for later.",
        SYSTEM,
    ),
    "logout": Listed(
        "login:logout", "Sign out at a server: the token counts no more, and is not kept any longer.", SYSTEM
    ),
    "whoami": Listed("token:whoami", "Say who is signed in, and where. Exit code 4: nobody is.", SYSTEM),
    "token": Listed("token:app", "Print the local owner's token; make, list and revoke tokens.", SYSTEM),
    "run": Listed("run:app", "Start a run; look at it, publish, delete, export, verify and import runs.", RENDER),
    "render": Listed(
        "render:render", "Render inputs through a recipe or an effect. Exit code 1: the run failed.", RENDER
    ),
    "runs": Listed("runs:runs", "List runs, newest first.", RENDER),
    "watch": Listed("runs:watch", "Follow a run to its end. Exit code 1: it gave nothing.", RENDER),
    "log": Listed(
        "log:log", "Print what a step of a run said: warnings, prints of an uploaded effect, errors.", RENDER
    ),
    "cancel": Listed(
        "steer:cancel",
        "Stop a run: nothing further starts, and what runs is broken off unless another run needs it.",
        RENDER,
    ),
    "pause": Listed("steer:pause", "Start no further step of a run; what executors have goes on.", RENDER),
    "resume": Listed("steer:resume", "Go on with a paused run.", RENDER),
    "retry": Listed(
        "steer:retry", "Try a failed or cancelled run again, as a new run: only what failed is computed.", RENDER
    ),
    "rerun": Listed(
        "steer:rerun",
        "Run again with something changed, as a new run: only what the changes reach is computed.",
        RENDER,
    ),
    "upload": Listed("content:upload", "Upload files; print each CID and name.", CONTENT),
    "download": Listed("content:download", "Save content, or what a run gave; every byte is checked.", CONTENT),
    "cache": Listed("cache:app", "Content: bring it in, look at it, describe, publish, delete it.", CONTENT),
    "recipe": Listed("recipe:app", "Recipes: check, upload, look, delete.", CONTENT),
    "effect": Listed("effect:app", "Effects: write one of your own, try it, upload it; list, look, delete.", CONTENT),
    "storage": Listed("storage:app", "Places of your own that get a copy of what is yours.", CONTENT),
    "webhook": Listed("webhook:app", "Addresses that are told how your runs end.", CONTENT),
    "secrets": Listed("secrets_folder:secrets", "Make the secrets of a system that runs in containers.", OPERATE),
    "migrate": Listed(
        "migrate:migrate",
        "Bring the database up to date: its tables and functions, and an account for each service.",
        OPERATE,
    ),
    "replay": Listed(
        "replay:replay",
        "Rebuild a run from the event store alone, and say whether the read model agrees.",
        OPERATE,
    ),
    "audit": Listed("audit:audit", "Show the audit trail, oldest first.", OPERATE),
    "top": Listed("top:top", "Show what the system does now, until q is pressed. For the operator.", OPERATE),
    "dlq": Listed("dlq:app", "Dead letters: what gave up, with its reason.", OPERATE),
    "user": Listed("user:app", "Who uses this system, and erasing a person. For the operator.", OPERATE),
    "completion": Listed("completion:completion", "Print the script that lets a shell complete commands.", OTHER),
    "bench": Listed("bench:app", "Measure, beside a named peer, in the same run.", OTHER),
    "test": Listed(
        "testing:run_tests",
        "Run the whole suite. Further arguments go to pytest, for example ``artdag test tests/unit -k cid``.",
        OTHER,
        PASSED_ON,
    ),
}


class _Commands(MutableMapping[str, Any]):
    """Commands by name; one that is only listed is loaded when it is taken."""

    def __init__(self, known: dict[str, Any]) -> None:
        self._known = known

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = COMMANDS[name].load(name)
        return self._known[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*COMMANDS, *self._known)))

    def __len__(self) -> int:
        return len({*COMMANDS, *self._known})

    def get(self, name: str, default: Any = None) -> Any:
        """Return a command, or ``default``."""
        return self[name] if name in COMMANDS or name in self._known else default


class ListedGroup(TyperGroup):
    """A group whose commands are loaded one by one, as they are used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(dict(self.commands))

    def list_commands(self, context: Any) -> list[str]:
        """Return all names, without loading anything."""
        return list(self.commands)

    def get_command(self, context: Any, name: str) -> Any:
        """Return a command as the help and a shell show it; one that is used comes from :meth:`resolve_command`."""
        listed = COMMANDS.get(name)
        if listed is None:
            return self.commands.get(name)
        return TyperCommand(name, help=listed.summary, rich_help_panel=listed.panel)

    def resolve_command(self, context: Any, arguments: list[str]) -> Any:
        """Return the command that arguments begin with, loaded."""
        name, command, rest = super().resolve_command(context, arguments)
        return name, self.commands[name] if name else command, rest


def _let_be_quiet(command: Any) -> None:
    """Give a command, or each of a group's, the option ``--quiet``; not where options are passed on."""
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            _let_be_quiet(each)
    elif not command.ignore_unknown_options:
        command.params.append(_quiet_option())


def _quiet_option() -> Any:
    """Return the option, as the command line knows options."""
    single = typer.Typer(add_completion=False)

    @single.command()
    def _command(quiet: Quiet = False) -> None: ...

    return typer.main.get_command(single).params[0]


def _be_quiet(quiet: bool) -> None:
    if quiet:
        from artdag_cli.messages import be_quiet  # rich is loaded where there is something to say

        be_quiet()


Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say nothing but results and errors.", callback=_be_quiet, expose_value=False),
]
