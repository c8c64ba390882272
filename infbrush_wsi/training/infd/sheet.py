"""Pictures of a training run side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def sheet(rows: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Rows of pictures (n, C, h, w) in [-1, 1] as one picture, uint8 (H, W, 3); bands beyond the third are left out."""
    joined = torch.cat([torch.cat(list(row.float().cpu()), dim=2) for row in rows], dim=1).numpy()
    shown = joined[:3] if joined.shape[0] >= 3 else np.repeat(joined[:1], 3, axis=0)
    return np.asarray(((shown.clip(-1, 1) + 1) * 127.5).round(), np.uint8).transpose(1, 2, 0)
