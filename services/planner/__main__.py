"""``python -m services.planner``: plans runs and hands out their steps."""

from artdag_common.process import run
from services.planner.wiring import planner

if __name__ == "__main__":
    run("planner", planner)
