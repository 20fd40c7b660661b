"""``artdag doctor``: what is wrong, how to mend it, and what the system mended by itself."""

from __future__ import annotations

import json
from typing import Any

import typer

from artdag_cli.audit import plain
from artdag_cli.client import Client
from artdag_cli.options import Json, State, state_folder

SHOWN = 5


def doctor(state: State = None, json_output: Json = False) -> None:
    """Say what is wrong and how to mend it, and what the reconciler put back lately. Exits 1 if anything is wrong."""
    with Client.of_state(state_folder(state)) as client:
        report = client.call("GET", "/api/doctor")
    if json_output:
        print(json.dumps(report, indent=2))
    else:
        for line in lines_of(report):
            print(plain(line))
    if not report["well"]:
        raise typer.Exit(1)


def lines_of(report: dict[str, Any]) -> list[str]:
    """Return a report as lines: what is wrong first, then what is as somebody wants it, then the repairs."""
    lines = []
    for finding in sorted(report["findings"], key=lambda finding: not finding["wrong"]):
        lines += [f"{'wrong' if finding['wrong'] else 'note'}: {finding['what']}", f"  → {finding['how']}"]
    if report["well"]:
        lines.append(f"nothing is wrong ({', '.join(report['checked'])})")
    for each in report["repairs"]["counts"]:
        lines.append(f"mended by itself in 7 days: {each['what']} ×{each['count']}, last {each['last_at']}")
    for each in report["repairs"]["last"][:SHOWN]:
        about = " ".join(filter(None, (each["run_id"] and f"run {each['run_id']}", each["cache_id"], each["detail"])))
        lines.append(f"  {each['at']} {each['what']} by {each['planner']}: {about}")
    return lines
