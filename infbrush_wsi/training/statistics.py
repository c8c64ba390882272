"""Mean and spread of the data, measured once at the start of a run and kept in the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import CheckpointError, DatasetError

SAMPLES = 48


class Valued(Protocol):
    """A data set whose samples have values."""

    def values(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values (N, C) of sample `number` of the run, and their loss weights (N,)."""
        ...


@dataclass(frozen=True)
class DataStatistics:
    """Moments of T x_0 (values in [-1, 1]).

    Attributes:
        mean: per band.
        std: root mean square of the deviation over all bands.
    """

    mean: tuple[float, ...]
    std: float


def measured_once(facts: dict[str, Any], dataset: Callable[[], Valued]) -> tuple[DataStatistics, dict[str, Any]]:
    """The moments that a run has noted in its facts, or those of a data set; and the facts with them.

    Args:
        facts: of the run that is continued, or {}.
        dataset: makes the data set, of which the samples of the first process are taken.

    Raises:
        DatasetError: see `measure`.
        CheckpointError: if the noted ones are damaged.
    """
    if stored := facts.get("statistics"):
        try:
            known = DataStatistics(tuple(float(mean) for mean in stored["mean"]), float(stored["std"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"the checkpoint's moments of the data are damaged: {stored!r}") from error
        if not (all(map(math.isfinite, known.mean)) and 0 < known.std < math.inf):
            raise CheckpointError(f"the checkpoint's moments of the data are no numbers: {stored!r}")
        return known, facts
    found = measure(dataset())
    return found, facts | {"statistics": {"mean": list(found.mean), "std": found.std}}


def measure(dataset: Valued) -> DataStatistics:
    """Estimate the moments from the first samples of the run, however they are batched; invalid pixels do not count.

    Raises:
        DatasetError: if the images are constant or hold no valid pixel.
    """
    values, weights = [], []
    for number in range(SAMPLES):
        clean, weight = dataset.values(number)
        values.append(clean.astype(np.float64))
        weights.append(weight.astype(np.float64)[:, None])
    value, weight = np.concatenate(values), np.concatenate(weights)
    if not weight.sum() > 0:
        raise DatasetError("the training windows hold no valid pixel: check the masks and 'tissue_fraction'")
    mean = (value * weight).sum(0) / weight.sum()
    variance = (((value - mean) ** 2).mean(1, keepdims=True) * weight).sum() / weight.sum()
    if not variance > 1e-8:
        raise DatasetError("the training windows are constant: nothing can be learnt; check 'mpp' and the tissue mask")
    return DataStatistics(tuple(float(m) for m in mean), float(np.sqrt(variance)))
