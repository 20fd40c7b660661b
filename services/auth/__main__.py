"""``python -m services.auth``: keeps the tokens."""

from artdag_common.process import run

if __name__ == "__main__":
    run("auth", "services.auth.wiring")
