"""``python -m services.gateway``: the HTTP API, the live streams and the read models."""

from artdag_common.process import run

if __name__ == "__main__":
    run("gateway", "services.gateway.wiring")
