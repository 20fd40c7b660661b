"""What traces cost: the run of ``engine.py`` without a collector, and with one that takes every span.

Systems take turns, each new and in a folder of its own. Of both: milliseconds a step by the client's clock, and the
processor time that the five services took for all of their runs, which differs less on a machine that others use too.

    ./artdag bench tracing [--rounds 3] [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engine import STEPS, ours

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TICKS = os.sysconf("SC_CLK_TCK")


class Sink(ThreadingHTTPServer):
    """A collector that takes spans and does nothing with them."""

    daemon_threads = True
    block_on_close = False
    taken_bytes = 0


class Take(BaseHTTPRequestHandler):
    """Answers an export."""

    protocol_version = "HTTP/1.1"
    server: Sink

    def do_POST(self) -> None:
        """Take spans."""
        self.server.taken_bytes += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def collector() -> Iterator[Sink]:
    """A collector on loopback."""
    with Sink(("127.0.0.1", 0), Take) as sink:
        thread = threading.Thread(target=sink.serve_forever, daemon=True)
        thread.start()
        yield sink
        sink.shutdown()
        thread.join()


def processor_seconds(pids: list[int]) -> float:
    """Return how long processes have kept processors busy."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS


async def measured(repeats: int) -> tuple[list[float], float]:
    """Return the seconds of fresh runs in a new system, and the processor time of its services meanwhile."""
    from artdag_cli.system import SERVICES, system

    with tempfile.TemporaryDirectory(prefix="artdag-bench-") as folder:
        async with system(Path(folder) / "artdag", 0, logs_to_files=True) as it:
            pids = [it.supervisor.children[name].pid for name in SERVICES]
            before = processor_seconds(pids)
            runs = await asyncio.to_thread(ours, f"http://127.0.0.1:{it.port}", it.token, repeats)
            return runs["fresh"], processor_seconds(pids) - before


def main() -> None:
    """Measure both, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    busy: dict[str, list[float]] = {"without": [], "with": []}
    with collector() as sink:
        for turn in range(options.rounds):
            for which in sorted(seconds, reverse=turn % 2 == 0):
                os.environ[ENDPOINT] = f"http://127.0.0.1:{sink.server_address[1]}" if which == "with" else ""
                fresh, processors = asyncio.run(measured(options.repeats))
                seconds[which] += fresh
                busy[which].append(processors)
        taken = sink.taken_bytes
    assert taken, "no span came"
    step = {which: statistics.median(each) * 1000 / STEPS for which, each in seconds.items()}
    cpu = {which: statistics.median(each) for which, each in busy.items()}
    found = {
        "load": round(os.getloadavg()[0], 1),
        "ms_per_step": {which: round(each, 3) for which, each in step.items()},
        "processor_seconds": {which: round(each, 2) for which, each in cpu.items()},
        "more_time_percent": round(100 * (step["with"] / step["without"] - 1), 1),
        "more_processor_time_percent": round(100 * (cpu["with"] / cpu["without"] - 1), 1),
        "collector_bytes": taken,
    }
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):28} {value}")


if __name__ == "__main__":
    main()
