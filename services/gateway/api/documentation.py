"""What OpenAPI says of every route: an example of the answer, and the problems it may answer with."""

from __future__ import annotations

from typing import Any

from services.gateway.api.shapes import ByName, whole
from services.gateway.problems import MEDIA_TYPE, example

JSON = "application/json"

PROBLEM = {"$ref": "#/components/schemas/Problem"}
PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. Further members carry the values that the detail names.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri", "example": "urn:artdag:problem:run-not-found"},
        "title": {"type": "string", "example": "Run not found"},
        "status": {"type": "integer", "example": 404},
        "detail": {"type": "string", "example": "no run 7d0f…"},
        "instance": {"type": "string", "example": "/runs/7d0f…"},
        "code": {"type": "string", "example": "run-not-found"},
        "hint": {"type": "string", "example": "No run has this id, or it was deleted."},
        "problems": {"type": "array", "items": {}, "description": "Every rule that is broken"},
        "trace_id": {"type": "string", "description": "Names the request in the server's logs and traces"},
    },
}

CID = "bafybeihkoviema7g3gxyt6la7vd5ho32ictqbilu3wnlo3rs7ewhnp7lly"
RUN_ID = "7d0f4a52-9a3b-5d6e-8c1f-2b3a4c5d6e7f"
TIME = "2026-01-07T12:00:00Z"

PROBLEMS: dict[int, tuple[str, str, str]] = {
    400: ("invalid-cid", "Not a CID", "'abc' is not a CID"),
    401: ("unauthenticated", "No valid token", "this needs a token: send Authorization: Bearer <token>"),
    403: ("foreign-origin", "Host or Origin is not this server", "Host 'example.org' is not this server"),
    404: ("not-found", "There is no such thing", "no run 7d0f…"),
    409: ("run-active", "Not now", "run 7d0f… is still running; cancel it first"),
    410: ("upload-expired", "It was abandoned", "the upload 7d0f… was removed: nothing came for 24 h"),
    412: ("precondition-failed", "It changed meanwhile", "If-Match names version 3, it is version 4 now"),
    413: ("content-too-large", "Too large", "the upload has more than 21474836480 bytes"),
    414: ("uri-too-long", "The address is too long", "the address has more than 8192 bytes"),
    415: ("unsupported-content-type", "Not a body of this kind", "Content-Type is text/plain; send JSON"),
    416: ("range-not-satisfiable", "Range behind the end", "Range 'bytes=900-' is outside the content's 10 bytes"),
    422: ("invalid-request", "A rule is broken", "limit: 0 is not greater than or equal to 1"),
    423: ("upload-busy", "Somebody else writes to it", "the upload 7d0f… is being written to"),
    429: ("rate-limited", "Too many requests", "your address sent too many requests of this kind; try again in 3 s"),
    431: ("request-header-fields-too-large", "The headers are too long", "the head has more than 32768 bytes"),
    460: ("checksum-mismatch", "It arrived damaged", "the sha1 of what arrived is not the one announced"),
    502: ("cid-mismatch", "Another server gave wrong bytes", "the bytes that came are not bafy…"),
    503: ("service-unavailable", "Try again shortly", "the bus did not take StartRun"),
    507: ("storage-full", "The disk is full", "the disk that holds the cache is full; nothing was stored"),
}

ALWAYS = (403, 413, 414, 415, 422, 429, 431, 503)
"""What any request may meet: bodies and addresses are looked at before there is a route."""

RUN: dict[str, Any] = {
    "run_id": RUN_ID,
    "status": "completed",
    "owner": "owner",
    "recipe": "beat-sync",
    "recipe_cid": CID,
    "inputs": [{"name": "video", "cids": [CID]}, {"name": "audio", "cids": [CID]}],
    "output_name": "my-output",
    "output_cid": CID,
    "output_url": f"/cache/{CID}/raw",
    "provenance_cid": CID,
    "provenance_url": f"/cache/{CID}/raw",
    "plan_id": "9f2c…",
    "plan_cid": CID,
    "priority": "interactive",
    "on_failure": "stop",
    "forced": [],
    "rerun_of": None,
    "imported_from": None,
    "deadline": None,
    "wait_timeout": None,
    "step_timeout": None,
    "error": None,
    "progress": {"total": 4, "cached": 2, "completed": 2, "done": 4, "fraction": 1.0},
    "created_at": TIME,
    "updated_at": TIME,
    "duration_ms": 3120,
    "links": {
        "self": f"/runs/{RUN_ID}",
        "events": f"/runs/{RUN_ID}/events",
        "plan": f"/api/run/{RUN_ID}/plan",
        "analysis": f"/api/run/{RUN_ID}/analysis",
    },
}
STEP_PLACE: dict[str, Any] = {
    "step": 3,
    "node": "sync_video",
    "type": "BEAT_SYNC",
    "label": "beat-sync.sync_video.beat_sync",
}
ATTEMPT: dict[str, Any] = {
    "attempt": 1,
    "began_at": TIME,
    "ended_at": TIME,
    "status": "failed",
    "code": "media-worker-lost",
    "kind": "lost",
    "reason": "the process that rendered it died",
    "retry_at": TIME,
}
ACTIVITY: dict[str, Any] = {
    "id": f"https://l1.example/activities/{RUN_ID}",
    "state": "delivered",
    "attempts": 1,
    "last_error": None,
    "next_attempt_at": None,
    "link": "https://l2.example/assets/1",
}
PUBLICATION: dict[str, Any] = {
    "owner": "owner",
    "name": "Cat",
    "description": "A cat, dancing",
    "published_at": TIME,
    "run_id": RUN_ID,
    "recipe_cid": CID,
    "provenance_cid": CID,
    "object": f"https://l1.example/objects/{RUN_ID}",
    "activity": ACTIVITY,
}
RUN_DETAIL = RUN | {
    "status": "running",
    "published": PUBLICATION,
    "steps": {
        "by_status": ByName(cached=2, completed=1, running=1),
        "running": [
            {
                "step": 3,
                "node": "sync_video",
                "type": "BEAT_SYNC",
                "label": "beat-sync.sync_video.beat_sync",
                "attempt": 1,
                "started_at": TIME,
                "frames": {"done": 120, "total": 300},
            }
        ],
        "waiting": [
            STEP_PLACE | {"reason": "the executor went away", "attempts": [ATTEMPT], "retry_at": "2026-01-07T12:00:03Z"}
        ],
        "failed": [
            STEP_PLACE
            | {
                "code": "step-input",
                "kind": "bad-input",
                "reason": "the video has no sound",
                "advice": "Trying again gives the same. Change the step's input or its parameters, …",
                "attempts": [ATTEMPT],
                "links": {"log": f"/api/run/{RUN_ID}/steps/3/log"},
            }
        ],
    },
    "artifacts": [STEP_PLACE | {"cid": CID, "url": f"/cache/{CID}/raw"}],
}
IMPORTED_RUN = RUN | {
    "imported_from": {
        "run_id": RUN_ID,
        "manifest_cid": CID,
        "events_cid": CID,
        "history_url": f"/api/run/{RUN_ID}/history",
    },
}
RERUN = RUN | {
    "status": "requested",
    "rerun_of": RUN_ID,
    "differs": {
        "rerun_of": RUN_ID,
        "recipe_cid": {"from": CID, "to": CID},
        "inputs": ByName(audio={"from": [CID], "to": [CID]}),
        "parameters": ByName(sync_video={"mode": {"from": "stretch", "to": "cut"}}),
        "force": None,
        "output_name": None,
        "priority": {"from": "interactive", "to": "batch"},
        "wait_timeout": None,
        "step_timeout": None,
    },
}
"""The answer to who asks for a run again. ``differs``: null where something is as it was."""

PLAN: dict[str, Any] = {
    "run_id": RUN_ID,
    "status": "planned",
    "plan_id": "9f2c…",
    "plan_cid": CID,
    "plan_url": f"/cache/{CID}/raw",
    "recipe": "dog",
    "recipe_cid": CID,
    "output": 1,
    "levels": [[0], [1]],
    "steps": [
        {
            "index": 1,
            "node": "apply_dog",
            "type": "EFFECT",
            "label": "dog.apply_dog.effect",
            "level": 1,
            "cache_id": "c0ffee…",
            "config": ByName(effect="dog", params={}),
            "inputs": [0],
            "forced": False,
            "status": "pending",
            "output_cid": None,
            "output_url": None,
            "attempt": 0,
            "attempts": [ATTEMPT],
            "started_at": None,
            "retry_at": None,
            "duration_ms": None,
            "error": None,
            "error_code": None,
            "kind": None,
            "advice": None,
            "links": {"log": f"/api/run/{RUN_ID}/steps/1/log"},
        }
    ],
}
RECIPE: dict[str, Any] = {
    "recipe_id": CID,
    "name": "beat-sync",
    "version": "1.0",
    "description": "Synchronize video to audio beats",
    "owner": "owner",
    "source_cid": CID,
    "source_url": f"/cache/{CID}/raw",
    "created_at": TIME,
    "links": {"self": f"/recipes/{CID}", "run": f"/recipes/{CID}/run"},
}
RECIPE_DETAIL = RECIPE | {
    "inputs": [
        {
            "name": "video",
            "node": "video",
            "type": "video",
            "description": "Source video",
            "default": None,
            "list": False,
        }
    ],
    "nodes": [{"id": "video", "type": "SOURCE", "config": ByName(input=True), "inputs": []}],
    "output": "sync_video",
    "on_failure": "stop",
}
OBJECT: dict[str, Any] = {
    "cid": CID,
    "size_bytes": 1048576,
    "media_type": "video/mp4",
    "origin": "upload",
    "names": [{"owner": "owner", "name": "cat"}],
    "stored_at": TIME,
    "links": {"raw": f"/cache/{CID}/raw", "meta": f"/cache/{CID}/meta"},
}
UPLOADED: dict[str, Any] = {
    "cid": CID,
    "size_bytes": 1048576,
    "media_type": "video/mp4",
    "name": "cat",
    "links": {"raw": f"/cache/{CID}/raw", "meta": f"/cache/{CID}/meta"},
}
PENDING: dict[str, Any] = {
    "status": "pending",
    "command_id": "1f6e…",
    "links": {"command": "/api/commands/1f6e…", "resource": f"/runs/{RUN_ID}"},
}

RANGED: dict[int | str, dict[str, Any]] = {
    206: {"description": "The bytes that `Range` asks for", "content": {"*/*": {"example": "(bytes)"}}},
    304: {"description": "`If-None-Match` names it: you have it"},
}
"""What routes that give bytes answer besides."""

SAME: dict[int | str, dict[str, Any]] = {304: RANGED[304]}

UNDERWAY = {
    "type": "object",
    "required": ["status", "links"],
    "properties": {"status": {"type": "string"}, "links": {"type": "object"}},
}
"""What all answers about work that goes on have in common."""


def answers(
    shown: Any, *problems: int, status: int = 200, media_type: str = JSON, pending: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return a route's ``responses``.

    Args:
        shown: example of the answer; its schema is made of it. Empty: the answer has no body.
        problems: HTTP statuses of the problems it may answer with, besides those that every route may.
        pending: it may also answer 202, before its owner has.
    """
    documented: dict[int | str, dict[str, Any]] = {status: {"description": "Done"}}
    if shown != "":
        schema = {"schema": whole(shown)} if media_type == JSON else {}
        documented[status]["content"] = {media_type: {"example": shown, **schema}}
    if pending:
        documented[202] = {
            "description": "Kept, and not handled yet: look at the links",
            "content": {JSON: {"schema": UNDERWAY, "example": PENDING}},
        }
    for number in sorted({*problems, *ALWAYS}):
        documented[number] = _problem(number)
    return documented


def corrected(responses: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a route's ``responses`` without what the framework says of its own accord.

    It promises JSON of no shape where nothing of the kind is sent, and its own form of a refusal where all problems
    have one.
    """
    found = {}
    for status, answer in responses.items():
        content = answer.get("content", {})
        if content.get(JSON) == {"schema": {}}:
            content.pop(JSON)
            if not content:
                answer.pop("content")
        found[status] = _problem(int(status)) if "HTTPValidationError" in str(answer) else answer
    return found


def _problem(status: int) -> dict[str, Any]:
    code, description, detail = PROBLEMS[status]
    shown = example(code, status, detail)
    return {"description": description, "content": {MEDIA_TYPE: {"schema": PROBLEM, "example": shown}}}
