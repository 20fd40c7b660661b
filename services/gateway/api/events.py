"""Live progress: a run's events as they happen (server-sent events)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from services.gateway.access import session_of
from services.gateway.api.documentation import RUN_ID, answers
from services.gateway.api.runs import RunId, wanted
from services.gateway.parts import Parts, Viewer

router = APIRouter(tags=["runs"])

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
LARGEST = 2**62
SHOWN = (
    "id: 42\nevent: RunStepsScheduled\n"
    'data: {"specversion":"1.0","id":"…","source":"/artdag","type":"artdag.v1.RunStepsScheduled",'
    f'"subject":"run-{RUN_ID}","time":"2026-01-07T12:00:00+00:00","datacontenttype":"application/json",'
    '"position":42,"data":{"steps":[{"step":1,"node":"apply_dog","cache_id":"…","after":0}]}}\n\n'
    'event: progress\ndata: {"node":"apply_dog","step":1,"done":120,"total":300}\n\n'
)


@router.get(
    "/runs/{run_id}/events",
    summary="Follow a run live",
    responses=answers(SHOWN, 401, 404, 422, media_type="text/event-stream")
    | {204: {"description": "The run is over, and Last-Event-ID was its last event"}},
)
async def follow_run(
    request: Request,
    run_id: RunId,
    parts: Parts,
    viewer: Viewer,
    last_event_id: Annotated[int | None, Header(ge=0, le=LARGEST)] = None,
    after: Annotated[
        int | None, Query(alias="last_event_id", ge=0, le=LARGEST, description="For clients without headers")
    ] = None,
) -> Response:
    """Everything that happened to a run and its steps, from the beginning, then as it happens, until it is over.

    `id` is the event's position: a client that comes again with `Last-Event-ID` misses nothing and sees nothing twice.
    `progress` has no id: it is not kept. A client that reads too slowly is cut off and comes again.
    """
    run = await wanted(parts, run_id, viewer)
    position = last_event_id if last_event_id is not None else after or 0
    if run.finished and position:
        ended = await parts.hub.ended_at(run_id)
        if 0 < ended <= position:
            return Response(status_code=204)
    stream = parts.hub.follow(run_id, position, session_of(request))
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)
