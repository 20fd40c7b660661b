"""Whether an answer is what the OpenAPI document says of its route: status, media type, shape."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httpx
import jsonschema  # type: ignore[import-untyped]
import orjson

PLACEHOLDER = re.compile(r"{[^}]+}")
ANYWHERE = frozenset({404, 405, 422})
"""What any address may answer that is no route of the document's, or not by this method."""


class Documented:
    """The routes of a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = {"components": document["components"]}
        self._routes = [
            (re.compile(PLACEHOLDER.sub("[^/]+", template)), template, operations)
            for template, operations in sorted(
                document["paths"].items(), key=lambda each: PLACEHOLDER.search(each[0]) is not None
            )
        ]

    def route(self, method: str, path: str) -> str:
        """Return the route that answers at an address, as the document writes it; empty: none."""
        return next(
            (
                template
                for pattern, template, operations in self._routes
                if pattern.fullmatch(path) and method.lower() in operations
            ),
            "",
        )

    def problems(self, response: httpx.Response) -> list[str]:
        """Return in what an answer, read to its end, differs from the document."""
        request = response.request
        kind = response.headers.get("content-type", "")
        return self.problems_of(request.method, request.url.path, response.status_code, kind, response.content)

    def problems_of(self, method: str, path: str, status: int, media_type: str, body: bytes) -> list[str]:
        """See :meth:`problems`."""
        template = self.route(method, unquote(path))
        where = f"{method} {template or path[:80]} → {status}"
        if not template:
            return [] if status in ANYWHERE else [f"{where}: nothing is documented here; {body[:200]!r}"]
        operations = next(operations for _, known, operations in self._routes if known == template)
        answers = operations[method.lower()]["responses"]
        answer = answers.get(str(status))
        if answer is None:
            return [f"{where}: documented are {', '.join(sorted(answers))}; {body[:200]!r}"]
        content = answer.get("content", {})
        kind = media_type.partition(";")[0]
        if method == "HEAD" or not content:
            return [f"{where}: a body where none is promised"] if body else []
        shown = next((content[each] for each in (kind, "*/*") if each in content), None)
        if shown is None:
            return [f"{where}: it is {kind}, documented are {', '.join(content)}"]
        if "schema" not in shown or not kind.endswith("json"):
            return []
        validator = jsonschema.Draft202012Validator(shown["schema"] | self._components)
        found = validator.iter_errors(orjson.loads(body))
        return [f"{where}: {'.'.join(map(str, each.absolute_path))}: {each.message[:300]}" for each in found]
