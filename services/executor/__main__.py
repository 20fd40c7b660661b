"""``python -m services.executor``: executes steps."""

from artdag_common.process import run

if __name__ == "__main__":
    run("executor", "services.executor.wiring")
