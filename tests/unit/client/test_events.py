"""Server-sent events."""

from __future__ import annotations

import pytest

from artdag_client.events import Event, EventReader


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("", []),
        ("id: 7\nevent: RunPlanned\ndata: {}\n\n", [Event(7, "RunPlanned", {})]),
        ("id:7\nevent:RunPlanned\ndata:{}\n\n", [Event(7, "RunPlanned", {})]),
        ("event: progress\ndata: {}\n\n", [Event(0, "progress", {})]),
        ("data: {}\n\n", [Event(0, "message", {})]),
        (": ping\n\n: ping\n\n", []),
        (": ping\n\nid: 1\n: among fields\nevent: a\ndata: {}\n\n", [Event(1, "a", {})]),
        ('data: {"a":\ndata: [1,\ndata: 2]}\n\n', [Event(0, "message", {"a": [1, 2]})]),
        ('data: {"a": "b: c"}\n\n', [Event(0, "message", {"a": "b: c"})]),
        ("id: 1\nevent: whole\ndata: {}\n\nid: 2\nevent: cut off\ndata: {}\n", [Event(1, "whole", {})]),
        ("id: 1\nevent: no data\n\ndata: {}\n\n", [Event(0, "message", {})]),
    ],
)
def test_server_sent_events(stream: str, expected: list[Event]) -> None:
    reader = EventReader()
    assert [event for line in stream.splitlines() if (event := reader.take(line))] == expected


def test_the_envelope_can_be_left_out() -> None:
    assert Event(3, "RunCompleted", {"subject": "run-r", "data": {"output_cid": "b"}}).facts == {"output_cid": "b"}
    assert Event(0, "progress", {"done": 1}).facts == {"done": 1}
    assert Event(3, "RunDeleted", {}).is_last
    assert not Event(3, "RunPlanned", {}).is_last
