"""The NATS client's own way in and out: what it writes is the protocol, what it reads is what was sent."""

from __future__ import annotations

import pytest

from artdag_common.messaging.client import Delivery, header_lines, message, read_headers


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (b"NATS/1.0\r\nA: 1\r\nce-id:x:y\r\nEmpty:\r\n\r\n", {"A": "1", "ce-id": "x:y", "Empty": ""}),
        (b"NATS/1.0 404\r\n\r\n", {"Status": "404", "Description": ""}),
        (b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n",
         {"Status": "408", "Description": "Request Timeout", "Nats-Pending-Messages": "3"}),
        (b"NATS/1.0\r\nA: \xff\r\n\r\n", {"A": "\ufffd"}),
    ],
)  # fmt: skip
def test_headers_are_read(raw: bytes, headers: dict[str, str]) -> None:
    assert read_headers(raw) == headers
    delivery = Delivery(None, "s", "", b"", raw)  # type: ignore[arg-type]
    assert delivery.headers == headers
    assert delivery.headers is delivery.headers


def test_no_headers_are_none() -> None:
    assert Delivery(None, "s").headers is None  # type: ignore[arg-type]


def test_messages_are_the_protocols() -> None:
    assert message("a.b", b"data") == b"PUB a.b  4\r\ndata\r\n"
    assert message("a.b", b"", reply="r") == b"PUB a.b r 0\r\n\r\n"
    lines = header_lines({"A": "1", "B": "two"})
    assert message("a", b"data", lines) == b"HPUB a  26 30\r\nNATS/1.0\r\nA: 1\r\nB: two\r\n\r\ndata\r\n"
