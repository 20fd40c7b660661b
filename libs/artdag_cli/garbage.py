"""``artdag cache gc``: remove what nobody needs, or see what that would be."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from artdag_cli.client import Client
from artdag_cli.messages import console
from artdag_cli.options import Json, Server, State, state_folder

SHOWN = 20


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would go, and why.")] = False,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", help="Days without use.  [default: ARTDAG_RETENTION_DAYS]", min=0, max=36_500),
    ] = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Remove intermediates long unused, files that no book names, and bytes of deleted content.

    What a run, a recipe, a publication or a user needs is never touched. It happens every hour by itself too.
    """
    with Client.of(state_folder(state), server) as client:
        if dry_run:
            asked = {} if older_than is None else {"older_than_days": older_than}
            report = client.call("GET", "/cache/gc", params=asked)
        else:
            report = client.call("POST", "/cache/gc", json={"older_than_days": older_than})
    if json_output:
        print(json.dumps(report, indent=2))
    elif report.get("status") == "pending":
        console.print("there is much to do; it goes on by itself", highlight=False)
    else:
        _say(report)


def _say(report: dict[str, Any]) -> None:
    for item in report["items"][:SHOWN]:
        print(f"{item['cid']}  {decimal(item['size_bytes'])}  {item['why']}")
    if report["count"] > SHOWN:
        print(f"… and {report['count'] - SHOWN} more")
    for why, facts in report["why"].items():
        line = f"{why}: {facts['count']}, {decimal(facts['bytes'])} ({facts['reason']})"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    done = "would be removed" if report["dry_run"] else "removed"
    console.print(f"{report['count']} {done}, {decimal(report['bytes'])}", highlight=False, soft_wrap=True)
