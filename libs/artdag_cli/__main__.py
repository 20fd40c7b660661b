"""``artdag``: the command line."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from artdag_cli import (
    audit,
    bench,
    cache,
    demo,
    dlq,
    doctor,
    effect,
    garbage,
    log,
    login,
    render,
    replay,
    run,
    steer,
    testing,
    up,
    user,
    webhook,
)
from artdag_common.errors import ArtdagError

app = typer.Typer(
    name="artdag",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Art DAG L1: a rendering server that plans, shares and proves every step.",
)
for command in (
    up.up,
    up.down,
    up.status,
    up.token,
    login.login,
    login.logout,
    demo.demo,
    render.render,
    steer.cancel,
    steer.pause,
    steer.resume,
    steer.retry,
    steer.rerun,
    replay.replay,
    audit.audit,
    doctor.doctor,
    log.log,
):
    app.command()(command)
app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(testing.run_tests)
app.add_typer(bench.app, name="bench")
app.add_typer(dlq.app, name="dlq")
app.add_typer(effect.app, name="effect")
cache.app.command("gc")(garbage.gc)
app.add_typer(cache.app, name="cache")
app.add_typer(run.app, name="run")
app.add_typer(user.app, name="user")
app.add_typer(webhook.app, name="webhook")


def main() -> None:
    """Run the command line; an error of ours is a sentence, not a traceback."""
    try:
        app(prog_name="artdag")
    except ArtdagError as error:
        Console(stderr=True).print(f"[red]artdag:[/red] {error.message}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
