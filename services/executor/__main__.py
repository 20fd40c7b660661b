"""``python -m services.executor``: executes steps."""

from artdag_common.process import run
from services.executor.wiring import executor

if __name__ == "__main__":
    run("executor", executor)
