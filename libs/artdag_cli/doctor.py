"""``artdag doctor``: what is wrong, how to mend it, and what the system mended by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from artdag_cli import exits
from artdag_cli.audit import plain
from artdag_cli.client import Client
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.surroundings.checks import CHECKS
from artdag_cli.surroundings.facts import Surroundings
from artdag_cli.surroundings.looking import look
from artdag_common.errors import ArtdagError

SHOWN = 5
NOTHING: Mapping[str, Any] = {"checked": [], "findings": [], "repairs": {"counts": [], "last": []}}
SYSTEM = "system"
"""The check whether the gateway answers, which then tells of all that only it knows."""

UNABLE = 500
"""From this status on the gateway would answer and cannot."""


def doctor(state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Say what is wrong and how to mend it, and what the reconciler put back lately.

    First of this machine, its settings and the servers, also where the system is down; then what the gateway knows.
    Exit code 1: something is wrong; 3, 4: and the gateway does not tell you; 5: and it does not answer, or no system
    runs.
    """
    folder = state_folder(state)
    found = asyncio.run(look(folder))
    told, silent = asked(folder, server)
    report = whole(found, told, silent, server)
    if json_output:
        print(json.dumps(report, indent=2))
    else:
        for line in lines_of(report):
            print(plain(line))
    if silent:
        raise typer.Exit(exits.exit_code(silent))
    if not report["well"]:
        raise typer.Exit(exits.NOT_SO)


def asked(folder: Path, server: str) -> tuple[Mapping[str, Any], ArtdagError | None]:
    """Return what the gateway says; where it says nothing, why."""
    try:
        with Client.of(folder, server) as client:
            return client.call("GET", "/api/doctor"), None
    except ArtdagError as error:
        return NOTHING, error


def whole(
    found: Surroundings, told: Mapping[str, Any], silent: ArtdagError | None = None, server: str = ""
) -> dict[str, Any]:
    """Return the report of what was looked at here and of what the gateway told.

    Args:
        silent: why it told nothing.
        server: the address at which it was asked; empty: here.
    """
    findings = [{"check": check.__name__, **asdict(finding)} for check in CHECKS for finding in check(found)]
    if silent:
        how = _remedy(silent, found.running, server)
        findings.append({"check": SYSTEM, "what": silent.message, "how": how, "wrong": True})
    seen = {finding["what"] for finding in findings}
    findings += [each for each in told["findings"] if each["what"] not in seen and not _unusable(found, each)]
    return {
        "well": not any(finding["wrong"] for finding in findings),
        "checked": list(dict.fromkeys([*(check.__name__ for check in CHECKS), SYSTEM, *told["checked"]])),
        "findings": findings,
        "repairs": told["repairs"],
    }


def _unusable(found: Surroundings, told: Mapping[str, Any]) -> bool:
    """Return whether the server that the gateway tells of does not answer from here either, of which more is known."""
    useless = {
        "postgres": found.postgres if found.postgres and found.postgres.away else None,
        "nats": found.nats if found.nats and (found.nats.away or not found.nats.jetstream) else None,
        "redis": found.redis if found.redis and found.redis.away else None,
    }.get(told["check"])
    return useless is not None and told["what"].endswith(f" at {useless.place}")


def _remedy(silent: ArtdagError, running: bool, server: str) -> str:
    """Return what to do where the gateway tells nothing."""
    code = exits.exit_code(silent)
    if (silent.values.get("status") or 0) >= UNABLE:
        return "mend that first: the gateway cannot answer before; its log tells more"
    if code == exits.REFUSED:
        return "sign in as the operator: artdag login URL"
    if code == exits.SIGN_IN:
        return f"artdag login {server or 'URL'}"
    if server:
        return "see whether the address is right, and whether the gateway there runs: its log tells more"
    return "look at its log" if running else "start it: artdag up"


def lines_of(report: dict[str, Any]) -> list[str]:
    """Return a report as lines: what is wrong first, then what is as somebody wants it, then the repairs."""
    lines = list(_findings(report))
    if report["well"]:
        lines.append(f"nothing is wrong ({', '.join(report['checked'])})")
    for each in report["repairs"]["counts"]:
        lines.append(f"mended by itself in 7 days: {each['what']} ×{each['count']}, last {each['last_at']}")
    for each in report["repairs"]["last"][:SHOWN]:
        about = " ".join(filter(None, (each["run_id"] and f"run {each['run_id']}", each["cache_id"], each["detail"])))
        lines.append(f"  {each['at']} {each['what']} by {each['planner']}: {about}")
    return lines


def _findings(report: dict[str, Any]) -> Iterator[str]:
    for finding in sorted(report["findings"], key=lambda finding: not finding["wrong"]):
        yield f"{'wrong' if finding['wrong'] else 'note'}: {finding['what']}"
        yield f"  → {finding['how']}"
