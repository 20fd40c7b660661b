"""Asks the probe of the service in this container how it stands: exit code 0 where it may stay. Standard library only.

It may stay if it is ready, and also if it has begun and lives: Swarm ends what is not healthy for a minute. What an
executor renders would be lost while Postgres is away, and read models that take long to make would never get done.
"""

from __future__ import annotations

import http.client
import json
import os
import sys

PATIENCE_SECONDS = {"/ready": 3.0, "/health": 1.5}
"""Docker waits for five, for both."""


def main() -> int:
    """Return 0 if the service is ready, or has begun and lives; else 1. Prints its own words."""
    status, told = ask("/ready")
    if status == http.client.SERVICE_UNAVAILABLE and json.loads(told)["parts"]["started"]:
        status, _ = ask("/health")
    return 0 if status == http.client.OK else 1


def ask(path: str) -> tuple[int, str]:
    """Return what the probe says, and print it; 0: nothing."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ["ARTDAG_PROBE_PORT"]), timeout=PATIENCE_SECONDS[path]
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        told = answer.read().decode(errors="replace")
        print(told)
        return answer.status, told
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}")
        return 0, ""
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
