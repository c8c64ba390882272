"""What is known of a function that is to be reconstructed: its pixels in a part, or its averages over cells.

A measurement sees T x̂_0, the network's mollified estimate, on all pixels of a frame. It can measure how far the
estimate is from what is known, and it can put what is known in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.points.cell_means import CellMeans

Floats = NDArray[np.float32]


class Measurement(Protocol):
    """Something known of T x_0 on a frame of h x w pixels; tensors are (1, h * w, C)."""

    def error(self, clean: Tensor) -> Tensor:
        """Squared distance of the estimate from what is known, a sum over pixels: a scalar."""
        ...

    def gradient(self, clean: Tensor) -> Tensor:
        """∇ of `error` with respect to the estimate."""
        ...

    def replaced(self, clean: Tensor) -> Tensor:
        """The estimate with what is known in its place."""
        ...


@dataclass(frozen=True)
class Nothing:
    """Nothing is known: what is made follows from where it starts and from its condition."""

    def error(self, clean: Tensor) -> Tensor:
        """0."""
        return clean.new_zeros(())

    def gradient(self, clean: Tensor) -> Tensor:
        """0 everywhere."""
        return torch.zeros_like(clean)

    def replaced(self, clean: Tensor) -> Tensor:
        """The estimate."""
        return clean


@dataclass(frozen=True)
class KnownPixels:
    """Pixels x̄ that are known in a part K of the frame (inpainting, ∞-Diff "applications").

    T x_0 near the border of K is made from pixels on both sides. ``T(K x̄)`` is known exactly and stands for the share
    ``m = T K`` of it, so m is the soft mask, exactly as wide as the mollifier.

    Attributes:
        share: (1, N, 1) m, one where all pixels within the mollifier's reach are known.
        values: (1, N, C) T(K x̄).
    """

    share: Tensor
    values: Tensor

    @classmethod
    def of(cls, image: Floats, known: NDArray[np.bool_], sigma_px: float) -> KnownPixels:
        """From pixels.

        Args:
            image: (h, w, C) in [-1, 1]; where they are not known any finite value.
            known: (h, w).
            sigma_px: standard deviation of the mollifier in pixels.
        """
        mollifier = Mollifier(sigma_px)
        mask = known[..., None].astype(np.float32)
        return cls(_points(mollifier.on_image(mask)), _points(mollifier.on_image(image * mask)))

    def error(self, clean: Tensor) -> Tensor:
        """``‖m T x̂_0 - T(K x̄)‖²``."""
        return self._residual(clean).square().sum()

    def gradient(self, clean: Tensor) -> Tensor:
        """``2 m (m T x̂_0 - T(K x̄))``."""
        return 2.0 * self.share.to(clean) * self._residual(clean)

    def replaced(self, clean: Tensor) -> Tensor:
        """``T(K x̄) + (1 - m) T x̂_0``."""
        return clean - self._residual(clean)

    def _residual(self, clean: Tensor) -> Tensor:
        return self.share.to(clean) * clean - self.values.to(clean)


@dataclass(frozen=True)
class KnownAverages:
    """Averages y of x_0 over cells (super-resolution): those of the sharpened estimate, A W T x̂_0, are to be y.

    Attributes:
        means: A and its smooth right inverse S.
        values: (cells, C) y, in [-1, 1], as an image (h, w, C).
        sigma_px: standard deviation of the mollifier in pixels.
    """

    means: CellMeans
    values: Floats
    sigma_px: float

    def error(self, clean: Tensor) -> Tensor:
        """``‖A W T x̂_0 - y‖²``, each cell counted with its pixels."""
        total = self.means.factor**2 * float((self._residual(clean) ** 2).sum())
        return torch.tensor(total, dtype=clean.dtype, device=clean.device)

    def gradient(self, clean: Tensor) -> Tensor:
        """``2 W Aᵀ (A W T x̂_0 - y)`` with the factor² of `error`; W is symmetric."""
        spread = self.means.repeat(2.0 * self._residual(clean))
        return _points(WienerInverse(self.sigma_px).on_image(spread.astype(np.float32), threads=1)).to(clean)

    def replaced(self, clean: Tensor) -> Tensor:
        """``T x̂_0 + T S (y - A W T x̂_0)``; A W T S is one up to what W leaves of a smooth image, about 1e-3."""
        step = Mollifier(self.sigma_px).on_image(self.means.smooth(self._residual(clean)))
        return clean - _points(step).to(clean)

    def _residual(self, clean: Tensor) -> NDArray[np.float64]:
        cells = self.means.cells
        shape = (cells.h * self.means.factor, cells.w * self.means.factor, -1)
        image = clean.detach().float().cpu().numpy().reshape(shape)
        return self.means.average(WienerInverse(self.sigma_px).on_image(image, threads=1)) - self.values


@dataclass(frozen=True)
class Several:
    """Measurements of which all are to hold; the last is put in place last.

    Attributes:
        parts: the measurements.
    """

    parts: Sequence[Measurement]

    def error(self, clean: Tensor) -> Tensor:
        """Sum of theirs."""
        return torch.stack([part.error(clean) for part in self.parts]).sum()

    def gradient(self, clean: Tensor) -> Tensor:
        """Sum of theirs."""
        return torch.stack([part.gradient(clean) for part in self.parts]).sum(dim=0)

    def replaced(self, clean: Tensor) -> Tensor:
        """One after the other."""
        for part in self.parts:
            clean = part.replaced(clean)
        return clean


def _points(image: Floats) -> Tensor:
    """(h, w, C) → (1, h * w, C)."""
    return torch.from_numpy(np.ascontiguousarray(image)).reshape(1, -1, image.shape[-1])
