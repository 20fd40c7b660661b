"""The whole OpenAPI document, asked by schemathesis: what is said of a route holds for whatever it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky, HypothesisException, Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.engine.errors import is_inconsistent_replay
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi import checks as openapi_checks

from services.gateway.api.effects import SOURCE_EXAMPLE
from tests.attacks.conftest import Person
from tests.attacks.documented import Documented
from tests.attacks.operations import LEAVING
from tests.attacks.test_matrix import RULES, Rule

CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
)
QUIET: dict[str, Any] = {
    "database": None,
    "deadline": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
EXAMPLES = 2
SEED = 5
SCENARIOS = 12
STEPS = 8
SECONDS = 60.0
RECIPE = "name: {0}\ninputs:\n  media: {{type: any}}\nsteps:\n  - {{id: s, type: NOOP, inputs: [media]}}\noutput: s\n"


@schemathesis.serializer("application/offset+octet-stream", "text/x-python")
def as_it_is(context: object, value: object) -> bytes:
    """Return a body that is bytes already, or a text."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def schema(document: dict[str, Any], url: str) -> BaseSchema:
    """The document, as schemathesis reads it."""
    found = schemathesis.openapi.from_dict(deepcopy(document))
    found.config.update(base_url=url)
    return found


def failures(error: BaseException) -> Iterator[str]:
    """Yield what an answer broke."""
    for each in error.exceptions if isinstance(error, FailureGroup) else (error,):
        yield " ".join(str(each).split())[:600]


class Asking:
    """Requests to one route after the other."""

    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.wrong: list[str] = []
        self.statuses: Counter[int] = Counter()

    def ask(self, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, token: str, examples: int) -> None:
        """Ask a route as schemathesis thinks of it: as documented, or with something wrong about it."""
        try:
            strategy = operation.as_strategy(generation_mode=mode)
        except HypothesisException:
            return  # nothing about it can be wrong

        @seed(SEED)
        @settings(max_examples=examples, **QUIET)
        @given(strategy)
        def one(case: Any) -> None:
            case.headers = {name: value for name, value in case.headers.items() if name.lower() != "authorization"}
            headers = {"Prefer": "wait=0"} | ({"Authorization": f"Bearer {token}"} if token else {})
            response = case.call(headers=headers, session=self.session, timeout=SECONDS)
            self.statuses[response.status_code] += 1
            try:
                case.validate_response(response, checks=list(CHECKS))
            except (Failure, FailureGroup) as error:
                self.wrong.extend(f"{operation.label}: {each}" for each in failures(error))

        with contextlib.suppress(Unsatisfiable):
            one()


async def test_every_route_answers_as_documented(
    schema: BaseSchema, operator: Person, someone: Callable[..., Awaitable[Person]]
) -> None:
    person = await someone()
    leaving = [await someone() for _ in range(4)]
    asking = Asking()

    def everything() -> None:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            token = person.token
            if operation.path.startswith(LEAVING):
                token = leaving[len(operation.path) % len(leaving)].token
            route = f"{operation.method.upper()} {operation.path}"
            tokens = (token, operator.token) if route in RULES[Rule.OPERATED] else (token,)
            asking.ask(operation, GenerationMode.POSITIVE, "", 1)
            for each in tokens:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    asking.ask(operation, mode, each, EXAMPLES)

    await asyncio.to_thread(everything)
    assert not asking.wrong, "\n\n".join(sorted(set(asking.wrong))[:30])
    assert sum(asking.statuses.values()) > 300
    assert asking.statuses[200] > 30
    assert asking.statuses[401] > 30
    assert asking.statuses[422] > 30


async def test_what_one_answer_names_the_next_route_takes(
    schema: BaseSchema, someone: Callable[..., Awaitable[Person]]
) -> None:
    person = await someone()
    uploaded = await person.api.post("/cache/upload", files={"file": uuid4().bytes})
    followed: Counter[str] = Counter()
    wrong: list[str] = []
    session = requests.Session()
    session.trust_env = False

    @schema.hook("map_body")
    def sensible(context: Any, body: Any) -> Any:
        if context.operation.label == "POST /recipes/upload":
            return RECIPE.format(f"followed-{uuid4().hex[:8]}").encode()
        if context.operation.label == "POST /recipes/{recipe}/run":
            return {"inputs": {"media": uploaded.json()["cid"]}}
        return body

    class Following(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            case.headers = {name: value for name, value in case.headers.items() if name.lower() != "authorization"}
            headers = {"Authorization": f"Bearer {person.token}"}
            return {"headers": headers, "session": session, "timeout": SECONDS}

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            followed[f"{case.operation.label} {response.status_code}"] += 1
            if (case.operation.label, response.status_code) == ("GET /ready", 503):
                return  # as documented: some part took more than a second
            try:
                case.validate_response(response, checks=list(CHECKS))
            except (Failure, FailureGroup) as error:
                wrong.extend(f"{case.operation.label}: {each}" for each in failures(error))

    def follow() -> None:
        for number in range(SCENARIOS):
            # What can come next hangs on what a server answered, which is not the same twice. Hypothesis, which
            # remembers what it has tried, then ends the search; what was answered wrong is in our list anyhow.
            try:
                run_state_machine_as_test(
                    seed(number)(Following),
                    settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, **QUIET),
                )
            except (Flaky, AssertionError) as error:
                if not (isinstance(error, Flaky) or is_inconsistent_replay(error)):
                    raise

    await asyncio.to_thread(follow)
    assert not wrong, "\n\n".join(sorted(set(wrong))[:30])
    reached = {label for label in followed if label.endswith((" 200", " 201"))}
    assert any("{" in label for label in reached), sorted(followed.items())
    assert len(reached) > 1, sorted(followed.items())


async def test_every_link_leads_to_what_was_made(
    document: dict[str, Any], documented: Documented, someone: Callable[..., Awaitable[Person]]
) -> None:
    person = await someone()
    cid = (await person.api.post("/cache/upload", files={"file": uuid4().bytes})).json()["cid"]
    recipe = RECIPE.format(f"linked-{uuid4().hex[:8]}")
    known = (await person.api.post("/recipes/upload", content=recipe)).json()["recipe_id"]
    folder = tempfile.mkdtemp(dir=os.environ["ARTDAG_STORAGE_DIRS"])
    makers: dict[str, dict[str, Any]] = {
        "POST /cache/upload": {"files": {"file": uuid4().bytes}},
        "POST /cache/uploads": {"headers": {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}},
        "POST /recipes/upload": {"content": recipe.replace("linked-", "made-")},
        "POST /effects/upload": {"content": SOURCE_EXAMPLE.replace('"fade"', f'"linked-{uuid4().hex[:8]}"')},
        "POST /recipes/{recipe}/run": {"json": {"inputs": {"media": cid}}},
        "POST /runs": {"json": {"recipe": recipe, "inputs": {"media": cid}}},
        "POST /api/plan": {"json": {"recipe": recipe, "inputs": {"media": cid}}},
        "POST /storage/add": {"json": {"type": "local", "name": "linked", "settings": {"path": folder}}},
    }
    linked = {
        f"{method.upper()} {template}": answer["links"]
        for template, methods in document["paths"].items()
        for method, operation in methods.items()
        for answer in operation["responses"].values()
        if "links" in answer
    }
    routes = {
        operation["operationId"]: (method.upper(), template)
        for template, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert linked.keys() == makers.keys()
    for source, links in linked.items():
        method, _, path = source.partition(" ")
        made = await person.api.request(method, path.format(recipe=known), **makers[source])
        assert made.status_code == 201, (source, made.text)
        assert not documented.problems(made)
        for link in links.values():
            ((parameter, expression),) = link["parameters"].items()
            value = made.json()[expression.removeprefix("$response.body#/")]
            method, template = routes[link["operationId"]]
            body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            if template == "/recipes/{recipe}/run":
                body = {"json": {"inputs": {"media": cid}}}
            headers = {"Tus-Resumable": "1.0.0"}
            answer = await person.api.request(method, template.format(**{parameter: value}), headers=headers, **body)
            assert answer.status_code not in (400, 401, 403, 404), (source, method, template, answer.text)
            assert not documented.problems(answer), (source, documented.problems(answer))
