"""``artdag webhook``: addresses that are told how your runs end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

import typer

from artdag_cli.client import Client
from artdag_cli.messages import console
from artdag_cli.options import Json, Server, State, state_folder
from artdag_cli.printing import plain

app = typer.Typer(no_args_is_help=True, help="Addresses that are told how your runs end.")

PAGE = 50

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of a webhook, or the beginning of one.")]


@app.command("list")
def list_webhooks(state: State = None, server: Server = "", json_output: Json = False) -> None:
    """List your webhooks, newest first."""
    with Client.of(state_folder(state), server) as client:
        found = client.call("GET", "/webhooks")["webhooks"]
    if json_output:
        print(json.dumps(found, indent=2))
        return
    for each in found:
        line = f"{each['webhook_id']}  {each['url']}  {', '.join(each['events'])}"
        print(plain(line if each["enabled"] else f"{line}  disabled{_because(each)}"))


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="https://host/path")],
    event: Annotated[
        list[str] | None, typer.Option("--event", "-e", help="run.completed, run.failed or run.cancelled; all of them.")
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option("--secret-file", help="File with a secret of yours, whsec_…; else one is made.", dir_okay=False),
    ] = None,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Have an address told of your runs, and print its secret: nobody can see that again."""
    body: dict[str, Any] = {"url": url, "events": event or []}
    if secret_file is not None:
        body["secret"] = secret_file.read_text().strip()
    with Client.of(state_folder(state), server) as client:
        made = _done(client, "POST", "/webhooks", json=body)
    if json_output:
        print(json.dumps(made, indent=2))
        return
    console.print(plain(f"webhook {made['webhook_id']} is told of your runs from now on; its secret:"), highlight=False)
    print(made["secret"])


@app.command("test")
def ping(webhook: WebhookId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Send a ping, and tell what came back. Exits with 1 where it was not taken."""
    with Client.of(state_folder(state), server) as client:
        came = _done(client, "POST", f"{_path(client, webhook)}/test")
    if json_output:
        print(json.dumps(came, indent=2))
    elif came["ok"]:
        print(f"it answers {came['status']} after {came['duration_ms']} ms")
    else:
        console.print(plain(came["reason"]), highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(0 if came["ok"] else 1)


@app.command()
def remove(webhook: WebhookId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Forget a webhook and its secret."""
    with Client.of(state_folder(state), server) as client:
        gone = _done(client, "DELETE", _path(client, webhook))
    if json_output:
        print(json.dumps(gone, indent=2))
    else:
        console.print(f"webhook {gone['webhook_id']} is removed", highlight=False)


@app.command()
def deliveries(
    webhook: WebhookId,
    limit: Annotated[int, typer.Option("--limit", help="How many, newest first.", min=1, max=200)] = PAGE,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """List what a webhook was told, and what came of it."""
    with Client.of(state_folder(state), server) as client:
        found = client.call("GET", _path(client, webhook), params={"limit": limit})
    if json_output:
        print(json.dumps(found["deliveries"], indent=2))
        return
    for each in found["deliveries"]:
        line = f"{each['delivery_id']}  {each['requested_at'][:19]}Z  {each['event']}  {each['run_id']}"
        print(plain(f"{line}  {each['state']} after {each['attempts']}{_because(each)}"))
    if found["total"] > len(found["deliveries"]):
        console.print(f"… and {found['total'] - len(found['deliveries'])} more", highlight=False)


@app.command()
def retry(
    webhook: WebhookId,
    delivery: Annotated[str, typer.Argument(help="Id of a delivery, as `deliveries` lists it.")],
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """Send a delivery again, under the same id."""
    with Client.of(state_folder(state), server) as client:
        again = _done(client, "POST", f"{_path(client, webhook)}/deliveries/{quote(delivery, safe='')}/retry")
    if json_output:
        print(json.dumps(again, indent=2))
    else:
        console.print(f"delivery {again['delivery_id']} is {again['state']}", highlight=False)


def _done(client: Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    """Return the answer to a write; one that is kept and not handled yet is asked for again, as the same one."""
    key = {"Idempotency-Key": str(uuid4())}
    while True:
        answer: dict[str, Any] = client.call(method, path, headers=key, **more)
        if answer.get("status") != "pending":
            return answer


def _path(client: Client, webhook: str) -> str:
    """Return the address of a webhook; of one that is named by the beginning of its id, where no other begins so."""
    known = [each["webhook_id"] for each in client.call("GET", "/webhooks")["webhooks"]]
    found = [each for each in known if each.startswith(webhook)]
    return f"/webhooks/{quote(found[0] if len(found) == 1 else webhook, safe='')}"


def _because(each: dict[str, Any]) -> str:
    return f": {each['reason']}" if each["reason"] else ""
