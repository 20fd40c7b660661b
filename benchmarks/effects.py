"""What each effect costs a frame of 1280 × 720, on one core, beside a plain copy of the frame: the physical limit.

Processor time, so that what else the machine does counts little. *Steady* is a frame with the parameters of the one
before, so that tables and maps are there. *Bound* is one whose numbers changed since, as when music drives them: each
numeric parameter that may be between its bounds moves a little.

    python benchmarks/effects.py [--size 1280x720] [--runs 20] [--json] [effect …]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "libs")]

import numpy as np  # noqa: E402

from artdag_common.effects.base import Effect, EffectParams  # noqa: E402
from artdag_common.effects.registry import EFFECTS  # noqa: E402

ALWAYS: dict[str, dict[str, Any]] = {"strobe": {"period": 1}, "zoom_pulse": {"period": 0}}
"""Parameters with which an effect that rests on some frames does not."""


def fastest(runs: int, prepare: Callable[[], Any], work: Callable[[Any], None]) -> float:
    """Return the least milliseconds of ``work(prepare())``, without ``prepare``."""
    least = float("inf")
    for _ in range(runs):
        given = prepare()
        begin = time.thread_time()
        work(given)
        least = min(least, time.thread_time() - begin)
    return least * 1000


def moved(effect: Effect, step: int) -> EffectParams:
    """Return the default parameters with every real number a little further from its default, the same way for all."""
    values: dict[str, Any] = dict(ALWAYS.get(effect.name, {}))
    for name, field in effect.params.model_fields.items():
        if field.annotation is float:
            low = max([float(rule.ge) for rule in field.metadata if hasattr(rule, "ge")], default=0.0)
            values[name] = low + (field.default - low) * (1 - step % 7 / 100) if field.default else low + step % 7 / 100
    return effect.params.model_validate(values)


def measure(effect: Effect, frame: Any, runs: int) -> tuple[float, float]:
    """Return milliseconds a frame: steady, bound."""
    state: Any = {}
    params = effect.params.model_validate(ALWAYS.get(effect.name, {}))
    step = 0

    def steady(given: Any) -> None:
        nonlocal state
        _, state = effect.process_frame(given, params, state)

    def bound(given: tuple[Any, EffectParams]) -> None:
        nonlocal state
        _, state = effect.process_frame(*given, state)

    def changed() -> tuple[Any, EffectParams]:
        nonlocal step
        step += 1
        return frame.copy(), moved(effect, step)

    for _ in range(3):
        steady(frame.copy())
    first = fastest(runs, frame.copy, steady)
    state = {}
    bound(changed())
    return first, fastest(runs, changed, bound)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("effects", nargs="*", choices=[[], *EFFECTS], default=[])
    parser.add_argument("--size", default="1280x720", help="width x height")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    # what a camera gives: large forms and a little noise
    random = np.random.Generator(np.random.PCG64(1))
    y, x = np.arange(height)[:, None, None] / height, np.arange(width)[None, :, None] / width
    forms = 90 + 60 * np.sin(9 * x + 4 * y + np.arange(3)) + 60 * y
    frame = np.clip(forms + random.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)

    limit = fastest(options.runs, lambda: frame, lambda given: given.copy())
    rows = {name: measure(EFFECTS[name], frame, options.runs) for name in options.effects or sorted(EFFECTS)}
    if options.json:
        print(json.dumps({"size": options.size, "runs": options.runs, "copy_ms": limit, "effects_ms": rows}))
        return
    print(f"{options.size}, least of {options.runs} runs, ms a frame; frame.copy() takes {limit:.2f}")
    print(f"{'effect':14}{'steady':>8}{'bound':>8}{'copies':>8}")
    for name, (steady, bound) in rows.items():
        print(f"{name:14}{steady:8.2f}{bound:8.2f}{steady / limit:8.1f}")


if __name__ == "__main__":
    main()
