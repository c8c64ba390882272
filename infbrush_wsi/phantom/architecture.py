"""Where the glands of each class are: the tissue architecture by which a pathologist tells the four classes apart.

Sizes follow what is usual in breast tissue (acini 20-40 µm, ducts in situ 150-400 µm), a little smaller at the upper
end so that a field of 0.25 mm² already shows its class.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from infbrush_wsi.domain import Extent
from infbrush_wsi.phantom.glands import Filling, Glands
from infbrush_wsi.phantom.plane import Floats, Scatter, scatter

TissueClass = Literal["Normal", "Benign", "InSitu", "Invasive"]
"""The four classes of the BACH challenge (ICIAR 2018)."""

CLASSES: tuple[TissueClass, ...] = get_args(TissueClass)
"""All classes, in the order of malignancy."""


def layout(label: TissueClass, rng: np.random.Generator, extent: Extent) -> Glands:
    """The glands of a field of tissue of one class; invasive growth has none, it is drawn as cords of loose cells.

    Args:
        label: the class.
        rng: generator of this ingredient of the slide.
        extent: the field in µm, corner at the origin.
    """
    if label == "Normal":
        return _normal(rng, extent)
    if label == "Benign":
        return _benign(rng, extent)
    if label == "InSitu":
        return _in_situ(rng, extent)
    return Glands.none()


def _glands(points: Scatter, a: Floats, flattening: Floats, filling: Filling, wall: float) -> Glands:
    """Glands at scattered points; the last random number of a point turns it."""
    n = len(points.y)
    b = (a * flattening).astype(np.float32)
    angle = (np.pi * points.u[:, -1]).astype(np.float32)
    kind, walls = np.full(n, filling, dtype=np.int8), np.full(n, wall, dtype=np.float32)
    return Glands(points.y, points.x, a.astype(np.float32), b, angle, kind, walls)


def _clusters(rng: np.random.Generator, lobules: Scatter, radius: Floats, extent: Extent, spacing: float) -> Scatter:
    """Scattered points that lie within one of the round lobules."""
    acini = scatter(rng, extent, spacing, 0.45)
    distance = np.hypot(acini.y[:, None] - lobules.y, acini.x[:, None] - lobules.x)
    return acini.keep((distance < radius).any(axis=1) if len(lobules.y) else np.zeros(len(acini.y), dtype=bool))


def _normal(rng: np.random.Generator, extent: Extent) -> Glands:
    """Small lobules of a dozen acini and a few single ducts, far apart."""
    lobules = scatter(rng, extent, 360.0, 0.6)
    acini = _clusters(rng, lobules, 62.0 + 34.0 * lobules.u[:, 0], extent, 38.0)
    ducts = scatter(rng, extent, 360.0, 0.6)
    apart = np.hypot(ducts.y[:, None] - lobules.y, ducts.x[:, None] - lobules.x).min(axis=1) > 150.0
    ducts = ducts.keep(apart & (ducts.u[:, 0] < 0.75))
    return Glands.join(
        _glands(acini, 13.0 + 5.0 * acini.u[:, 0], 0.75 + 0.25 * acini.u[:, 1], Filling.OPEN, 9.0),
        _glands(ducts, 30.0 + 18.0 * ducts.u[:, 1], 0.55 + 0.4 * ducts.u[:, 2], Filling.OPEN, 11.0),
    )


def _benign(rng: np.random.Generator, extent: Extent) -> Glands:
    """Many enlarged round glands, and the long curved slits of a fibroadenoma in between."""
    points = scatter(rng, extent, 112.0, 0.5)
    slit = points.u[:, 0] < 0.26
    slits, rounds = points.keep(slit), points.keep(~slit & (points.u[:, 0] < 0.95))
    return Glands.join(
        _glands(rounds, 26.0 + 26.0 * rounds.u[:, 1] ** 1.5, 0.7 + 0.3 * rounds.u[:, 2], Filling.OPEN, 11.5),
        _glands(slits, 85.0 + 65.0 * slits.u[:, 1], 0.15 + 0.06 * slits.u[:, 2], Filling.OPEN, 10.5),
    )


def _in_situ(rng: np.random.Generator, extent: Extent) -> Glands:
    """Ducts blown up by a solid, cribriform or centrally necrotic growth, each within its own round border."""
    points = scatter(rng, extent, 245.0, 0.4)
    a, flattening = 70.0 + 40.0 * points.u[:, 0], 0.74 + 0.26 * points.u[:, 1]
    ducts = _glands(points, a, flattening, Filling.SOLID, 0.0)
    ducts.filling[points.u[:, 2] < 0.42] = Filling.NECROTIC
    ducts.filling[points.u[:, 2] > 0.78] = Filling.CRIBRIFORM
    return ducts
