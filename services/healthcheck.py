"""Asks the probe of the service in this container whether it can do work: exit code 0 if so. Standard library only."""

from __future__ import annotations

import http.client
import os
import sys

PATIENCE_SECONDS = 4


def main() -> int:
    """Return 0 if the service is ready, else 1, with its own words."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["ARTDAG_PROBE_PORT"]), timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        print(answer.read(4096).decode(errors="replace"))
        return 0 if answer.status == http.client.OK else 1
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
