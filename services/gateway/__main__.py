"""``python -m services.gateway``: the HTTP API, the live streams and the read models."""

from artdag_common.process import run
from services.gateway.wiring import gateway

if __name__ == "__main__":
    run("gateway", gateway)
