"""``python -m services.cache``: keeps the books of content."""

from artdag_common.process import run

if __name__ == "__main__":
    run("cache", "services.cache.wiring")
