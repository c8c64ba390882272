"""Mean and spread of the data, measured once at the start of a run and kept in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.training.dataset import FunctionDataset

BATCHES = 6


@dataclass(frozen=True)
class DataStatistics:
    """Moments of T x_0 (values in [-1, 1]).

    Attributes:
        mean: per band.
        std: root mean square of the deviation over all bands.
    """

    mean: tuple[float, ...]
    std: float


def measure(dataset: FunctionDataset) -> DataStatistics:
    """Estimate the moments from a few batches; invalid pixels do not count.

    Raises:
        DatasetError: if the images are constant.
    """
    values, weights = [], []
    for step in range(BATCHES):
        batch = dataset[step]
        values.append(batch.clean.reshape(-1, batch.clean.shape[-1]).double())
        weights.append(batch.weight.reshape(-1, 1).double())
    value, weight = torch.cat(values), torch.cat(weights)
    mean = (value * weight).sum(0) / weight.sum()
    variance = (((value - mean) ** 2).mean(1, keepdim=True) * weight).sum() / weight.sum()
    if not variance > 1e-8:
        raise DatasetError("the training windows are constant: nothing can be learnt; check 'mpp' and the tissue mask")
    return DataStatistics(tuple(float(m) for m in mean), float(variance.sqrt()))
