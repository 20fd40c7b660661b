"""``python -m services.auth``: keeps the tokens."""

from artdag_common.process import run
from services.auth.wiring import auth

if __name__ == "__main__":
    run("auth", auth)
