"""``python -m services.planner``: plans runs and hands out their steps."""

from artdag_common.process import run

if __name__ == "__main__":
    run("planner", "services.planner.wiring")
