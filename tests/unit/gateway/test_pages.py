"""Pages and data at the same addresses; what pages are put together from."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Cookie, FastAPI, Header, Request
from markupsafe import Markup
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from artdag_common.config import Settings
from services.gateway.app import create_app
from services.gateway.headers import PAGE_POLICY, SafeHeaders
from services.gateway.web import home, pages, static_files, words
from services.gateway.web.asking import RefusedError, ask, content, read, told

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", ""),
        ("/runs", "/runs"),
        ("/run/1/plan", "/runs"),
        ("/recipe/x", "/recipes"),
        ("/media", "/media"),
        ("/cache/bafy", "/media"),
        ("/cache/gc", "/storage"),
        ("/storage/type/local", "/storage"),
    ],
)
def test_an_address_belongs_to_one_part_of_the_site(path: str, place: str) -> None:
    assert pages.place_of(path) == place


# --- who gets a page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept",
    [
        BROWSER,
        "text/html",
        "TEXT/HTML",
        "text/html; charset=utf-8",
        "application/json;q=0.5, text/html;q=0.6",
        "application/ld+json;q=0, text/html;q=0.1",
        "text/html, */*",
    ],
)
def test_a_page_for_who_names_html_first(accept: str) -> None:
    assert pages.prefers_page(Headers({"accept": accept}))


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "text/*",
        "text/html;q=0",
        "text/html;q=nonsense",
        "text/html, application/json",
        "text/html;q=0.9, application/json",
        "application/activity+json, text/html;q=0.5",
        'application/ld+json; profile="https://www.w3.org/ns/activitystreams", text/html;q=0.2',
        "text/event-stream",
        "image/png",
    ],
)
def test_data_for_everybody_else(accept: str) -> None:
    assert not pages.prefers_page(Headers({"accept": accept}))


def test_htmx_always_gets_a_page() -> None:
    assert pages.prefers_page(Headers({"hx-request": "true", "accept": "*/*"}))
    assert not pages.prefers_page(Headers({"hx-request": "false", "accept": "*/*"}))


# --- one address, two answers ---------------------------------------------------------------------------------------


@pytest.fixture
def app() -> FastAPI:
    """An API of two routes, a page at the address of one of them, and one that has an address to itself."""
    it = FastAPI()
    site = pages.router()

    @site.get("/things/{thing}")
    async def shown(request: Request, thing: str) -> Response:
        try:
            found = await ask(request, f"/things/{thing}", {"colour": "red & blue", "size": "", "weight": None})
        except RefusedError as refused:
            return JSONResponse({"refused": refused.problem, "headers": refused.headers}, 299)
        return Response(
            f"<p>{found['thing']} {found['colour']} {found['cookie']} {found['bearer']}", 200, None, "text/html"
        )

    @it.get("/things/{thing}")
    async def data(
        request: Request,
        thing: str,
        colour: str = "",
        artdag_token: Annotated[str, Cookie()] = "",
        authorization: Annotated[str, Header()] = "",
        if_none_match: Annotated[str, Header()] = "",
    ) -> Response:
        if thing == "gone":
            problem = {"status": 410, "detail": "it is gone"}
            return JSONResponse(problem, 410, {"Retry-After": "7", "X-Other": "no"})
        return JSONResponse(
            {
                "thing": thing,
                "colour": colour,
                "cookie": artdag_token,
                "bearer": authorization,
                "tag": if_none_match,
                "query": str(request.query_params),
                "path": request.url.path,
            }
        )

    routes = it.router.routes[:]
    it.router.routes.clear()
    it.include_router(site)
    it.include_router(pages.aliases({"/thing/{thing}/view": "/things/{thing}"}))
    it.router.routes.extend(routes)
    return it


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as it:
        yield it


async def test_browsers_get_the_page_and_programs_the_data(client: httpx.AsyncClient) -> None:
    page = await client.get("/things/a", headers={"Accept": BROWSER})
    assert page.headers["content-type"].startswith("text/html")
    data = await client.get("/things/a")
    assert data.json()["thing"] == "a"


async def test_a_page_asks_as_its_reader_would(client: httpx.AsyncClient) -> None:
    headers = {"Accept": BROWSER, "Cookie": "artdag_token=t", "Authorization": "Bearer b", "If-None-Match": "x"}
    page = await client.get("/things/a%20b?colour=green", headers=headers)
    assert page.text == "<p>a b red & blue t Bearer b"


async def test_what_a_page_asks_for_has_nothing_of_its_own_request(client: httpx.AsyncClient, app: FastAPI) -> None:
    asked: list[dict[str, Any]] = []
    site = pages.router()

    @site.get("/other")
    async def other(request: Request) -> Response:
        asked.append(await ask(request, "/things/x"))
        return Response("", 200, None, "text/html")

    app.include_router(site)
    await client.get("/other?colour=green", headers={"Accept": BROWSER, "If-None-Match": '"x"', "Range": "bytes=0-1"})
    assert asked == [
        {"thing": "x", "colour": "", "cookie": "", "bearer": "", "tag": "", "query": "", "path": "/things/x"}
    ]


async def test_a_refusal_is_told_with_what_it_was_sent_with(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things/gone", headers={"Accept": BROWSER})
    assert answer.status_code == 299
    assert answer.json() == {"refused": {"status": 410, "detail": "it is gone"}, "headers": {"retry-after": "7"}}


async def test_a_text_is_read_and_a_refusal_is_none(client: httpx.AsyncClient, app: FastAPI) -> None:
    site = pages.router()

    @site.get("/read/{there:path}")
    async def page(request: Request, there: str) -> Response:
        try:
            return Response(await read(request, f"/{there}"), 200, None, "text/plain")
        except RefusedError as refused:
            return JSONResponse(refused.headers, 299)

    @app.get("/text")
    async def text() -> Response:
        return Response("caf\u00e9 \udcff".encode("utf-8", "surrogateescape"))

    app.include_router(site)
    assert (await client.get("/read/text", headers={"Accept": BROWSER})).text == "caf\u00e9 \ufffd"
    refused = await client.get("/read/things/gone", headers={"Accept": BROWSER})
    assert (refused.status_code, refused.json()) == (299, {"retry-after": "7"})


async def test_what_is_not_to_be_had_is_nothing_and_what_nobody_can_say_is_told(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    site = pages.router()

    @app.get("/cache/{cid}")
    async def known(cid: str) -> Response:
        status = {"here": 200, "gone": 404, "hidden": 403}.get(cid, 503)
        return JSONResponse({"cid": cid, "status": status, "detail": "so it is", "name": "a name"}, status)

    @site.get("/shown/{cid}")
    async def shown(request: Request, cid: str) -> Response:
        try:
            found = await content(request, cid)
        except RefusedError as refused:
            return JSONResponse({"refused": refused.problem["status"]})
        assert (await told(request, f"/cache/{cid}") is None) is (found["name"] == "")
        return JSONResponse(found)

    app.include_router(site)

    async def asked(cid: str) -> Any:
        return (await client.get(f"/shown/{cid}", headers={"Accept": BROWSER})).json()

    assert (await asked("here"))["name"] == "a name"
    for cid in ("gone", "hidden"):
        assert {"cid": cid, "name": "", "media_type": "", "preview": {}}.items() <= (await asked(cid)).items()
    assert await asked("unknowable") == {"refused": 503}


async def test_an_alias_gives_the_answer_of_the_api(client: httpx.AsyncClient) -> None:
    answer = await client.get("/thing/a b/view?colour=green&colour=red", headers={"If-None-Match": '"x"'})
    assert answer.json()["path"] == "/things/a b"
    assert answer.json()["query"] == "colour=green&colour=red"
    refused = await client.get("/thing/gone/view")
    assert (refused.status_code, refused.headers["retry-after"], refused.headers["x-other"]) == (410, "7", "no")


# --- the whole application, connected to nothing --------------------------------------------------------------------


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway."""
    unwatched = SimpleNamespace(note=lambda *_: None)
    app = create_app(SimpleNamespace(pool=None, settings=Settings.model_validate({}), auditing=unwatched))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as it:
        yield it


async def test_a_problem_is_a_page_for_browsers_and_a_document_for_programs(site: httpx.AsyncClient) -> None:
    page = await site.get("/nothing/here", headers={"Accept": BROWSER})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"] == PAGE_POLICY
    assert page.headers["cache-control"] == "no-store"
    assert {"Accept", "HX-Request", "Cookie"} <= set(page.headers["vary"].split(", "))
    assert "<h1" in page.text
    data = await site.get("/nothing/here")
    assert data.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "address",
    [
        "/runs/compare?a=x/events&b=y",
        "/runs/compare?a=x&b=y/events",
        "/recipe/r?from=x/events",
        "/recipe/r?media=c/raw",
        "/recipes?media=c/raw",
    ],
)
async def test_what_an_address_names_leads_to_no_other_answer_of_the_api(site: httpx.AsyncClient, address: str) -> None:
    """Else a page would wait for the end of a stream of events, or read a film as if it were words."""
    assert (await site.get(address, headers={"Accept": BROWSER})).status_code == 422


async def test_who_signs_in_comes_back_to_the_same_page(site: httpx.AsyncClient) -> None:
    page = await site.get("/nothing/here?status=failed&owner=me", headers={"Accept": BROWSER})
    assert 'href="/auth?next=/nothing/here%3Fstatus%3Dfailed%26owner%3Dme"' in page.text


async def test_what_a_page_says_cannot_become_part_of_it(site: httpx.AsyncClient) -> None:
    page = await site.get("/nothing/%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'", headers={"Accept": BROWSER})
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


@pytest.mark.parametrize(
    ("chosen", "told"), [("dark", ' data-theme="dark"'), ("light", ' data-theme="light"'), ('x"', "")]
)
async def test_a_chosen_theme_is_there_from_the_first_byte(site: httpx.AsyncClient, chosen: str, told: str) -> None:
    page = await site.get("/nothing/here", headers={"Accept": BROWSER, "Cookie": f"{pages.THEME}={chosen}"})
    assert f'<html lang="en"{told}>' in page.text


def test_small_pages_escape_what_they_show() -> None:
    evil = '"><script>'
    for made in (pages.text(evil), pages.code(evil), pages.link(evil, evil), pages.button(evil, evil, a=evil)):
        assert "<script>" not in made
    assert "<script>" not in pages.question(evil, evil, evil, evil)
    assert pages.text("one", "", "two") == Markup("<p>one two</p>")


def test_a_run_that_ends_while_it_is_asked_for_stands_on_the_page_once() -> None:
    def run(name: str, status: str) -> dict[str, Any]:
        return {"run_id": name, "status": status}

    newest = [run("a", "completed"), run("b", "running"), run("c", "cancelled")]
    going = [[run("a", "running"), run("b", "running")], [], [run("b", "requested"), run("d", "requested")], []]
    now, over = home.parted(newest, going)
    assert [each["run_id"] for each in now] == ["b", "d"]
    assert [each["run_id"] for each in over] == ["a", "c"]


# --- scripts and styles ---------------------------------------------------------------------------------------------


async def test_a_file_is_kept_for_good_by_everybody(site: httpx.AsyncClient) -> None:
    answer = await site.get(static_files.address("app.css"), headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in answer.headers
    assert answer.content == (static_files.FOLDER / "app.css").read_bytes()


async def test_a_file_is_packed_for_who_takes_it(site: httpx.AsyncClient) -> None:
    where = static_files.address("htmx.min.js")
    plain = (static_files.FOLDER / "htmx.min.js").read_bytes()
    async with site.stream("GET", where, headers={"Accept-Encoding": "br, gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    assert gzip.decompress(packed) == plain
    assert int(answer.headers["content-length"]) == len(packed) < len(plain) / 2


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
    ],
)
def test_who_takes_gzip(header: str, takes: bool) -> None:
    assert static_files.takes_gzip(header) is takes


@pytest.mark.parametrize(
    "path",
    [
        "/static/any/app.css",
        "/static/0000000000000000/none.css",
        "/static/{}/none.css",
        "/static/{}/%2e%2e/words.py",
        "/static/{}/",
    ],
)
async def test_nothing_else_is_given_out(site: httpx.AsyncClient, path: str) -> None:
    answer = await site.get(path.format(static_files.digest()))
    assert answer.status_code == 404


@pytest.mark.parametrize("packing", ["gzip", "identity"])
@pytest.mark.parametrize("name", ["app.js", "icon.svg"])
async def test_a_page_of_another_version_gets_what_is_here_and_nobody_keeps_it(
    site: httpx.AsyncClient, name: str, packing: str
) -> None:
    wanted = {"accept-encoding": packing}
    other = await site.get(f"/static/0123456789abcdef/{name}", headers=wanted)
    own = await site.get(static_files.address(name), headers=wanted)
    assert other.status_code == own.status_code == 200
    assert other.content == own.content
    assert other.headers["content-type"] == own.headers["content-type"]
    assert other.headers["cache-control"] == "no-store", "a cache would give it to pages of the version it is not of"
    assert own.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_address_names_the_content(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_files, "FOLDER", tmp_path)
    seen = set()
    for written in ("a", "b"):
        (tmp_path / "app.js").write_text(written)
        static_files.digest.cache_clear()
        seen.add(static_files.address("app.js"))
    (tmp_path / "app.js").rename(tmp_path / "other.js")
    static_files.digest.cache_clear()
    seen.add(static_files.address("app.js"))
    static_files.digest.cache_clear()
    assert len(seen) == 3
    assert all(re.fullmatch(r"/static/[0-9a-f]{16}/app\.js", each) for each in seen)


async def test_what_everybody_may_keep_does_not_hang_on_who_asks() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        response = Response("x", headers={"Cache-Control": scope["kept"]})
        await response(scope, receive, send)

    varies = []
    for kept in ("public, max-age=1", "private"):

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                varies.append(dict(message["headers"]).get(b"vary"))

        await SafeHeaders(inner, "http://localhost")({"type": "http", "kept": kept}, None, send)  # type: ignore[arg-type]
    assert varies == [None, b"Accept, Authorization, Cookie, HX-Request"]


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1500, "1.5 kB"),
        (99_940, "99.9 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (20 * 2**30, "21.5 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes(count: int | None, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0.0, "0 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (1.0, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00"),
        (60.0, "1:00"),
        (75.4, "1:15"),
        (3599.6, "1:00:00"),
        (3700.0, "1:01:40"),
    ],
)
def test_times(value: float | None, said: str) -> None:
    assert words.seconds(value) == said
    assert words.milliseconds(None if value is None else value * 1000) == said


def test_counts() -> None:
    assert words.number(12_345) == "12\u202f345"
    assert words.plural(1, "step") == "1 step"
    assert words.plural(0, "step") == "0 steps"
    assert words.plural(1000, "entry", "entries") == "1\u202f000 entries"


def test_ids() -> None:
    assert words.short("") == words.short(None) == "–"
    assert words.short("a" * 12) == "a" * 12
    assert words.short("a" * 13) == "a" * 12 + "…"


def test_moments() -> None:
    whole = '<time datetime="2026-01-07T12:00:00Z" title="2026-01-07 12:00:00 UTC">2026-01-07 12:00 UTC</time>'
    for given in ("2026-01-07T12:00:00Z", "2026-01-07T13:00:00+01:00", datetime(2026, 1, 7, 12, tzinfo=UTC)):
        assert str(words.when(given)) == whole
    assert words.when(None) == words.when("") == "–"


def test_how_things_stand() -> None:
    assert words.status("analyzing") == "analysing"
    assert words.status("something new") == "something new"
