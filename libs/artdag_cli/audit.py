"""``artdag audit``: who signed in, was refused, was signed out, published, deleted; as the operator sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from artdag_cli.client import Client
from artdag_cli.exits import INTERRUPTED
from artdag_cli.messages import console
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.printing import plain as plain

PAGE = 200
WAIT_SECONDS = 8
AGO = re.compile(r"(\d{1,5})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_time(text: str) -> datetime:
    """Return a time that is given as such (ISO 8601, UTC where it does not say), or as how long ago: ``90m``, ``7d``.

    Raises:
        typer.BadParameter: it is neither.
    """
    if match := AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a time (2026-11-22T04:00) nor how long ago (90m, 7d)") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def audit(
    kind: Annotated[
        str,
        typer.Option(
            help="Only: sign-in, refusal, revocation, publication, cancellation, deletion, erasure, dead-letter."
        ),
    ] = "",
    user: Annotated[str, typer.Option(help="Only what concerns this user: id, or handle @name@domain.")] = "",
    since: Annotated[str, typer.Option(help="From this time on: 2026-11-22T04:00, or 90m, 7d: so long ago.")] = "",
    until: Annotated[str, typer.Option(help="Up to this time.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many, the newest.", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Show the audit trail, oldest first.

    Refusals are counted where they happen and told a few seconds later. With --json: one object a line.
    """
    asked = {"kind": kind, "user": user}
    times = {"since": since, "until": until}
    asked |= {name: read_time(text).isoformat() for name, text in times.items() if text}
    asked = {name: value for name, value in asked.items() if value}
    with Client.of(state_folder(state), server) as client:
        try:
            last = 0
            for entry in reversed(list(_newest(client, asked, limit))):
                _show(entry, json_output)
                last = entry["id"]
            if follow:
                asked.pop("since", None)
                for entry in _following(client, asked, last or _last(client)):
                    _show(entry, json_output)
        except KeyboardInterrupt:
            console.print("")
            raise typer.Exit(INTERRUPTED) from None


def _newest(client: Client, asked: dict[str, str], limit: int) -> Iterator[dict[str, Any]]:
    """Yield up to ``limit`` entries, newest first."""
    cursor: dict[str, str] = {}
    while limit > 0:
        page = client.call("GET", "/api/audit", params=asked | cursor | {"limit": str(min(limit, PAGE))})
        yield from page["entries"]
        limit -= len(page["entries"])
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def _last(client: Client) -> int:
    """Return the id of the newest entry of all."""
    return max((entry["id"] for entry in _newest(client, {}, 1)), default=0)


def _following(client: Client, asked: dict[str, str], last: int) -> Iterator[dict[str, Any]]:
    """Yield entries after ``last`` as they come."""
    headers = {"Prefer": f"wait={WAIT_SECONDS}"}
    while True:
        page = client.call(
            "GET", "/api/audit", params=asked | {"after": str(last), "limit": str(PAGE)}, headers=headers
        )
        for entry in page["entries"]:
            last = entry["id"]
            yield entry


def _show(entry: dict[str, Any], json_output: bool) -> None:
    print(json.dumps(entry) if json_output else line_of(entry), flush=True)


def line_of(entry: dict[str, Any]) -> str:
    """Return an entry as one line: time, kind, how often, who, to whom, what, and why. Nothing in it moves a cursor."""
    by, user = entry["by"], entry["user"]
    who = _named(by) if by else f"address {entry['address']}" if entry["address"] else "-"
    to = f" → {_named(user)}" if user and (by is None or user["id"] != by["id"]) else ""
    times = f" ×{entry['count']}" if entry["count"] > 1 else ""
    what = entry["what"] or ""
    why = f" ({entry['code']})" if entry["code"] else ""
    return plain(f"{entry['at'][:19]}Z {entry['kind']}{times} {who}{to} {entry['event']} {what}{why}")


def _named(who: dict[str, str | None]) -> str:
    return f"{who['handle']}" if who["handle"] and who["handle"] != "@deleted" else f"{who['id']}"
