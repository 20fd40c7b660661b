"""What may come next on a command line, as a shell asks; and the scripts that make it ask.

Ids and names come from the server, and a shell might take more than letters of theirs for something else: only those
that are made of letters, digits, ``.``, ``_`` and ``-`` are offered. A server that does not answer at once offers none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from artdag_client import Client

SECONDS = 1.0
MOST = 30
SOUND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
UNSOUND = re.compile(r"[^A-Za-z0-9 ._-]+")

BASH = """\
# artdag completion bash: source it from ~/.bashrc, or save it as ~/.local/share/bash-completion/completions/artdag
_artdag_completion() {
    local IFS=$'\\n'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        _ARTDAG_COMPLETE=complete_bash "${1/#\\~\\//$HOME/}" 2>/dev/null ) )
}
complete -o default -F _artdag_completion artdag
"""
ZSH = """\
#compdef artdag
# artdag completion zsh: source it from ~/.zshrc after compinit, or save it as _artdag in a folder of $fpath
_artdag_completion() {
  local -a offered
  local line
  for line in "${(@f)$(env _TYPER_COMPLETE_ARGS="${words[1,CURRENT]}" _TYPER_COMPLETE_FISH_ACTION=get-args \\
      _ARTDAG_COMPLETE=complete_fish ${(Q)~words[1]} 2>/dev/null)}"; do
    [[ -n $line ]] && offered+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
  done
  if (( $#offered )); then _describe -V 'artdag' offered; else _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _artdag_completion "$@"; else compdef _artdag_completion artdag; fi
"""
FISH = """\
# artdag completion fish: save it as ~/.config/fish/completions/artdag.fish
function _artdag_completion
    set -lx _TYPER_COMPLETE_ARGS (commandline -cp)
    set -lx _TYPER_COMPLETE_FISH_ACTION $argv[1]
    set -lx _ARTDAG_COMPLETE complete_fish
    eval (commandline -opc)[1] 2>/dev/null
end
complete --command artdag --no-files \\
    --condition "_artdag_completion is-args" --arguments "(_artdag_completion get-args)"
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="The shell that is to complete commands.")],
) -> None:
    """Print the script that lets a shell complete commands.

    source <(artdag completion bash) does it for this shell; the script's first line says how to have it in each.
    """
    if shell not in SCRIPTS:
        raise typer.BadParameter(f"{shell!r} is none of {', '.join(SCRIPTS)}")
    print(SCRIPTS[shell], end="")


def prepare() -> None:
    """Have the command line answer a shell that asks."""
    from typer._completion_classes import completion_init

    completion_init()


def run_ids(context: typer.Context) -> list[tuple[str, str]]:
    """Return the newest runs, with what they are."""
    return _offered(
        context,
        lambda client: (
            (run["run_id"], f"{run['status']} {run['output_name'] or run['recipe']}")
            for run in client.runs.page(limit=MOST)["runs"]
        ),
    )


def recipe_names(context: typer.Context) -> list[tuple[str, str]]:
    """Return the newest recipes by name."""
    return _offered(
        context,
        lambda client: (
            (recipe["name"], recipe["description"]) for recipe in client.recipes.page(limit=MOST)["recipes"]
        ),
    )


def effect_names(context: typer.Context) -> list[tuple[str, str]]:
    """Return effects by name."""
    return _offered(
        context,
        lambda client: (
            (effect["name"], effect["description"]) for effect in client.effects.page(limit=MOST)["effects"]
        ),
    )


def storage_ids(context: typer.Context) -> list[tuple[str, str]]:
    """Return the storage providers, with what they are called."""
    return _offered(
        context,
        lambda client: ((each["storage_id"], each["name"]) for each in client.storage.page(limit=MOST)["storage"]),
    )


def _offered(context: typer.Context, ask: Callable[[Client], Iterable[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Return what a server has, fit for a shell; nothing where it cannot be asked."""
    try:
        with _client(context.params) as client:
            found = dict(ask(client))
    except Exception:  # a shell that completes has nowhere to show why it cannot
        return []
    return [
        (value, UNSOUND.sub(" ", about).strip()[:60] or value)
        for value, about in found.items()
        if SOUND.fullmatch(value)
    ]


def _client(chosen: dict[str, Any]) -> Client:
    """Return a client of the server that a command names, which does not wait for long."""
    from artdag_cli import logins
    from artdag_cli.options import state_folder
    from artdag_cli.state import owner_token, running
    from artdag_client import Client, Patience

    state: Path = state_folder(chosen.get("state"))
    server = str(chosen.get("server") or "")
    if server:
        url = logins.server_url(server)
        token = logins.token_for(state, url)
    else:
        facts = running(state) or {}
        url, token = facts["local_url"], owner_token(state)
    return Client(url, token, timeout=SECONDS, patience=Patience(request_seconds=0))
