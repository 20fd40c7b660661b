"""``python -m tests.l2``: settings, parts, serve."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import uvicorn

from tests.l2.app import Registry, create_app
from tests.l2.books import Books
from tests.l2.calling import Caller
from tests.l2.courier import Courier
from tests.l2.inbox import Inbox
from tests.l2.names import origin_of
from tests.l2.tokens import Tokens


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.l2", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="SQLite file, made at the first start")
    parser.add_argument("--public-url", required=True, help="address that people and L1 servers use")
    parser.add_argument("--domain", default="", help="domain of handles and WebFinger; default: of the public URL")
    parser.add_argument(
        "--people", type=Path, help="file of lines `name password`: accounts to have at the first start"
    )
    parser.add_argument("--renderer", action="append", default=[], help="address of an L1 server to list")
    parser.add_argument("--clock-offset", type=float, default=0.0, help="seconds that our clock is ahead of the truth")
    return parser.parse_args()


def main() -> None:
    """Run until told to stop."""
    given = arguments()
    public_url = origin_of(given.public_url)
    ahead = float(given.clock_offset)
    domain = given.domain or public_url.partition("://")[2]

    def clock() -> float:
        return time.time() + ahead

    books = Books(given.data)
    for line in given.people.read_text().splitlines() if given.people else ():
        name, password = line.split()
        if not books.knows(name):
            books.add_person(name, password, clock())
    for renderer in given.renderer:
        books.add_renderer(origin_of(renderer), clock())
    caller = Caller(books.actor_key(), f"{public_url}/actor#main-key", clock)
    courier = Courier(books, caller, clock)
    registry = Registry(
        public_url=public_url,
        domain=domain,
        clock=clock,
        books=books,
        tokens=Tokens(books, public_url, clock),
        courier=courier,
        inbox=Inbox(books, caller, public_url, clock),
    )
    app = create_app(registry, (courier, caller))
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False, server_header=False)


if __name__ == "__main__":
    main()
