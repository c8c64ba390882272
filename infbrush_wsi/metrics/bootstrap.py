"""Percentile intervals from resampling images with replacement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import ConfigError, DatasetError
from infbrush_wsi.metrics.result import MetricResult

Array = NDArray[np.float64]
Statistic = Callable[[Array, Array], Array]
"""From weights of real (R, N) and generated samples (R, M), how often each was drawn, to R values."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        resamples: how many; 0 gives no interval.
        level: probability that the interval is meant to hold.
        seed: of the draws.
    """

    resamples: int = 200
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 0 or not 0 < self.level < 1:
            raise ConfigError(
                f"a bootstrap needs resamples >= 0 and a level between 0 and 1, not {self.resamples} and {self.level}"
            )

    def weights(self, groups: ArrayLike, stream: int) -> Array:
        """How often each sample was drawn in each resample: float64 (1 + resamples, N), the first row ones.

        Args:
            groups: (N,), samples with the same value (crops of one image, tiles of one patient) are drawn together.
            stream: sets with other numbers are drawn independently.

        Raises:
            DatasetError: if there is none.
        """
        names, member = np.unique(np.asarray(groups), return_inverse=True)
        if not len(names):
            raise DatasetError("there is nothing to resample: the set is empty")
        rng = np.random.default_rng([self.seed, stream])
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=self.resamples)
        # One group alone has no spread; with very few groups such draws occur, and are replaced by all groups.
        drawn[(drawn > 0).sum(axis=1) < 2] = 1
        return np.concatenate([np.ones((1, len(names))), drawn])[:, member]

    def interval(self, values: ArrayLike, *, centre: bool = False) -> tuple[float, float]:
        """Percentiles of the resamples `values[1:]`.

        Args:
            values: (1 + resamples,), the first of all samples.
            centre: shift by the resamples' mean excess over the value. Resampling repeats images, which raises
                every distance that cannot be negative (Fréchet, spectra, colours) as a smaller sample would.

        Returns:
            (low, high), NaN without resamples.
        """
        found = np.asarray(values, dtype=np.float64)
        if len(found) < 2:
            return float("nan"), float("nan")
        tail = (1 - self.level) / 2
        low, high = np.quantile(found[1:], [tail, 1 - tail])
        shift = found[1:].mean() - found[0] if centre else 0.0
        return float(low - shift), float(high - shift)


@dataclass(frozen=True)
class Samples:
    """Which samples there are on both sides, and which belong together.

    Attributes:
        real: (N,) group of each real sample.
        generated: (M,) group of each generated sample.
    """

    real: NDArray[Any]
    generated: NDArray[Any]

    @classmethod
    def single(cls, real: int, generated: int) -> Samples:
        """Samples that are all independent."""
        return cls(np.arange(real), np.arange(generated))


def with_intervals(
    statistic: Callable[[Array, Array], Mapping[str, Array]],
    samples: Samples,
    bootstrap: Bootstrap,
    *,
    settings: Mapping[str, Any],
    centre: bool = False,
    least: float | None = None,
    notes: Sequence[str] = (),
) -> list[MetricResult]:
    """Values with intervals of statistics that share their computation.

    Args:
        statistic: from weights (R, N) and (R, M) to named values (R,).
        samples: both sides.
        bootstrap: how intervals are made.
        settings: what the numbers depend on; the bootstrap's are added.
        centre: see `Bootstrap.interval`.
        least: no interval goes below it, None for no bound.
        notes: for the reader.
    """
    found = statistic(bootstrap.weights(samples.real, 0), bootstrap.weights(samples.generated, 1))
    said = {
        **settings,
        "resamples": bootstrap.resamples,
        "level": bootstrap.level,
        "bootstrap_seed": bootstrap.seed,
        "interval": "percentile, less the resampling bias" if centre else "percentile",
    }
    made = []
    for name, values in found.items():
        low, high = bootstrap.interval(values, centre=centre)
        if least is not None:
            low, high = max(low, least), max(high, least)
        counts = len(samples.real), len(samples.generated)
        made.append(MetricResult(name, float(values[0]), low, high, *counts, said, tuple(notes)))
    return made
