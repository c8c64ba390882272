"""Light through stained tissue: Beer-Lambert with haematoxylin and eosin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.phantom.plane import Floats

RUIFROK = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
"""Optical densities (R, G, B) of haematoxylin and eosin: Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23 (2001)."""

MACENKO = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
"""The same as estimated by Macenko et al., ISBI 2009."""


@dataclass(frozen=True)
class Stain:
    """How one slide was stained and lit.

    Attributes:
        vectors: (2, 3) unit optical densities of haematoxylin and eosin for R, G, B.
        strength: (2,) factor on the amount of each dye.
        light: (3,) grey level of empty glass.
    """

    vectors: NDArray[np.float64]
    strength: NDArray[np.float64]
    light: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Stain:
        """A slide's stain: between the two published estimates, stronger or weaker, on tinted glass."""
        mix = rng.uniform(0.0, 0.45)
        vectors = (1 - mix) * MACENKO + mix * RUIFROK + rng.normal(0.0, 0.012, (2, 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(vectors, rng.uniform(0.88, 1.14, 2), 243.0 + rng.uniform(-3.0, 3.0, 3))

    def develop(self, haematoxylin: Floats, eosin: Floats) -> NDArray[np.uint8]:
        """Transmitted light of dye amounts (h, w) each (natural-log units) → uint8 (h, w, 3)."""
        densities = (self.vectors * self.strength[:, None]).astype(np.float32)
        picture = np.empty((*haematoxylin.shape, 3), dtype=np.uint8)
        for band in range(3):
            light = np.exp(-(densities[0, band] * haematoxylin + densities[1, band] * eosin))
            picture[..., band] = light * np.float32(self.light[band]) + np.float32(0.5)
        return picture
