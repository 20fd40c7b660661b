"""The registry's pages: plain HTML, nothing from elsewhere."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from html import escape

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 56rem; padding: 1rem 1rem 4rem; }
header { display: flex; flex-wrap: wrap; gap: 1rem; align-items: baseline; border-bottom: 1px solid #8884; }
header a { text-decoration: none; } header b { margin-right: auto; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .4rem .6rem .4rem 0; text-align: left;
  border-bottom: 1px solid #8883; vertical-align: baseline; }
td:first-child, td:nth-child(3) { overflow-wrap: anywhere; } button, th { white-space: nowrap; }
form { margin: 0; } form.row { display: flex; gap: .5rem; flex-wrap: wrap; align-items: end; margin: 1rem 0; }
label { display: block; font-size: .9rem; } input, select, button { font: inherit; padding: .35rem .6rem; }
button { border: 0; border-radius: .3rem; background: #3949ab; color: #fff; cursor: pointer; }
button.quiet { background: #8885; color: inherit; }
code, textarea { font: .85rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
textarea { width: 100%; box-sizing: border-box; } .said { padding: .6rem .8rem; background: #f5a62333; }
dt { font-weight: 600; } dd { margin: 0 0 .6rem; overflow-wrap: anywhere; } .dim { opacity: .65; }
"""


def page(title: str, person: str, body: str, said: str = "") -> str:
    """Return a whole page. ``said``: what there is to tell first."""
    who = (
        '<a href="/renderers">Renderers</a> <a href="/tokens">Tokens</a> '
        f'<a href="/users/{escape(person)}">{escape(person)}</a> '
        '<form method="post" action="/logout"><button class="quiet">Log out</button></form>'
        if person
        else '<a href="/login">Sign in</a> <a href="/signup">Sign up</a>'
    )
    told = f'<p class="said" role="status">{escape(said)}</p>' if said else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<header><b><a href="/">Art DAG registry</a></b>{who}</header>'
        f"<main><h1>{escape(title)}</h1>{told}{body}</main></body></html>"
    )


def home(person: str, assets: Iterable[sqlite3.Row]) -> str:
    """What everybody published."""
    intro = (
        "<p>A small registry to try Art DAG out with: sign in, attach a rendering server on "
        '<a href="/renderers">Renderers</a>, render something there and publish it; it then appears here.</p>'
    )
    return page("Art DAG registry", person, intro + "<h2>Published</h2>" + _asset_table(assets))


def account(action: str, following: str, said: str = "") -> str:
    """The form to sign in, or to sign up."""
    title = {"login": "Sign in", "signup": "Sign up"}[action]
    hint = "" if action == "login" else " pattern='[a-z0-9_]{2,30}' title='2 to 30 of a-z, 0-9 and _'"
    other = (
        f'<p>No account yet? <a href="/signup?next={_query(following)}">Sign up</a>.</p>' if action == "login" else ""
    )
    return page(
        title,
        "",
        f'<form class="row" method="post" action="/{action}">'
        f'<input type="hidden" name="next" value="{escape(following)}">'
        f"<label>Name<br><input name='name' required autocomplete='username'{hint}></label>"
        "<label>Password<br><input name='password' type='password' required minlength='8'></label>"
        f"<button>{title}</button></form>{other}",
        said,
    )


def renderers(
    person: str, listed: Iterable[str], attached: Iterable[str], asked: str = "", following: str = "", said: str = ""
) -> str:
    """The L1 servers, each with a button that attaches it. ``asked``: the one that sent the person here."""
    have = set(attached)
    rows = "".join(
        f"<tr><td>{'<b>' if url == asked else ''}{escape(url)}{'</b>' if url == asked else ''}</td>"
        f"<td class='dim'>{'was attached before' if url in have else ''}</td><td>"
        '<form method="post" action="/renderers/attach">'
        f'<input type="hidden" name="l1_server" value="{escape(url)}">'
        f'<input type="hidden" name="next" value="{escape(following) if url == asked else ""}">'
        "<button>Attach</button></form></td></tr>"
        for url in listed
    )
    table = f"<table>{rows}</table>" if rows else "<p>None is listed yet.</p>"
    return page(
        "Renderers",
        person,
        "<p>Attaching a rendering server signs you in there. It gets a token that is for it alone.</p>"
        f"{table}<h2>Another one</h2>"
        '<form class="row" method="post" action="/renderers"><label>Address<br>'
        f'<input name="url" type="url" size="40" required placeholder="https://l1.example.org" value="{escape(asked)}">'
        "</label><button>Add</button></form>",
        said,
    )


def tokens(
    person: str, rows: Iterable[sqlite3.Row], listed: Iterable[str], now: float, new: str = "", said: str = ""
) -> str:
    """A person's tokens. ``new``: one that was just made, shown this once."""
    lines = "".join(
        f"<tr><td>{escape(row['renderer'])}</td><td>{escape(row['purpose'])}</td><td>{_time(row['issued'])}</td>"
        f"<td>{_time(row['expires'])}</td><td>{_token_state(row, now)}</td></tr>"
        for row in rows
    )
    shown = (
        "<p>Your new token, shown this once: send it as <code>Authorization: Bearer …</code></p>"
        f'<textarea readonly rows="5" aria-label="Token">{escape(new)}</textarea>'
        if new
        else ""
    )
    options = "".join(f"<option>{escape(url)}</option>" for url in listed)
    return page(
        "Tokens",
        person,
        f"{shown}<table><tr><th>For</th><th>Purpose</th><th>Made</th><th>Until</th><th></th></tr>{lines}</table>"
        '<h2>For a program</h2><form class="row" method="post" action="/tokens">'
        f"<label>Rendering server<br><select name='l1_server' required>{options}</select></label>"
        "<label>Lasts<br><select name='seconds'><option value='3600'>an hour</option>"
        "<option value='86400'>a day</option><option value='2592000' selected>30 days</option></select></label>"
        "<button>Make a token</button></form>"
        '<p class="dim">Logging out ends all of them.</p>',
        said,
    )


def _token_state(row: sqlite3.Row, now: float) -> str:
    if row["revoked"] is not None:
        return "revoked"
    if row["expires"] <= now:
        return "expired"
    return (
        f'<form method="post" action="/tokens/{escape(row["jti"])}/revoke"><button class="quiet">Revoke</button></form>'
    )


def profile(person: str, viewer: str, handle: str, assets: Iterable[sqlite3.Row]) -> str:
    """What one person published."""
    return page(person, viewer, f"<p><code>{escape(handle)}</code></p><h2>Published</h2>{_asset_table(assets)}")


def asset(viewer: str, row: sqlite3.Row) -> str:
    """One published asset, and where it comes from."""
    facts = [
        ("By", f'<a href="/users/{escape(row["person"])}">{escape(row["person"])}</a>'),
        ("Kind", escape(row["type"])),
        ("Content", f'<a href="{escape(row["url"])}" rel="noreferrer">{escape(row["cid"])}</a>'),
        ("Rendered by", escape(row["renderer"])),
        ("Object", escape(row["object"])),
    ]
    if row["run"]:
        facts.append(("Run", f'<a href="{escape(row["run"])}" rel="noreferrer">{escape(row["run"])}</a>'))
        record = escape(json.dumps(json.loads(row["provenance"]), indent=2))
        facts.append(("Provenance, checked", f"<code>{escape(row['provenance_cid'])}</code><pre>{record}</pre>"))
    body = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return page(row["name"], viewer, f"<dl>{body}</dl>")


def calls(viewer: str, rows: Iterable[sqlite3.Row]) -> str:
    """What L1 servers were told."""
    lines = "".join(
        f"<tr><td>{escape(row['renderer'] + row['path'])}</td><td>{escape(row['state'])}, {row['tries']} tries</td>"
        f"<td>{escape(row['answer'])}</td></tr>"
        for row in rows
    )
    return page("Told to L1 servers", viewer, f"<table>{lines}</table>")


def _asset_table(assets: Iterable[sqlite3.Row]) -> str:
    rows = "".join(
        f'<tr><td><a href="/assets/{escape(row["id"])}">{escape(row["name"])}</a></td><td>{escape(row["type"])}</td>'
        f'<td><a href="/users/{escape(row["person"])}">{escape(row["person"])}</a></td>'
        f"<td>{_time(row['listed'])}</td></tr>"
        for row in assets
    )
    return f"<table>{rows}</table>" if rows else "<p class='dim'>Nothing yet.</p>"


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) + " UTC"


def _query(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
