"""The frame of a page, and how values get into one: escaped, always. No script, nothing from another host."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from artdag_common.version import VERSION

STYLE = """:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto 2rem;\
padding:0 1rem}h1{font-size:1.4rem}code{font-size:1.1em}form{display:inline-block;margin:0 .5rem .5rem 0}\
button,input{font:inherit;padding:.4rem .9rem}footer{margin-top:3rem;opacity:.7;font-size:.85rem}"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
}

NO_REFERRER = {"Referrer-Policy": "no-referrer"}
"""Of pages without forms whose address may hold a token. With a form, browsers would send no Origin from them."""

SHOWN = ("/auth", "/login", "/logout")
"""Where refusals are pages, too."""


def wanted(request: Request) -> bool:
    """Return whether a request prefers a page to JSON: browsers say so, programs do not."""
    return "text/html" in request.headers.get("accept", "").lower()


def page(title: str, *blocks: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    """Return a page. ``blocks`` are HTML, made by the functions below; ``title`` is text."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · Art DAG</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{''.join(blocks)}</main>"
        f"<footer>Art DAG L1 {VERSION}</footer></body></html>"
    )
    return HTMLResponse(html, status, headers={**HEADERS, **(headers or {})})


def text(*sentences: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(' '.join(filter(None, sentences)))}</p>"


def code(value: str) -> str:
    """Return a paragraph that shows something to be compared letter by letter."""
    return f"<p><code>{escape(value)}</code></p>"


def link(address: str, label: str) -> str:
    """Return a paragraph with a link; the address is one of our own, or from the settings."""
    return f'<p><a href="{escape(address)}" rel="noreferrer">{escape(label)}</a></p>'


def button(action: str, label: str, **fields: str) -> str:
    """Return a form that sends these fields by POST at the press of a button."""
    hidden = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in fields.items())
    return f'<form method="post" action="{escape(action)}">{hidden}<button>{escape(label)}</button></form>'


def question(action: str, name: str, label: str, press: str) -> str:
    """Return a form that asks for one line of text and sends it by GET."""
    return (
        f'<form method="get" action="{escape(action)}"><label>{escape(label)} '
        f'<input name="{escape(name)}" autocomplete="off" autocapitalize="characters" spellcheck="false" required '
        f'maxlength="40"></label> <button>{escape(press)}</button></form>'
    )
