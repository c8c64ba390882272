"""Training for a given processor time: a short run tells the pace, and from it follows the number of steps."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WARM_UP, TIMED = 8, 24
"""Steps of the short run; a configuration logs every WARM_UP steps."""
ConfigOf = Callable[[int], Any]
"""A number of steps → `infbrush_wsi.training.config.RunConfig`."""


def pace(config_of: ConfigOf, scratch: Path) -> tuple[float, float]:
    """Processor seconds of a training step, batch included, and of what comes before the first."""
    from infbrush_wsi.training.run import train

    shutil.rmtree(scratch, ignore_errors=True)
    clock: dict[int, float] = {}
    begun = time.process_time()
    train(config_of(WARM_UP + TIMED), scratch, report=lambda step, _: clock.update({step: time.process_time()}))
    step = (clock[WARM_UP + TIMED] - clock[WARM_UP]) / TIMED
    return step, max(0.0, clock[WARM_UP] - begun - WARM_UP * step)


def train_for(config_of: ConfigOf, minutes: float, out: Path, *, preparation: bool = False) -> dict[str, Any]:
    """Train for about so many minutes of processor time.

    Args:
        config_of: the run.
        minutes: of processor time on one thread.
        out: its directory; one of a call that was stopped is begun anew.
        preparation: whether what comes before the first step counts, as it does where latents are encoded in it.

    Returns:
        steps and processor seconds.
    """
    step, before = pace(config_of, out.with_name(out.name + "_pace"))
    return train_steps(config_of, max(1, round((60 * minutes - preparation * before) / step)), out)


def train_steps(config_of: ConfigOf, steps: int, out: Path) -> dict[str, Any]:
    """Train for so many steps; returns steps and processor seconds, see `train_for`."""
    from infbrush_wsi.training.run import train

    shutil.rmtree(out, ignore_errors=True)
    begun = time.process_time()
    train(config_of(steps), out)
    return {"steps": steps, "train_cpu_s": time.process_time() - begun}
