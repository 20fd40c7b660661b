"""The running server against what is sent to harm it or its users: pages, bodies, names, methods."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.system import System
from artdag_common.connections import SAFE_HEADERS
from services.gateway.access import COOKIE
from services.gateway.headers import safe_headers

Problem = Callable[..., dict[str, Any]]

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
ACTIVE = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "svg.xml": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "indented.html": b" \n\t<html><body onload=alert(1)>",
    "xml": b'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="a.xsl"?><a/>',
    "pdf": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj",
    "js": b"alert(1)",
    "mjs": b"export default 1",
    "css": b"body{background:url(//example.org)}",
    "swf": b"FWS\x0a1234",
    "unknown": bytes(range(1, 65)),
    "empty": b"",
}
KINDS = {
    "form": "application/x-www-form-urlencoded",
    "multipart": "multipart/form-data; boundary=x",
    "text": "text/plain",
    "json": "application/json",
    "bytes": "application/offset+octet-stream",
    "yaml": "application/yaml",
}
WRITES = [
    ("POST", "/cache/upload"),
    ("POST", "/cache/uploads"),
    ("PATCH", "/cache/uploads/x"),
    ("POST", "/cache/uploads/x"),
    ("DELETE", "/cache/uploads/x"),
    ("POST", "/recipes/upload"),
    ("POST", "/effects/upload"),
    ("POST", "/runs"),
    ("POST", "/storage"),
    ("DELETE", "/runs/x"),
]


def raw(live: System, request: bytes) -> bytes:
    """Send bytes to the gateway, and return everything that comes until it closes."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as client:
        client.sendall(request)
        found = b""
        while data := client.recv(1 << 16):
            found += data
        return found


async def uploaded(api: httpx.AsyncClient, name: str, data: bytes, kind: str = "text/html") -> str:
    """Upload a file and return its CID."""
    answer = await api.post("/cache/upload", files={"file": (name, data, kind)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["cid"])


# --- what every answer says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        "GET /health",
        "GET /",
        "GET /runs",
        "HEAD /runs",
        "OPTIONS /runs",
        "GET /openapi.json",
        "GET /docs",
        "GET /static-offline-docs/swagger-ui.css",
        "GET /nothing",
        "PUT /runs",
        "POST /runs",
        "GET /runs?limit=0",
        "GET /login?token=wrong",
        "GET /cache/nonsense",
    ],
)
async def test_every_answer_is_safe_to_read_and_kept_by_nobody_else(stranger: httpx.AsyncClient, request_: str) -> None:
    method, path = request_.split()
    answer = await stranger.request(method, path)
    for name, value in SAFE_HEADERS.items():
        said = answer.headers[name]
        assert said == value or name == "Content-Security-Policy"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert {"Authorization", "Cookie"} <= {each.strip() for each in answer.headers["vary"].split(",")}
    assert answer.headers["cache-control"] in ("private, no-cache", "no-store")
    assert answer.headers["cache-control"] == "no-store" or answer.status_code < 400
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_only_a_server_with_tls_asks_for_tls() -> None:
    assert "Strict-Transport-Security" in safe_headers("https://l1.example.org")
    assert "Strict-Transport-Security" not in safe_headers("http://localhost:8100")


async def test_the_page_of_the_api_runs_its_own_scripts_only(stranger: httpx.AsyncClient) -> None:
    page = await stranger.get("/docs")
    policy = page.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "unsafe-eval" not in policy
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert linked
    for each in linked:
        assert each.startswith("/"), each
        assert (await stranger.get(each)).status_code == 200


# --- active content -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVE)
async def test_what_could_act_is_a_file_to_save(api: httpx.AsyncClient, name: str) -> None:
    cid = await uploaded(api, f"a.{name}", ACTIVE[name] + (name.encode() if name != "empty" else b""))
    for path in (f"/cache/{cid}/raw", f"/ipfs/{cid}/raw"):
        for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-3"}), ("GET", {"Accept": "*/*"})):
            if name == "empty" and headers:
                continue
            answer = await api.request(method, path, headers=headers)
            assert answer.status_code in (200, 206)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["content-disposition"].startswith("attachment;")
            assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
            assert "Authorization" in answer.headers["vary"]


async def test_what_plays_is_shown_as_what_it_is_whatever_was_claimed(api: httpx.AsyncClient) -> None:
    cid = await uploaded(api, "a.svg", GIF + b"<script>alert(1)</script>", "image/svg+xml")
    answer = await api.get(f"/cache/{cid}/raw")
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["content-disposition"].startswith("inline;")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


async def test_an_effects_source_does_not_act(api: httpx.AsyncClient) -> None:
    answer = await api.get("/effects/dog/source")
    assert answer.headers["content-type"].startswith("text/x-python")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    "name",
    ['a"; filename=b.html', "a%0d%0aSet-Cookie: x=y", "../../etc/passwd", "a\\b;c", "наш дом.mp4", "a'b.png", "100 %"],
)
async def test_no_name_breaks_out_of_its_header(api: httpx.AsyncClient, name: str) -> None:
    data = b"\0" + uuid4().bytes  # of no kind that is shown: what begins with a bracket passes for JSON
    answer = await api.post("/cache/upload", files={"file": ("a", data)}, data={"name": name})
    assert answer.status_code == 201, answer.text
    got = await api.get(f"/cache/{answer.json()['cid']}/raw")
    assert "set-cookie" not in got.headers
    said = got.headers["content-disposition"]
    form = re.fullmatch(r"attachment; filename=\"([\x20-\x7e]*)\"; filename\*=UTF-8''([A-Za-z0-9%._~-]+)", said)
    assert form, said
    assert not set('"\\/;%') & set(form[1])


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=y", "a\0b", "a\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe", "\x1b[2J"])
async def test_names_that_are_not_text_are_refused(api: httpx.AsyncClient, problem: Problem, name: str) -> None:
    answer = await api.post("/cache/upload", files={"file": ("a", uuid4().bytes)}, data={"name": name})
    problem(answer, 422, "invalid-request")


# --- other origins --------------------------------------------------------------------------------------------------


async def test_no_other_origin_is_let_in_by_a_preflight(stranger: httpx.AsyncClient, problem: Problem) -> None:
    for origin in ("https://example.org", "http://localhost:3000", "null"):
        for path in ("/runs", "/cache/upload", "/cache/uploads/x", "/storage", "/nothing"):
            headers = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
            answer = await stranger.options(path, headers=headers)
            problem(answer, 403, "foreign-origin")
            assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_cookie_alone_writes_nothing(
    live: System, url: str, problem: Problem, method: str, path: str, kind: str
) -> None:
    """Whatever a form, a script or a plug-in of another page can send."""
    cookie = {"Cookie": f"{COOKIE}={live.token}", "Content-Type": KINDS[kind], "Tus-Resumable": "1.0.0"}
    async with httpx.AsyncClient(base_url=url, timeout=60) as browser:
        for told in (
            {},
            {"Origin": "null"},
            {"Origin": "https://example.org"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": url + ".example.org"},
            {"Origin": url, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            {"Referer": url},
        ):
            answer = await browser.request(method, path, content=b"", headers=cookie | told)
            problem(answer, 403, "foreign-origin")


async def test_another_page_hears_and_reads_nothing_with_our_cookie(live: System, url: str, problem: Problem) -> None:
    """Cookies know no ports: a page on another port of this machine would come with ours."""
    headers = {"Cookie": f"{COOKIE}={live.token}", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    async with httpx.AsyncClient(base_url=url, timeout=60) as browser:
        for site in ("same-site", "cross-site"):
            for path in ("/runs", "/runs/x/events", "/storage", "/cache"):
                answer = await browser.get(path, headers=headers | {"Sec-Fetch-Site": site})
                problem(answer, 403, "foreign-origin")
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert (await browser.get("/runs", headers=headers | link)).status_code == 200
        assert (await browser.get("/runs", headers=headers | {"Sec-Fetch-Site": "same-origin"})).status_code == 200


@pytest.mark.parametrize(
    ("target", "host", "more", "status"),
    [
        ("/health", "LocalHost", "", 200),
        ("/health", "127.0.0.1:8100", "", 200),
        ("/health", "[::1]:8100", "", 200),
        ("/health", "localhost", "X-Forwarded-Host: example.org", 200),
        ("http://localhost/health", "example.org", "", 200),
        ("/health", "example.org", "X-Forwarded-Host: localhost", 403),
        ("/health", "example.org", "Forwarded: host=localhost", 403),
        ("http://example.org/health", "localhost", "", 403),
        ("http://localhost@example.org/health", "localhost", "", 403),
        ("/health", "localhost.", "", 403),
        ("/health", "localhost.example.org", "", 403),
        ("/health", "localhost@example.org", "", 403),
        ("/health", "example.org@localhost", "", 403),
        ("/health", "localhost/../example.org", "", 403),
        ("/health", "localhost#example.org", "", 403),
        ("/health", "localhost?example.org", "", 403),
        ("/health", "localhost:80:80", "", 403),
        ("/health", "localhost:99999", "", 403),
        ("/health", "[::1", "", 403),
        ("/health", "[::1%25lo]", "", 403),
        ("/health", "0.0.0.0", "", 403),
        ("/health", "2130706433", "", 403),
        ("/health", "127.1", "", 403),
        ("/health", "\xb9\xb2\xb7.0.0.1", "", 403),
    ],
)
def test_only_our_own_names_are_answered(live: System, target: str, host: str, more: str, status: int) -> None:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *filter(None, [more]), "", ""]
    answer = raw(live, "\r\n".join(lines).encode("latin-1"))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"example.org" not in answer.lower() or status == 403


# --- bodies ---------------------------------------------------------------------------------------------------------


async def endless() -> AsyncIterator[bytes]:
    """A body that comes in chunks, and does not say how many."""
    for _ in range(64):
        yield b" " * 65_536


BODIES = [
    ("POST", "/runs"),
    ("POST", "/runs/x/cancel"),
    ("POST", "/api/plan"),
    ("POST", "/recipes/x/run"),
    ("PATCH", "/cache/x/meta"),
    ("POST", "/cache/x/publish"),
    ("POST", "/storage"),
    ("POST", "/storage/add"),
    ("POST", "/recipes/upload"),
    ("POST", "/effects/upload"),
    ("GET", "/runs"),
    ("DELETE", "/runs/x"),
    ("POST", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("kind", ["json", "form"])
async def test_bodies_that_are_too_large_are_refused_whether_they_say_so_or_not(
    api: httpx.AsyncClient, problem: Problem, method: str, path: str, kind: str
) -> None:
    headers = {"Content-Type": KINDS[kind]}
    announced = await api.request(method, path, content=b" " * (3 << 20), headers=headers)
    problem(announced, 413, "content-too-large")
    problem(await api.request(method, path, content=endless(), headers=headers), 413, "content-too-large")


async def test_what_says_that_it_is_too_large_is_refused_before_it_comes(live: System) -> None:
    head = f"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 40}\r\nExpect: 100-continue\r\n\r\n"
    answer = raw(live, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("path", ["/runs", "/recipes/upload", "/cache/upload", "/cache/uploads", "/storage"])
async def test_packed_bodies_are_not_unpacked(api: httpx.AsyncClient, problem: Problem, path: str) -> None:
    for coding in ("gzip", "br", "zstd", "deflate", "identity, gzip"):
        answer = await api.post(path, content=gzip.compress(bytes(1 << 20)), headers={"Content-Encoding": coding})
        problem(answer, 415, "unsupported-content-type")
        assert answer.headers["accept-encoding"] == "identity"


def test_a_framing_that_is_not_known_is_refused(live: System) -> None:
    head = b"POST /runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    assert raw(live, head + b"0\r\n\r\n").startswith(b"HTTP/1.1 415 ")


@pytest.mark.parametrize("path", ["/runs", "/api/plan", "/recipes/x/run", "/storage/add", "/storage/x/test"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"recipe": "dog", "recipe": "identity", "inputs": []}',
        b'{"recipe": "\\u0000", "name": "\\u0000", "inputs": ["\\u0000"]}',
        b'{"recipe": "\\ud800", "inputs": ["\\udfff"]}',
        b'{"recipe": "dog", "inputs": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b'{"recipe": "dog", "inputs": {"a": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}}",
        b'{"capacity_bytes": 99999999999999999999999999, "recipe": "dog"}',
        b'{"capacity_bytes": 1e999, "recipe": "dog"}',
        b'{"recipe": NaN}',
        b"\xff\xfe",
        b"{",
        b'"a"',
    ],
    ids=lambda it: str(it[:40]) if isinstance(it, bytes) else it,
)
async def test_json_that_means_several_things_or_nothing_is_refused(
    api: httpx.AsyncClient, problem: Problem, path: str, body: bytes
) -> None:
    answer = await api.post(path, content=body, headers={"Content-Type": "application/json"})
    if path == "/storage/x/test" and body == b'"a"':  # takes no body, and this is JSON
        problem(answer, 404, "storage-not-found")
    else:
        problem(answer, 422, "invalid-request")


@pytest.mark.parametrize("text", ['"a\\0b"', '"\\ud800"', '"\\udfff"', '"\\uD83D"'])
@pytest.mark.parametrize("field", ["name", "description", "owner", "version"])
async def test_yaml_with_text_that_no_database_holds_is_refused(
    api: httpx.AsyncClient, problem: Problem, chain_text: Callable[[str, int], str], field: str, text: str
) -> None:
    recipe = re.sub(rf"^{field}:.*\n", "", chain_text("x", 1), flags=re.MULTILINE) + f"{field}: {text}\n"
    answer = await api.post("/recipes/upload", content=recipe, headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/cache/upload", "/recipes/upload", "/effects/upload", "/storage"])
@pytest.mark.parametrize("shape", ["parts", "fields", "header", "headers", "boundary", "unfinished"])
async def test_forms_that_are_made_to_be_much_work_are_refused(api: httpx.AsyncClient, path: str, shape: str) -> None:
    def part(header: str = "", name: str = "a", file: bool = False) -> str:
        shown = f'; filename="{name}"' if file else ""
        return f'--x\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n{header}\r\nv\r\n'

    body = {
        "parts": part(file=True) * 100_000,
        "fields": "".join(part(name=str(i)) for i in range(2000)),
        "header": part("X: " + "a" * 1_000_000 + "\r\n"),
        "headers": part("X: a\r\n" * 10_000),
        "boundary": "--x\r\n" * 10_000,
        "unfinished": part(),
    }[shape] + ("" if shape == "unfinished" else "--x--\r\n")
    answer = await api.post(path, content=body.encode(), headers={"Content-Type": KINDS["multipart"]})
    assert answer.status_code in (400, 413, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/runs/%00", "/cache?name=%00", "/cache?tag=a%00b", "/recipes/%00", "/effects/a%00", "/runs?cursor=%00"]
)
async def test_nul_in_an_address_is_refused(api: httpx.AsyncClient, problem: Problem, path: str) -> None:
    problem(await api.get(path), 422, "invalid-request")


@pytest.mark.parametrize(
    "text", ["%ED%A0%80", "%C0%80", "%FF%FE", "%F4%90%80%80", "%E2%80%AE", "a" * 5000, "%25%30%30"]
)
@pytest.mark.parametrize(
    "path",
    ["/runs/{}", "/cache/{}", "/cache?name={}", "/cache?tag={}", "/recipes/{}", "/effects/{}", "/runs?cursor={}"],
)
async def test_text_that_is_not_text_finds_nothing_and_breaks_nothing(
    api: httpx.AsyncClient, path: str, text: str
) -> None:
    answer = await api.get(path.format(text))
    assert answer.status_code in (200, 400, 404, 422), answer.text
    assert answer.headers["content-type"] in ("application/json", "application/problem+json")


# --- methods --------------------------------------------------------------------------------------------------------


@pytest.fixture
def documented(live: System) -> list[tuple[str, set[str]]]:
    """Paths without parameters, and what they take."""
    paths = httpx.get(f"http://127.0.0.1:{live.port}/openapi.json", timeout=60).json()["paths"]
    return [(path, {each.upper() for each in operations}) for path, operations in paths.items() if "{" not in path]


async def test_head_answers_as_get_does_and_options_tells_what_is_taken(
    api: httpx.AsyncClient, documented: list[tuple[str, set[str]]]
) -> None:
    for path, methods in documented:
        if "GET" in methods and path not in ("/login", "/auth", "/ready"):
            full, head = await api.get(path), await api.head(path)
            assert head.status_code == full.status_code, path
            assert head.content == b""
            assert head.headers["content-type"] == full.headers["content-type"], path
        told = await api.options(path)
        assert told.status_code == 204, path
        if "OPTIONS" not in methods:
            expected = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
            assert expected <= {*told.headers["allow"].split(", ")}, path  # an id may be called so too


async def test_what_a_path_does_not_take_is_named_in_a_problem(
    api: httpx.AsyncClient, problem: Problem, documented: list[tuple[str, set[str]]]
) -> None:
    for path, methods in documented:
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - methods:
            answer = await api.request(method, path)
            if answer.status_code != 405:  # another route of that shape has it: a path that holds an id
                assert answer.status_code in (400, 401, 404, 412, 422), (method, path, answer.text)
                continue
            problem(answer, 405, "method-not-allowed")
            assert method not in answer.headers["allow"].split(", ")
            assert methods <= {*answer.headers["allow"].split(", ")}


async def test_the_head_of_a_live_stream_ends(
    api: httpx.AsyncClient, make_recipe: Callable[..., Any], asset: str, held: Callable[[], None]
) -> None:
    recipe = await make_recipe(1)
    run = (await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})).json()
    head = await api.head(f"/runs/{run['run_id']}/events")
    assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    held()


async def test_failures_tell_nothing_of_the_inside(api: httpx.AsyncClient) -> None:
    """Whatever is asked for, no answer names a file, a table, a server or a line of code."""
    inside = re.compile(
        r"Traceback|File \"|/site-packages/|asyncpg|SELECT |127\.0\.0\.1:\d+|postgres(ql)?://|nats://|redis://"
    )
    for method, path, body in (
        ("GET", "/runs?cursor=9999999999999999999999", None),
        ("GET", "/runs?limit=99999999999999999999", None),
        ("GET", "/cache?cursor=-1", None),
        ("GET", "/runs?status=%27%3B--", None),
        ("POST", "/runs", {"recipe": "' OR 1=1 --", "inputs": []}),
        ("POST", "/runs", {"recipe": "../../etc/passwd", "inputs": []}),
        ("GET", "/recipes/..%2f..%2fetc%2fpasswd", None),
        ("GET", "/static-offline-docs/..%2f..%2fcore.py", None),
        ("GET", "/static-offline-docs/nothing.js", None),
        ("GET", "/effects/..%2f..%2fregistry/source", None),
    ):
        answer = await api.request(
            method, path, content=json.dumps(body) if body else None, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (200, 400, 404, 422), (path, answer.text)
        assert not inside.search(answer.text), answer.text
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json", path
