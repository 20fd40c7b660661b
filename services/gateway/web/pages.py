"""Pages: what people see at the addresses at which programs get JSON.

A page is a client of the API: it shows what :func:`services.gateway.web.asking.ask` answers there, under the same
rules, and its buttons send what a program would send (``static/forms.js``). No script or style stands in a page, and
nothing comes from another host.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from fastapi import APIRouter
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from artdag_common.domain.access import OWNER
from artdag_common.errors import ArtdagError
from artdag_common.eventstore.postgres import LOST
from artdag_common.version import VERSION
from services.gateway.access import COOKIE
from services.gateway.arriving import local_path
from services.gateway.parts import Gateway
from services.gateway.web import words
from services.gateway.web.asking import passed_on, who
from services.gateway.web.refusals import refusal_of
from services.gateway.web.static_files import address
from services.gateway.web.words import when

TEMPLATES = Path(__file__).with_name("templates")
HTML = "text/html"
PLACEHOLDER = re.compile(r"{[^}]+}")
DATA = ("application/json", "application/activity+json", "application/ld+json")
THEMES = ("light", "dark")
THEME = "artdag_theme"
"""Cookie of the theme that somebody chose; else the system's is taken."""

TOKEN_PATHS = ("/auth", "/login")
"""Addresses that may hold a token."""

NO_REFERRER = {"Referrer-Policy": "no-referrer"}
"""Of pages at such addresses that have no form: browsers send no Origin with it, and neither with the forms of pages
that come in their place without a load, so that none does."""

NO_STORE = {"Cache-Control": "no-store"}
WHO_SECONDS = 5.0
TOO_MANY = 429
"""From this status on nobody is asked who is signed in: it would cost what there is not enough of."""

PLACES = (
    ("/runs", "Runs", ("/runs", "/run/")),
    ("/recipes", "Recipes", ("/recipes", "/recipe/")),
    ("/effects", "Effects", ("/effects",)),
    ("/media", "Media", ("/media", "/cache")),
    ("/storage", "Storage", ("/storage", "/cache/gc")),
)
"""The parts of the site: address, name, and with what the addresses of a part begin."""

OPERATED = (("/ops", "Ops", ("/ops",)),)
"""Those that are the operator's."""


def place_of(path: str) -> str:
    """Return the address of the part of the site that an address belongs to; empty: to none."""
    places = (*PLACES, *OPERATED)
    fitting = [(len(begin), there) for there, _, begins in places for begin in begins if path.startswith(begin)]
    return max(fitting, default=(0, ""))[1]


def wanted(request: Request) -> bool:
    """Return whether a request prefers a page to data: browsers do when somebody goes somewhere, programs do not."""
    return prefers_page(request.headers)


def prefers_page(headers: Headers) -> bool:
    """Return whether these headers ask for a page: they name HTML, and no kind of data before it (RFC 9110, 12.5.1)."""
    if headers.get("hx-request") == "true":
        return True
    weights = dict(_weights(headers.get("accept", "")))
    page = weights.get(HTML, 0.0)
    return page > 0 and all(weights.get(kind, 0.0) < page for kind in DATA)


def _weights(accept: str) -> list[tuple[str, float]]:
    found = []
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            found.append((kind, float(weight)))
        except ValueError:
            found.append((kind, 0.0))
    return found


class PageRoute(APIRoute):
    """A route for those who want a page; for everybody else the API's route of the same address follows."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether this is the route."""
        if scope["type"] != "http" or not prefers_page(Headers(scope=scope)):
            return Match.NONE, {}
        return super().matches(scope)


def aliases(addresses: Mapping[str, str]) -> APIRouter:
    """Return a router that gives programs the API's answer at the addresses of pages.

    Args:
        addresses: that of a page → that of the API; in braces what both have.
    """
    found = APIRouter(include_in_schema=False)
    for there, api in addresses.items():
        found.add_api_route(there, _alias(api), methods=["GET"])
    return found


def _alias(api: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await passed_on(request, api.format(**request.path_params))

    return answer


def router() -> APIRouter:
    """Return a router for pages. It has to be included before those of the API."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def name_pages(paths: dict[str, Any], site: Sequence[APIRouter]) -> None:
    """Say in an OpenAPI document where browsers get pages.

    Args:
        paths: of the document.
        site: the routers of all pages.
    """
    routes = [each for router in site for each in router.routes]
    places = {PLACEHOLDER.sub("{}", each.path) for each in routes if isinstance(each, PageRoute)}
    for there, operations in paths.items():
        if "get" in operations and PLACEHOLDER.sub("{}", there) in places:
            content = operations["get"]["responses"]["200"].setdefault("content", {})
            content[HTML] = {"schema": {"type": "string"}, "example": "<!doctype html>…"}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= words.FILTERS
    environment.globals |= {"static": address, "version": VERSION}
    return environment


async def page(
    request: Request, template: str, status_code: int = 200, headers: dict[str, str] | None = None, **shown: Any
) -> Response:
    """Return a page.

    Args:
        request: what it answers.
        template: its file's name in ``templates/``.
        status_code: of the answer.
        headers: of the answer.
        shown: what the template takes.
    """
    parts: Gateway = request.app.state.gateway
    chosen = request.cookies.get(THEME, "")
    me = await signed_in(request) if status_code < HTTPStatus.BAD_REQUEST else await _known(request, status_code)
    html = (
        _environment()
        .get_template(template)
        .render(
            path=request.url.path,
            current=place_of(request.url.path),
            back="/" if request.url.path in TOKEN_PATHS else here(request),
            places=(*PLACES, *OPERATED) if me and await _operates(request) else PLACES,
            me=me,
            shared=parts.settings.shared,
            theme=chosen if chosen in THEMES else "",
            **shown,
        )
    )
    return HTMLResponse(html, status_code, {"Vary": "Accept, HX-Request"} | (headers or {}))


async def signed_in(request: Request) -> str:
    """Return the handle of who is signed in; empty: nobody."""
    parts: Gateway = request.app.state.gateway
    if "authorization" not in request.headers and COOKIE not in request.cookies:
        return ""
    try:
        user = await who(request)
        return await parts.people.handle(user) if user else ""
    except (ArtdagError, asyncpg.PostgresError, *LOST):
        return ""  # what is wrong is said by the page, or by whatever it asks


async def _operates(request: Request) -> bool:
    """Return whether it is the operator who is signed in."""
    try:
        return await who(request) == OWNER
    except (ArtdagError, asyncpg.PostgresError, *LOST):
        return False


async def problem_page(request: Request, problem: dict[str, Any], headers: dict[str, str]) -> Response:
    """Return a page that says what a problem response (RFC 9457) says."""
    secret = request.url.path in TOKEN_PATHS
    return await page(
        request,
        "problem.html",
        problem["status"],
        NO_STORE | (NO_REFERRER if secret else {}) | headers,
        problem={"hint": ""} | problem,
        told=refusal_of(problem, request.url.path, headers),
        repeatable=request.method in ("GET", "HEAD") and not secret,
        here="/" if secret else here(request),
        boost="false" if secret else "true",
    )


async def _known(request: Request, status_code: int) -> str | None:
    """Return who is signed in, as far as that is told at once; None: nobody was asked, or nothing was heard.

    What is wrong, and is to be told here, may be that the servers that know do not answer.
    """
    if status_code >= TOO_MANY:
        return None
    asking = asyncio.create_task(signed_in(request))
    done, _ = await asyncio.wait({asking}, timeout=WHO_SECONDS)
    if not done:
        asking.cancel()  # and not waited for: the driver takes its time to give up
        return None
    return asking.result()


def here(request: Request) -> str:
    """Return the address of a request as a link that leads nowhere else."""
    query = request.scope["query_string"].decode("latin-1")
    return local_path(quote(request.scope["path"]) + (f"?{query}" if query else "")) or "/"


async def sheet(
    request: Request, title: str, *blocks: Markup, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a page of a few sentences and buttons, of :func:`text` and its like; ``title`` is text."""
    shown = NO_STORE | (headers or {})
    return await page(request, "sheet.html", status, shown, heading=title, blocks=blocks)


def text(*sentences: str) -> Markup:
    """Return a paragraph. What stands between backticks is shown as it is to be typed."""
    parts = " ".join(filter(None, sentences)).split("`")
    plain, typed = Markup("{}"), Markup("<code>{}</code>")
    shown = [(typed if index % 2 else plain).format(part) for index, part in enumerate(parts)]
    return Markup("<p>{}</p>").format(Markup("").join(shown))


def code(value: str) -> Markup:
    """Return a paragraph that shows something to be compared letter by letter."""
    return Markup('<p><code class="rounded-lg bg-sunk px-3 py-2 text-2xl tracking-widest">{}</code></p>').format(value)


def link(there: str, label: str, tone: str = "main") -> Markup:
    """Return a link that looks like a button; the address is one of our own, or from the settings."""
    look = f"button button-{tone}" if tone else "button"
    return Markup('<p><a class="{}" href="{}" rel="noreferrer">{}</a></p>').format(look, there, label)


def until(said: str, unix_seconds: int) -> Markup:
    """Return a paragraph that says until when something holds; 0: for good."""
    if not unix_seconds:
        return text(f"{said} you sign out.")
    return Markup("<p>{} {}.</p>").format(said, when(datetime.fromtimestamp(unix_seconds, UTC)))


def row(*blocks: Markup) -> Markup:
    """Return blocks side by side, as far as there is room."""
    return Markup('<div class="flex flex-wrap gap-2">{}</div>').format(Markup("").join(blocks))


def panel(title: str, *blocks: Markup) -> Markup:
    """Return blocks that belong together."""
    inside = Markup("").join(blocks)
    return Markup('<section class="panel flex flex-col gap-3 p-5"><h2>{}</h2>{}</section>').format(title, inside)


def button(action: str, label: str, tone: str = "", **fields: str) -> Markup:
    """Return a form that sends these fields by POST at the press of a button; ``tone``: main or bad."""
    hidden = Markup("").join(
        Markup('<input type="hidden" name="{}" value="{}">').format(name, value) for name, value in fields.items()
    )
    return Markup(
        '<form method="post" action="{}" class="inline-flex">{}<button class="button{}">{}</button></form>'
    ).format(action, hidden, f" button-{tone}" if tone else "", label)


def question(action: str, name: str, label: str, press: str) -> Markup:
    """Return a form that asks for one line of text and sends it by GET."""
    return Markup(
        '<form method="get" action="{}" class="field max-w-xs"><label for="asked">{}</label><input class="input"'
        ' id="asked" name="{}" autocomplete="off" autocapitalize="characters" spellcheck="false" required'
        ' maxlength="40"> <button class="button button-main">{}</button></form>'
    ).format(action, label, name, press)
