"""Any bands as the three that TIAToolbox works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.plugins.pyramid import Pixels


@dataclass(frozen=True)
class RgbPixels:
    """The first three bands of a level, or its first one thrice.

    A fourth band must not be handed over: some of TIAToolbox's tools would take near infrared for opacity.

    Attributes:
        pixels: of the level, (h, w, C).
    """

    pixels: Pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, 3)."""
        return (*self.pixels.shape[:2], 3)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return self.pixels.dtype

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        # TIAToolbox reads with (rows, columns, ...).
        rows, columns = key[:2]
        window = self.pixels[rows, columns]
        return window[..., :3] if window.shape[-1] >= 3 else np.repeat(window[..., :1], 3, axis=-1)
