"""``python -m services.cache``: keeps the books of content."""

from artdag_common.process import run
from services.cache.wiring import cache

if __name__ == "__main__":
    run("cache", cache)
