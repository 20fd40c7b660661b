"""What a page of somebody else can have a browser do, and what an upload can do in one."""

from __future__ import annotations

import hashlib
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import httpx
import pytest

from artdag_cli.system import System
from services.gateway.access import COOKIE
from tests.attacks.conftest import Person, Raw
from tests.attacks.operations import operations

EVIL = "https://evil.example"
OWN_HOST = "http://127.0.0.1"
COOKIELESS = ("/auth/revoke", "/auth/device", "/auth/device/token", "/actor/inbox")
"""Routes that take a token, a code or a signature, and look at no cookie."""

WRITING = ("POST", "PUT", "PATCH", "DELETE")
ALLOWING = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods")

ELSEWHERE = (
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "http:evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "/../..//evil.example",
    " //evil.example",
    "/\r\nLocation: https://evil.example",
    "@evil.example",
    "evil.example",
)
"""Addresses that some browser takes for another server's."""

ACTIVE: dict[str, bytes] = {
    "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>',
    "page.html": b"<!doctype html><script>alert(document.cookie)</script>",
    "page.xhtml": b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>',
    "sheet.xml": b'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#"?><a>' + b"<b/>" * 4 + b"</a>",
    "code.js": b"alert(document.domain)",
    "both.gif": b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)//<script>alert(1)</script>",
    "both.jpg": b"\xff\xd8\xff\xe0" + b"<html><script>alert(1)</script>",
    "mail.mht": b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>",
    "paper.pdf": b"%PDF-1.7 /OpenAction << /S /JavaScript /JS (app.alert(1)) >>",
    "flash.swf": b"FWS\x09" + bytes(20),
    "blank": b"   \n <scrIpt>alert(1)</scrIpt>",
    "cover.html": b"\x00\x00<html><body onload=alert(1)>",
}
HARMLESS = ("image/", "audio/", "video/", "application/octet-stream", "application/json", "text/x-python", "text/plain")


@pytest.fixture(scope="session")
async def browser(mallory: Person, url: str) -> Any:
    """Somebody's browser, signed in by cookie."""
    async with httpx.AsyncClient(base_url=url, cookies={COOKIE: mallory.token}, timeout=60) as client:
        yield client


async def test_no_route_is_written_to_by_a_page_of_somebody_else(
    document: dict[str, Any], mallory: Person, send: Raw
) -> None:
    """Cookie and all: from another origin, from none, from a frame, and by a form that says it is text."""
    cookie = f"{COOKIE}={mallory.token}"
    checked = 0
    for operation in operations(document):
        if operation.method not in WRITING:
            continue
        for headers in (
            {"Origin": EVIL},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
            {"Origin": f"{OWN_HOST}:1"},
            {"Origin": "http://127.0.0.1.evil.example"},
            {},
        ):
            if "Origin" in headers and headers["Origin"].startswith(OWN_HOST) and operation.template in COOKIELESS:
                continue  # a cookie is nothing to them
            said = dict(headers)
            if not headers and not operation.signed:
                continue  # a route that no cookie signs in to
            said["Cookie"] = cookie
            answer = await send(operation.bytes(**said))
            assert answer is not None, operation.label
            assert answer.status == 403, (operation.label, headers, answer.status, answer.body[:200])
            checked += 1
    assert checked > 100


async def test_no_route_lets_another_origin_read(document: dict[str, Any], mallory: Person, send: Raw) -> None:
    paths = {operation.target(): operation for operation in operations(document)}
    for target, operation in paths.items():
        asked = (
            f"OPTIONS {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {EVIL}\r\n"
            "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
        )
        plain = operation.bytes(Origin=EVIL, Authorization=f"Bearer {mallory.token}")
        for request in (asked.encode(), plain):
            answer = await send(request)
            assert answer is not None, target
            assert answer.status == 403, (target, answer.status)
            assert not any(name in answer.headers for name in ALLOWING), target


@pytest.mark.parametrize("place", ELSEWHERE)
async def test_no_link_through_here_leads_elsewhere(shared: System, send: Raw, mallory: Person, place: str) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in place.encode())
    for target in (
        f"/login?token={shared.token}&next={escaped}",
        f"/auth?auth_token={mallory.token}&next={escaped}",
        f"/auth?next={escaped}",
        f"/logout?next={escaped}",
        f"/ipfs/{escaped}",
        f"//{escaped}",
        f"/{escaped}/..",
    ):
        answer = await send(
            f"GET {target} HTTP/1.1\r\nHost: localhost:{shared.port}\r\nAccept: text/html\r\n\r\n".encode()
        )
        if answer is None:
            continue
        for said in answer.headers.get_all("location") or ():
            assert said.startswith("/"), (target, said)
            assert not said.startswith(("//", "/\\")), (target, said)
            assert not {"\t", "\r", "\n"} & set(said), (target, said)
        assert "evil.example" not in str(answer.headers.get_all("refresh") or ""), target
        assert b'href="https://evil.example' not in answer.body, target
        assert b'content="0;' not in answer.body, target


async def test_a_host_that_is_not_ours_makes_no_link(send: Raw) -> None:
    for name, value in (
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "host=evil.example;proto=https"),
        ("X-Original-Host", "evil.example"),
    ):
        host = "" if name == "Host" else "Host: 127.0.0.1\r\n"
        answer = await send(f"GET / HTTP/1.1\r\n{host}{name}: {value}\r\n\r\n".encode())
        assert answer is not None
        assert b'"url":"https://evil' not in answer.body
        assert answer.status == (403 if name == "Host" else 200)
    twice = await send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
    assert twice is None or twice.status in (400, 403)


@pytest.mark.parametrize("name", ACTIVE)
async def test_an_upload_is_never_active_in_a_browser(ada: Person, name: str) -> None:
    """Shown in a window of this origin, it may be looked at; scripts in it have no way to run."""
    stored = await ada.api.post("/cache/upload", files={"file": (name, ACTIVE[name] + uuid4().bytes, "text/html")})
    cid = stored.json()["cid"]
    for path in (f"/cache/{cid}/raw", f"/ipfs/{cid}/raw", f"/cache/{cid}"):
        answer = await ada.api.get(path, headers={"Accept": "application/octet-stream"})
        assert answer.status_code == 200, path
        kind = answer.headers["content-type"]
        assert kind.startswith(HARMLESS), (path, kind)
        assert "svg" not in kind
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox")
        assert "allow-" not in policy
        if not kind.startswith(("image/", "audio/", "video/")):
            assert answer.headers["content-disposition"].startswith("attachment"), (path, kind)


@pytest.mark.parametrize(
    "name",
    [
        "a\"; filename*=UTF-8''x.html; x=\"",
        "a\r\nX-Injected: 1",
        "../../etc/passwd",
        "<script>alert(1)</script>.mp4",
        "\u202egpj.exe",
        "a;b",
        "x" * 200,
    ],
)
async def test_a_name_stays_inside_its_header(ada: Person, name: str) -> None:
    form = {"file": ("file.bin", b"GIF89a" + uuid4().bytes)}
    stored = await ada.api.post("/cache/upload", files=form, data={"name": name})
    if stored.status_code == 422:
        return
    assert stored.status_code == 201, stored.text
    answer = await ada.api.get(f"/cache/{stored.json()['cid']}/raw")
    assert "x-injected" not in answer.headers
    said = answer.headers["content-disposition"]
    assert said.count('"') == 2
    assert "/" not in said.partition("filename=")[2]
    assert "\n" not in said


async def test_an_error_page_is_no_page(send: Raw) -> None:
    """What was asked for is repeated, as JSON that no browser takes for HTML."""
    answer = await send(b"GET /%3cscript%3ealert(1)%3c/script%3e HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert answer is not None
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_cookie_that_was_planted_signs_nobody_in(url: str, mallory: Person, ada: Person) -> None:
    """Whoever signs in gets a cookie of their own: what was there before is neither kept nor given any rights."""
    planted = uuid4().hex
    async with httpx.AsyncClient(base_url=url, cookies={COOKIE: planted}, timeout=60) as victim:
        assert (await victim.get("/api/usage")).status_code == 401
        signed_in = await victim.get(f"/auth?auth_token={ada.token}", headers={"Sec-Fetch-Site": "none"})
        new = SimpleCookie(signed_in.headers.get("set-cookie", ""))
        assert all(morsel.value != planted for morsel in new.values())
        assert (await victim.get("/api/usage", headers={"Cookie": f"{COOKIE}={planted}"})).status_code == 401
        for place in ("?artdag_token=", "?token=", "?auth_token="):
            victim.cookies.clear()
            assert (await victim.get(f"/api/usage{place}{mallory.token}")).status_code == 401


async def test_a_link_signs_no_browser_in_that_is_somebody_elses(url: str, mallory: Person, ada: Person) -> None:
    """Signing a victim in as the attacker would have the victim's work land with the attacker."""
    async with httpx.AsyncClient(base_url=url, cookies={COOKIE: ada.token}, timeout=60) as victim:
        answer = await victim.get(f"/auth?auth_token={mallory.token}", headers={"Sec-Fetch-Site": "cross-site"})
        assert COOKIE not in SimpleCookie(answer.headers.get("set-cookie", ""))
        asked = await victim.post(
            "/auth", json={"decision": "yes", "shown": hashlib.sha256(mallory.token.encode()).hexdigest()}
        )
        assert asked.status_code == 403
        assert (await victim.get("/api/usage")).json()["owner"] == ada.user
