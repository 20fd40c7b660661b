"""Requests as the OpenAPI document describes them, with every place in them where text can be put."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import orjson

JSON = "application/json"
PLAIN = "7d0f4a52-9a3b-5d6e-8c1f-2b3a4c5d6e7f"
BOUNDARY = "a-boundary-of-parts"
LEAVING = ("/auth", "/logout", "/login")
"""Routes that may end what whoever asks them is signed in by."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route by one method, with a request that it could take."""

    method: str
    template: str
    signed: bool
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = ""
    body: Any = None

    @property
    def label(self) -> str:
        """Method and route."""
        return f"{self.method} {self.template}"

    def target(self) -> str:
        """Return path and query as they are sent."""
        path = self.template
        for name, value in self.path.items():
            path = path.replace(f"{{{name}}}", value)
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{path}?{query}" if query else path

    def bytes(self, **headers: str) -> bytes:
        """Return the request as it goes over the wire; ``headers`` come before its own."""
        body = encoded(self.media_type, self.body)
        said = {"Host": "127.0.0.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body or self.method in ("POST", "PUT", "PATCH"):
            said["Content-Length"] = str(len(body))
        if body:
            said["Content-Type"] = with_boundary(self.media_type)
        said |= self.headers
        lines = [f"{self.method} {self.target()} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body

    def with_text(self, text: str) -> Iterator[tuple[str, Operation]]:
        """Yield where a text was put, and the request with it: each parameter, each string of the body in turn."""
        for name in self.path:
            yield f"path {name}", replace(self, path=self.path | {name: text})
        for name in self.query:
            yield f"query {name}", replace(self, query=self.query | {name: quote(text, safe="%")})
        for place, changed in changes(self.body, text):
            yield f"body {place}", replace(self, body=changed)


def changes(value: Any, text: str, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a value with one of its strings, or names of members, replaced by ``text``."""
    if isinstance(value, str):
        yield place or "itself", text
    elif isinstance(value, dict):
        for name, child in value.items():
            for where, changed in changes(child, text, f"{place}.{name}".strip(".")):
                yield where, value | {name: changed}
        if value and place:
            yield f"{place}, a name", {text: next(iter(value.values()))}
    elif isinstance(value, list):
        for index, child in enumerate(value):
            for where, changed in changes(child, text, f"{place}.{index}".strip(".")):
                yield where, [*value[:index], changed, *value[index + 1 :]]


def encoded(media_type: str, body: Any) -> bytes:
    """Return a body as bytes."""
    if body is None:
        return b""
    if media_type == JSON:
        return orjson.dumps(body)
    if media_type == "application/x-www-form-urlencoded":
        return "&".join(f"{quote(name)}={quote(str(value))}" for name, value in body.items()).encode()
    if media_type == "multipart/form-data":
        parts = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
            + (f'; filename="{value}"' if name == "file" else "")
            + f"\r\n\r\n{value}\r\n"
            for name, value in body.items()
        )
        return f"{parts}--{BOUNDARY}--\r\n".encode()
    return str(body).encode()


def with_boundary(media_type: str) -> str:
    """Return a Content-Type."""
    return f"{media_type}; boundary={BOUNDARY}" if media_type.startswith("multipart/") else media_type


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Yield every operation of a document, one for each kind of body that it takes."""
    for template, methods in document["paths"].items():
        for method, operation in methods.items():
            parameters = operation.get("parameters", ())
            made = Operation(
                method.upper(),
                template,
                bool(operation.get("security")),
                path=dict.fromkeys(re.findall(r"{(\w+)}", template), PLAIN)
                | {each["name"]: _example(each) for each in parameters if each["in"] == "path"},
                query={each["name"]: quote(_example(each)) for each in parameters if each["in"] == "query"},
            )
            contents = operation.get("requestBody", {}).get("content", {})
            if not contents:
                yield made
            for media_type, content in contents.items():
                yield replace(made, media_type=media_type, body=_body(document, content))


def _example(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    choices = [schema, *schema.get("anyOf", ())]
    for each in choices:
        if each.get("type") in ("integer", "number"):
            return str(each.get("default", each.get("minimum", 1)))
        if each.get("type") == "boolean":
            return "false"
        if "$ref" in each:
            return "320"
    found = parameter.get("examples") or schema.get("examples") or [PLAIN]
    return str(found[0] if isinstance(found, list) else next(iter(found.values()))["value"])


def _body(document: dict[str, Any], content: dict[str, Any]) -> Any:
    if "example" in content:
        return deepcopy(content["example"])
    schema = content.get("schema", {})
    for each in (schema, *schema.get("anyOf", ())):
        if "$ref" in each:
            each = document["components"]["schemas"][each["$ref"].rpartition("/")[2]]
        if "example" in each:
            return deepcopy(each["example"])
        if each.get("properties"):
            return dict.fromkeys(each["properties"], "text")
    return "text"
