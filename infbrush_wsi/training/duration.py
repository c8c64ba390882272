"""How many steps a run has: as configured, or fixed by a short measurement where the user gave minutes."""

from __future__ import annotations

import math
import time
from typing import Any

from infbrush_wsi.training.config import OptimConfig

SKIPPED = 3
"""Steps left out of the measurement: kernels are compiled and loader workers start in them."""
MEASURED = 200
"""Steps whose mean pace is enough to go by."""
SHARE = 0.7
"""Of the time before the decay: a short run measures until then at most. Later the learning rate would have to know
the end already; earlier the pace would be known less well, and nothing depends on it yet."""


class RunLength:
    """Number of steps of a run.

    A run that is limited in time measures its pace, and then the number of steps is fixed, once and for all: the
    learning rate falls to zero at that step, and a continued run ends at the same one. A run that is stopped before
    begins its time anew.

    Args:
        optim: settings of the run.
        facts: of the run's checkpoints; the number is kept there.
        step: at which the run (re)starts.
    """

    def __init__(self, optim: OptimConfig, facts: dict[str, Any], step: int = 0) -> None:
        self._minutes, self._facts, self._first = optim.minutes, facts, step
        self._share = SHARE * (1 - optim.decay)
        stored = facts.get("length", {})
        self.total: int | None = optim.steps
        if optim.minutes is not None:
            known = stored.get("steps") if isinstance(stored, dict) and stored.get("minutes") == optim.minutes else None
            self.total = known if isinstance(known, int) and known > 0 else None
        self._started = time.perf_counter()
        self._warm = self._started

    def observe(self, step: int) -> int | None:
        """Tell that a step is done.

        Args:
            step: number of steps done.

        Returns:
            the number of steps of the run, as soon as it is known.
        """
        if self.total is not None or self._minutes is None:
            return self.total
        now, done = time.perf_counter(), step - self._first
        if done <= SKIPPED:
            self._warm = now
        elapsed, budget = now - self._started, 60 * self._minutes
        measured = done - min(done, SKIPPED)
        if measured >= MEASURED or (elapsed > self._share * budget and measured >= 1) or elapsed >= budget:
            pace = (now - self._warm) / measured if measured else math.inf
            return step + max(0, round((budget - elapsed) / pace))
        return None

    @property
    def seconds_left(self) -> float | None:
        """Of the time that was given, while the number of steps is not known."""
        if self.total is not None or self._minutes is None:
            return None
        return max(0.0, 60 * self._minutes - (time.perf_counter() - self._started))

    def fix(self, total: int) -> None:
        """Set the number of steps for good."""
        self.total = total
        self._facts["length"] = {"minutes": self._minutes, "steps": total}
