"""A number, how sure it is, and how it was computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MetricResult:
    """One metric of a comparison.

    Attributes:
        name: for example 'crop_frechet'.
        value: of all images.
        low: lower end of the confidence interval, NaN if there is none.
        high: its upper end.
        n_real: real samples (crops, images) that went in.
        n_generated: generated samples.
        settings: features, weights, crop rule, resamples, level, seed: whatever the number depends on.
        notes: what to keep in mind when it is read.
    """

    name: str
    value: float
    low: float
    high: float
    n_real: int
    n_generated: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; what is not finite becomes None."""
        return {
            "name": self.name,
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "n_real": self.n_real,
            "n_generated": self.n_generated,
            "settings": dict(self.settings),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Value and interval."""
        return f"{self.name} {self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
