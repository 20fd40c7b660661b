"""``artdag webhook``: addresses that are told how your runs end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from artdag_cli.client import Client
from artdag_cli.exits import NOT_SO
from artdag_cli.messages import console
from artdag_cli.options import Json, Limit, Server, State, state_folder
from artdag_cli.printing import gathered, more, plain, show

app = typer.Typer(no_args_is_help=True, help="Addresses that are told how your runs end.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of a webhook, or the beginning of one.")]


@app.command("list")
def list_webhooks(state: State = None, server: Server = "", json_output: Json = False) -> None:
    """List your webhooks, newest first."""
    with Client.of(state_folder(state), server) as client:
        found = client.webhooks.list()
    lines = [
        f"{each['webhook_id']}  {each['url']}  {', '.join(each['events'])}"
        + ("" if each["enabled"] else f"  disabled{_because(each)}")
        for each in found
    ]
    show({"webhooks": [*found], "total": len(found)}, json_output, lines)


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
    secret = None if secret_file is None else secret_file.read_text().strip()
    with Client.of(state_folder(state), server) as client:
        made = client.webhooks.add(url, event or [], secret)
    if not json_output:
        said = f"webhook {made['webhook_id']} is told of your runs from now on; its secret:"
        console.print(plain(said), highlight=False)
    show(made, json_output, [made["secret"]])


@app.command("test")
def ping(webhook: WebhookId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Send a ping, and tell what came back. Exit code 1: it was not taken."""
    with Client.of(state_folder(state), server) as client:
        came = client.webhooks.test(_id(client, webhook))
    took = f"it answers {came['status']} after {came['duration_ms']} ms"
    show(came, json_output, [took if came["ok"] else came["reason"] or "it was not taken"])
    if not came["ok"]:
        raise typer.Exit(NOT_SO)


@app.command()
def remove(webhook: WebhookId, state: State = None, server: Server = "", json_output: Json = False) -> None:
    """Forget a webhook and its secret."""
    with Client.of(state_folder(state), server) as client:
        gone = client.webhooks.delete(_id(client, webhook))
    show(gone, json_output, [f"webhook {gone['webhook_id']} is removed"])


@app.command()
def deliveries(
    webhook: WebhookId,
    limit: Limit = 50,
    state: State = None,
    server: Server = "",
    json_output: Json = False,
) -> None:
    """List what a webhook was told, newest first, and what came of it."""
    with Client.of(state_folder(state), server) as client:
        webhook_id = _id(client, webhook)
        found = gathered(lambda **asked: client.webhooks.get(webhook_id, **asked), "deliveries", limit)
    lines = [
        f"{each['delivery_id']}  {each['requested_at'][:19]}Z  {each['event']}  {each['run_id']}"
        f"  {each['state']} after {each['attempts']}{_because(each)}"
        for each in found["deliveries"]
    ]
    show(found, json_output, [*lines, *more(found, "deliveries")])


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
        again = client.webhooks.retry(_id(client, webhook), delivery)
    show(again, json_output, [f"delivery {again['delivery_id']} is {again['state']}"])


def _id(client: Client, webhook: str) -> str:
    """Return the id of a webhook that is named by it, or by its beginning where no other begins so."""
    found = [each["webhook_id"] for each in client.webhooks.list() if each["webhook_id"].startswith(webhook)]
    return found[0] if len(found) == 1 else webhook


def _because(each: Any) -> str:
    return f": {each['reason']}" if each["reason"] else ""
