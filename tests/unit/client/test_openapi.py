"""The client and the OpenAPI document: every operation, parameter, body and answer of the one is in the other."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from types import SimpleNamespace, UnionType
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest

from artdag_client import Client, Patience
from artdag_client.asking import BLOCK
from artdag_common.config import Settings
from services.gateway.app import create_app
from tests.attacks.documented import Documented

CID = "bafybeihkoviema7g3gxyt6la7vd5ho32ictqbilu3wnlo3rs7ewhnp7lly"
RUN = "7d0f4a52-9a3b-5d6e-8c1f-2b3a4c5d6e7f"
SIZE = 8 * BLOCK
RESOURCES = ("content", "recipes", "effects", "runs", "storage", "webhooks", "tokens", "operator")

BROWSERS = "browsers are signed in by it; programs have a token"
FEDERATION = "other servers ask it"
EARLIER = "the earlier name of /recipes"
UNREACHED = {
    "GET /health": "for probes; `ready` tells more",
    "GET /metrics": "for Prometheus",
    "GET /download/client": "another client, for those who have only Python",
    "GET /download/client/artdag.py": "another client, for those who have only Python",
    "POST /auth": BROWSERS,
    "GET /login": BROWSERS,
    "GET /logout": BROWSERS,
    "POST /logout": BROWSERS,
    "GET /runs/{run_id}": "GET /api/run/{run_id} is the same, and never a page",
    "POST /api/run-recipe": "POST /runs is the same",
    "POST /cache/upload": "uploads by tus go on after an interruption",
    "POST /cache/uploads/{upload_id}": "for clients that can only POST",
    "DELETE /cache/uploads/{upload_id}": "what is abandoned goes by itself",
    "OPTIONS /cache/uploads": "what is spoken is known",
    "OPTIONS /cache/uploads/{upload_id}": "what is spoken is known",
    "HEAD /cache/{cid}/raw": "`meta` tells size and type",
    "HEAD /cache/{cid}/mp4": "`picture` gives it",
    "HEAD /ipfs/{cid}/raw": "`meta` tells size and type",
    "GET /ipfs/{cid}/raw": "/cache/{cid}/raw is the same",
    "POST /storage": "a form; programs send JSON",
    "POST /configs/upload": EARLIER,
    "GET /configs": EARLIER,
    "GET /configs/{recipe}": EARLIER,
    "DELETE /configs/{recipe}": EARLIER,
    "POST /configs/{recipe}/run": EARLIER,
    "GET /actor": FEDERATION,
    "GET /.well-known/webfinger": FEDERATION,
    "GET /.well-known/nodeinfo": FEDERATION,
    "GET /nodeinfo/2.1": FEDERATION,
    "GET /actor/outbox": FEDERATION,
    "GET /activities/{activity_id}": FEDERATION,
    "GET /objects/{object_id}": FEDERATION,
    "POST /actor/inbox": FEDERATION,
}
"""Operations that the client does not use, and why."""

CALLS: dict[str, Callable[[Client, Any], Any]] = {
    "info": lambda c, p: c.info(),
    "ready": lambda c, p: c.ready(),
    "command": lambda c, p: c.command("c"),
    "ask": lambda c, p: c.ask("GET", "/api/usage"),
    "upload": lambda c, p: c.upload(p / "large"),
    "download": lambda c, p: c.content.download(CID, p / "out", verify=False),
    "render": lambda c, p: c.render("dog", p / "small", save=None, output_name="x", priority="batch"),
    "content.upload": lambda c, p: c.content.upload(p / "small", "name"),
    "content.upload_bytes": lambda c, p: c.content.upload_bytes(b"abc", "name"),
    "content.download": lambda c, p: c.content.download(CID, p / "out2", verify=False),
    "content.read": lambda c, p: None,  # its bytes are checked, and an example is none
    "content.picture": lambda c, p: (
        [c.content.picture(CID, kind, 320) for kind in ("thumbnail", "poster", "waveform", "spectrogram")]
        and c.content.picture(CID, "mp4")
    ),
    "content.list": lambda c, p: c.content.list(
        type="video", name="a", tag="b", origin="upload", owner="me", kept=True
    ),
    "content.page": lambda c, p: c.content.page(cursor="1", limit=5, type="video"),
    "content.media": lambda c, p: c.content.media(kind="video", name="a", tag="b", owner="me", limit=5),
    "content.media_page": lambda c, p: c.content.media_page(cursor="1", limit=5),
    "content.assets": lambda c, p: c.content.assets(limit=3),
    "content.get": lambda c, p: c.content.get(CID),
    "content.meta": lambda c, p: c.content.meta(CID),
    "content.describe": lambda c, p: c.content.describe(CID, name="a", description="b", tags=["c"]),
    "content.import_path": lambda c, p: c.content.import_path("/film.mp4", "film"),
    "content.delete": lambda c, p: c.content.delete(CID),
    "content.publish": lambda c, p: c.content.publish(CID, "a", "b"),
    "content.publication": lambda c, p: c.content.publication(CID),
    "content.unpublish": lambda c, p: c.content.unpublish(CID),
    "content.usage": lambda c, p: c.content.usage(),
    "content.ipfs_url": lambda c, p: c.content.ipfs_url(CID),
    "recipes.upload": lambda c, p: c.recipes.upload("name: a"),
    "recipes.check": lambda c, p: c.recipes.check(b"name: a"),
    "recipes.list": lambda c, p: c.recipes.list(name="a", owner="me"),
    "recipes.page": lambda c, p: c.recipes.page(cursor="1", limit=5, name="a"),
    "recipes.get": lambda c, p: c.recipes.get("dog"),
    "recipes.run": lambda c, p: c.recipes.run("dog", [CID], output_name="x", parameters={"a": {"b": 1}}, force=["a"]),
    "recipes.delete": lambda c, p: c.recipes.delete("dog"),
    "effects.upload": lambda c, p: c.effects.upload("# an effect"),
    "effects.list": lambda c, p: c.effects.list(name="a", owner="me"),
    "effects.page": lambda c, p: c.effects.page(cursor="1", limit=5),
    "effects.get": lambda c, p: c.effects.get("dog"),
    "effects.source": lambda c, p: c.effects.source("dog"),
    "effects.delete": lambda c, p: c.effects.delete("fade"),
    "runs.start": lambda c, p: c.runs.start(
        "dog",
        {"media": [CID]},
        output_name="x",
        parameters={"a": {"b": 1}},
        force=True,
        priority="batch",
        deadline="2026-01-07T12:00:00Z",
        wait_timeout=5,
        step_timeout=5,
    ),
    "runs.plan": lambda c, p: c.runs.plan("dog", [CID], timeout=5),
    "runs.execute": lambda c, p: c.runs.execute(RUN),
    "runs.list": lambda c, p: c.runs.list(status="failed", owner="me", published=True),
    "runs.page": lambda c, p: c.runs.page(cursor="1", limit=5, status="failed"),
    "runs.get": lambda c, p: c.runs.get(RUN),
    "runs.get_plan": lambda c, p: c.runs.get_plan(RUN),
    "runs.artifacts": lambda c, p: c.runs.artifacts(RUN),
    "runs.analyses": lambda c, p: c.runs.analyses(RUN),
    "runs.provenance": lambda c, p: None,  # its bytes are checked, and an example is none
    "runs.follow": lambda c, p: c.runs.follow(RUN, after=3),
    "runs.wait": lambda c, p: c.runs.wait(RUN),
    "runs.result": lambda c, p: None,  # as wait, and the example goes on
    "runs.cancel": lambda c, p: c.runs.cancel(RUN, "enough"),
    "runs.cancel_step": lambda c, p: c.runs.cancel_step(RUN, 1, "enough"),
    "runs.pause": lambda c, p: c.runs.pause(RUN),
    "runs.resume": lambda c, p: c.runs.resume(RUN),
    "runs.retry": lambda c, p: c.runs.retry(RUN, priority="batch", timeout=60),
    "runs.rerun": lambda c, p: c.runs.rerun(
        RUN, inputs={"a": CID}, parameters={"a": {"b": 1}}, force=["a"], output_name="x", hold=True, timeout=60
    ),
    "runs.delete": lambda c, p: c.runs.delete(RUN),
    "runs.publish": lambda c, p: c.runs.publish(RUN, "a", "b"),
    "runs.log": lambda c, p: c.runs.log(RUN, 1, 1),
    "runs.follow_log": lambda c, p: c.runs.follow_log(RUN, 1, 1),
    "runs.import_run": lambda c, p: c.runs.import_run(CID, CID),
    "runs.history": lambda c, p: c.runs.history(RUN, after=1, limit=5),
    "runs.export": lambda c, p: c.runs.export(RUN, p / "run.car"),
    "storage.list": lambda c, p: c.storage.list(limit=5),
    "storage.page": lambda c, p: c.storage.page(cursor="1", limit=5),
    "storage.form": lambda c, p: c.storage.form("s3"),
    "storage.add": lambda c, p: c.storage.add("local", "disk", {"path": "/mnt"}, 1000),
    "storage.get": lambda c, p: c.storage.get("s"),
    "storage.change": lambda c, p: c.storage.change(
        "s", name="a", settings={"path": None}, capacity_bytes=5, enabled=True
    ),
    "storage.test": lambda c, p: c.storage.test("s"),
    "storage.copies": lambda c, p: c.storage.copies("s", state="made"),
    "storage.copies_page": lambda c, p: c.storage.copies_page("s", state="made", cursor="1", limit=5),
    "storage.retry": lambda c, p: c.storage.retry("s", CID),
    "storage.delete": lambda c, p: c.storage.delete("s", purge=True),
    "webhooks.list": lambda c, p: c.webhooks.list(),
    "webhooks.add": lambda c, p: c.webhooks.add("https://host/path", ["run.failed"], "whsec_x"),
    "webhooks.get": lambda c, p: c.webhooks.get("w", cursor="1", limit=5),
    "webhooks.deliveries": lambda c, p: c.webhooks.deliveries("w", limit=5),
    "webhooks.change": lambda c, p: c.webhooks.change(
        "w", url="https://host", events=["run.failed"], secret="x", enabled=True
    ),
    "webhooks.test": lambda c, p: c.webhooks.test("w"),
    "webhooks.retry": lambda c, p: c.webhooks.retry("w", "d"),
    "webhooks.delete": lambda c, p: c.webhooks.delete("w"),
    "tokens.who": lambda c, p: c.tokens.who(),
    "tokens.list": lambda c, p: c.tokens.list(),
    "tokens.create": lambda c, p: c.tokens.create("farm"),
    "tokens.begin": lambda c, p: c.tokens.begin("farm"),
    "tokens.confirm": lambda c, p: c.tokens.confirm("WDJB-MJHT", allow=False),
    "tokens.waiting": lambda c, p: c.tokens.waiting("WDJB-MJHT"),
    "tokens.take": lambda c, p: c.tokens.take(c.tokens.begin("farm")),
    "tokens.revoke": lambda c, p: c.tokens.revoke("3f6a1c0e9b7d2a54"),
    "tokens.revoke_this": lambda c, p: c.tokens.revoke_this(),
    "tokens.revoke_all": lambda c, p: c.tokens.revoke_all(),
    "operator.doctor": lambda c, p: c.operator.doctor(),
    "operator.overview": lambda c, p: c.operator.overview(),
    "operator.garbage": lambda c, p: c.operator.garbage(30),
    "operator.collect_garbage": lambda c, p: c.operator.collect_garbage(30),
    "operator.audit": lambda c, p: c.operator.audit(
        kind="deletion", user="u", since="2026-01-07T12:00:00Z", until="2026-01-08T12:00:00Z"
    ),
    "operator.audit_after": lambda c, p: c.operator.audit_after(7, 1, 5),
    "operator.people": lambda c, p: c.operator.people(limit=5),
    "operator.people_page": lambda c, p: c.operator.people_page(cursor="1", limit=5),
    "operator.person": lambda c, p: c.operator.person("u"),
    "operator.erase": lambda c, p: c.operator.erase("u", content=True, unpublish=True, cursor="1"),
    "operator.letters": lambda c, p: c.operator.letters(service="planner", name="StartRun"),
    "operator.letters_page": lambda c, p: c.operator.letters_page(cursor="1", limit=5, service="planner"),
    "operator.letter": lambda c, p: c.operator.letter(7),
    "operator.retry_letter": lambda c, p: c.operator.retry_letter(7),
    "operator.drop_letter": lambda c, p: c.operator.drop_letter(7, "nobody needs it"),
}
"""Every method of the client, called with all that it can send."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The server's document."""
    app = create_app(SimpleNamespace(settings=Settings()))  # type: ignore[arg-type]
    return app.openapi()


class Example:
    """A server that answers every request with the document's example, and says what is not in the document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._documented = Documented(document)
        self.reached: set[str] = set()
        self.wrong: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        path = request.url.path
        template = self._documented.route(request.method, path)
        if not template:
            self.wrong.append(f"{request.method} {path} is not documented")
            return httpx.Response(404)
        route = f"{request.method} {template}"
        self.reached.add(route)
        operation = self._document["paths"][template][request.method.lower()]
        self._check(route, operation, request)
        if route == "PATCH /cache/uploads/{upload_id}" and "HEAD /cache/uploads/{upload_id}" not in self.reached:
            raise httpx.WriteError("broke off")
        return self._answer(operation, request)

    def _check(self, route: str, operation: dict[str, Any], request: httpx.Request) -> None:
        parameters = operation.get("parameters", [])
        known = {each["name"] for each in parameters if each["in"] == "query"}
        self.wrong += [f"{route}: no parameter {name}" for name in request.url.params if name not in known]
        by_name = {each["name"].lower() for each in parameters if each["in"] == "header"}
        if "idempotency-key" in by_name and "Idempotency-Key" not in request.headers:
            self.wrong.append(f"{route}: it takes a key, and none is sent")
        body = request.read()
        bodies = operation.get("requestBody", {}).get("content", {})
        kind = request.headers.get("Content-Type", "")
        if kind and kind not in bodies:
            self.wrong.append(f"{route}: {kind} is sent, documented are {', '.join(bodies) or 'none'}")
        elif kind == "application/json" and "schema" in bodies[kind]:
            schema = bodies[kind]["schema"] | {"components": self._document["components"]}
            errors = jsonschema.Draft202012Validator(schema).iter_errors(httpx.Response(200, content=body).json())
            self.wrong += [f"{route}: {error.message}" for error in errors]

    def _answer(self, operation: dict[str, Any], request: httpx.Request) -> httpx.Response:
        status = min(int(each) for each in operation["responses"] if each.startswith(("2", "307")))
        content = operation["responses"][str(status)].get("content", {})
        headers = {"Location": "/elsewhere", "Upload-Offset": str(SIZE)}
        wanted = request.headers["Accept"]
        if not content:
            return httpx.Response(status, headers=headers)
        kind = wanted if wanted in content else next(iter(content))
        if "text/event-stream" in content and kind != "application/json":
            ending = 'id: 9\nevent: RunCompleted\ndata: {"data": {}}\n\n'
            return httpx.Response(200, text=content["text/event-stream"]["example"] + ending)
        shown = completed(content[kind].get("schema", {}), content[kind]["example"])
        if kind.endswith("json"):
            return httpx.Response(status, json=shown, headers=headers)
        return httpx.Response(status, text=shown, headers=headers)


def completed(schema: dict[str, Any], shown: Any) -> Any:
    """Return an example with the members that its schema promises besides: those that are null are left out there."""
    for each in schema.get("anyOf", ()):
        if isinstance(shown, dict) and shown.keys() <= each.get("properties", {}).keys():
            return completed(each, shown)
    if isinstance(shown, list):
        return [completed(schema.get("items", {}), each) for each in shown]
    if isinstance(shown, dict):
        members = schema.get("properties", {})
        return dict.fromkeys(members) | {name: completed(members.get(name, {}), value) for name, value in shown.items()}
    return shown


@pytest.fixture
def server(document: dict[str, Any]) -> Example:
    """A server of examples."""
    return Example(document)


@pytest.fixture
def client(server: Example, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of it."""
    monkeypatch.setattr(httpx, "HTTPTransport", lambda **settings: httpx.MockTransport(server))
    with Client("http://server", "secret", patience=Patience(again_seconds=0.0)) as it:
        yield it


@pytest.fixture
def folder(tmp_path: Any) -> Any:
    """A folder with files to upload."""
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(bytes(SIZE))
    return tmp_path


def methods() -> dict[str, Callable[..., Any]]:
    """Return every public method of the client by its name, with that of the resource before it."""
    found = {}
    with Client("http://server") as client:
        for name, thing in [("", client), *((f"{each}.", getattr(client, each)) for each in RESOURCES)]:
            for method, function in inspect.getmembers(type(thing), inspect.isfunction):
                if not method.startswith("_") and method not in ("close", "aclose"):
                    found[name + method] = function
    return found


def result_of(name: str, client: Client, folder: Any, server: Example) -> Any:
    """Call a method; of what is listed, take the first."""
    found = CALLS[name](client, folder)
    return next(iter(found)) if isinstance(found, Iterator) else found


def test_every_method_is_called_here() -> None:
    assert CALLS.keys() == methods().keys()


@pytest.mark.parametrize("name", sorted(CALLS))
def test_what_is_sent_is_documented(name: str, client: Client, folder: Any, server: Example) -> None:
    if name == "render":  # waits for a run that completes; of the examples, one goes on
        with pytest.raises(Exception, match=f"run {RUN} running"):
            result_of(name, client, folder, server)
    else:
        result_of(name, client, folder, server)
    assert server.wrong == []


def test_every_operation_is_reached_or_has_a_reason(
    document: dict[str, Any], client: Client, folder: Any, server: Example
) -> None:
    for name in CALLS:
        if name != "render":
            result_of(name, client, folder, server)
    all_ = {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}
    assert all_ - server.reached == UNREACHED.keys()
    assert server.reached <= all_


@pytest.mark.parametrize("name", sorted(CALLS))
def test_what_is_answered_is_as_its_type_says(name: str, client: Client, folder: Any, server: Example) -> None:
    hint = item_of(get_type_hints(methods()[name])["return"])
    if not typing.is_typeddict(hint) or name == "render":
        return
    result = result_of(name, client, folder, server)
    if result is None:
        return
    for each in result if isinstance(result, list) else [result]:
        assert list(differences(hint, each, name)) == []


def item_of(hint: Any) -> Any:
    """Return what a list or an iterator has in it; of anything else, itself."""
    return get_args(hint)[0] if get_origin(hint) in (Iterator, AsyncIterator, Generator, Sequence) else hint


def differences(hint: Any, value: Any, place: str) -> Iterator[str]:
    """Yield where a value is not of a type: members that are missing, or that the type does not know."""
    if typing.is_typeddict(hint):
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is no object"
            return
        hints = get_type_hints(hint)
        optional = {
            name for name, each in get_type_hints(hint, include_extras=True).items() if get_origin(each) is NotRequired
        }
        for member in hints.keys() - optional - value.keys():
            yield f"{place}.{member}: not in the document"
        for member in value.keys() - hints.keys():
            yield f"{place}.{member}: not in {hint.__name__}"
        for member in value.keys() & hints.keys():
            yield from differences(hints[member], value[member], f"{place}.{member}")
        return
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, typing.Union):
        fits = [each for each in arguments if not list(differences(each, value, place))]
        best = next((each for each in arguments if each is not type(None)), None)
        if not fits and best is not None:
            yield from differences(best, value, place)
    elif origin is Literal:
        if value not in arguments:
            yield f"{place}: {value!r} is none of {arguments}"
    elif origin in (list, Sequence):
        for index, each in enumerate(value):
            yield from differences(arguments[0], each, f"{place}[{index}]")
    elif origin in (dict, Mapping):
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is no object"
    elif hint is float:
        if not isinstance(value, float | int):
            yield f"{place}: {value!r} is no number"
    elif hint is not Any and isinstance(hint, type) and not isinstance(value, hint):
        yield f"{place}: {value!r} is no {hint.__name__}"
