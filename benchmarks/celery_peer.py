"""The peer of ``engine.py``: no-op steps on Celery with Redis, layer after layer."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

from celery import Celery, group

URL = os.environ["BENCH_REDIS"]
app = Celery("peer", broker=URL, backend=URL)
app.conf.update(task_serializer="json", result_serializer="json", broker_connection_retry_on_startup=True)


@app.task(name="peer.step")
def step(value: int) -> int:
    """Return ``value``."""
    return value


def seconds(run: Callable[[], None]) -> float:
    """Return how long ``run`` takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main(layers: int, width: int, repeats: int) -> None:
    """Print seconds of each round as JSON."""

    def tuned() -> None:
        values = list(range(width))
        for _ in range(layers):
            values = [r.get(timeout=120) for r in group(step.s(v) for v in values).apply_async().results]
        assert values == list(range(width))

    def levels() -> None:
        values = list(range(width))
        for _ in range(layers):
            values = group(step.s(v) for v in values).apply_async().get(timeout=120)
        assert values == list(range(width))

    tuned()
    print(
        json.dumps(
            {
                "tuned": [seconds(tuned) for _ in range(repeats)],
                "levels": [seconds(levels) for _ in range(repeats)],
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
