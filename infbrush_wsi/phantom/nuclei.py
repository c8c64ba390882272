"""Cell nuclei: small patches stamped into maps of coverage and dye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infbrush_wsi.phantom.plane import Floats, PixelGrid

_BATCH_PIXELS = 1 << 18
"""Patches are computed together up to this many pixels, so that their temporaries stay in the cache."""


@dataclass(frozen=True)
class Nuclei:
    """A list of nuclei; every array has shape (n,), lengths are in µm.

    Attributes:
        y: centre.
        x: centre.
        a: half the long axis.
        b: half the short axis.
        angle: direction of the long axis in radians.
        dye: amount of haematoxylin (natural-log optical density).
        pallor: 0 (evenly dark) to 1 (pale inside with a dark membrane and a nucleolus, "vesicular").
        ragged: relative deviation of the outline from an ellipse.
        cell: radius of the cell body around it; 0 for none.
        phase: uniform in [0, 1): whatever else differs between nuclei.
    """

    y: Floats
    x: Floats
    a: Floats
    b: Floats
    angle: Floats
    dye: Floats
    pallor: Floats
    ragged: Floats
    cell: Floats
    phase: Floats

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def of(cls, y: Floats, x: Floats, **values: Floats | float) -> Nuclei:
        """Nuclei at points (n,), the other attributes given as arrays or as one value for all."""
        columns = {name: np.broadcast_to(np.asarray(v, np.float32), y.shape) for name, v in values.items()}
        return cls(y=y, x=x, **columns)

    @classmethod
    def join(cls, *parts: Nuclei) -> Nuclei:
        """All the nuclei of several lists, in order."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def order(self, indices: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Nuclei:
        """The nuclei at `indices` (m,), in that order."""
        return Nuclei(**{name: getattr(self, name)[indices] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class NuclearMaps:
    """What the nuclei put into each pixel, each (h, w) float32.

    Attributes:
        cover: 0 to 1, how much of the pixel is nucleus.
        dye: haematoxylin in the nuclei, before chromatin texture.
        cell: 0 to 1, how central the pixel is in a cell body.
    """

    cover: Floats
    dye: Floats
    cell: Floats


def draw_nuclei(nuclei: Nuclei, pixels: PixelGrid) -> NuclearMaps:
    """Stamp the nuclei in batches of equal patch size; where two overlap, the darker one is seen."""
    maps = NuclearMaps(*(np.zeros(pixels.shape, dtype=np.float32) for _ in range(3)))
    if not len(nuclei):
        return maps
    reach = np.maximum(nuclei.a * (1 + nuclei.ragged) + pixels.spacing, nuclei.cell)
    half = np.ceil(reach / pixels.spacing).astype(int) + 1
    size_order = np.argsort(half, kind="stable")
    sizes, starts = np.unique(half[size_order], return_index=True)
    for size, members in zip(sizes, np.split(size_order, starts[1:]), strict=True):
        step = max(1, _BATCH_PIXELS // (2 * int(size) + 1) ** 2)
        for start in range(0, len(members), step):
            _stamp(maps, nuclei.order(members[start : start + step]), int(size), pixels)
    return maps


def _stamp(maps: NuclearMaps, nuclei: Nuclei, half: int, pixels: PixelGrid) -> None:
    """Compute (n, 2 half + 1, 2 half + 1) patches at once and merge each into the maps by the maximum."""
    h, w = pixels.shape
    row = np.floor(nuclei.y / pixels.spacing).astype(int) - half
    column = np.floor(nuclei.x / pixels.spacing).astype(int) - half
    side = 2 * half + 1
    steps = np.arange(side, dtype=np.float32) + 0.5
    dy = (row[:, None] + steps) * np.float32(pixels.spacing) - nuclei.y[:, None]
    dx = (column[:, None] + steps) * np.float32(pixels.spacing) - nuclei.x[:, None]
    cover, dye, cell = _patches(nuclei, dy[:, :, None], dx[:, None, :], pixels.spacing)
    for k in range(len(nuclei)):
        r0, c0 = row[k], column[k]
        r1, c1 = min(r0 + side, h), min(c0 + side, w)
        top, left = max(r0, 0), max(c0, 0)
        if top >= r1 or left >= c1:
            continue
        into = (slice(top, r1), slice(left, c1))
        part = (k, slice(top - r0, r1 - r0), slice(left - c0, c1 - c0))
        for target, patch in ((maps.cover, cover), (maps.dye, dye), (maps.cell, cell)):
            np.maximum(target[into], patch[part], out=target[into])


def _patches(nuclei: Nuclei, dy: Floats, dx: Floats, spacing: float) -> tuple[Floats, Floats, Floats]:
    """(cover, dye, cell) of nuclei on their own patches (n, side, side)."""

    def per(values: Floats) -> Floats:
        return np.asarray(values, dtype=np.float32)[:, None, None]

    cos, sin = per(np.cos(nuclei.angle)), per(np.sin(nuclei.angle))
    u, v = (cos * dx + sin * dy) / per(nuclei.a), (cos * dy - sin * dx) / per(nuclei.b)
    radius = np.sqrt(u * u + v * v) + np.float32(1e-6)
    c, s = u / radius, v / radius
    swing = per(np.cos(2 * np.pi * nuclei.phase)), per(np.sin(2 * np.pi * nuclei.phase))
    # cos(3t) and sin(2t) by the multiple-angle formulas: an arctangent a pixel would cost more than all the rest.
    lobes = swing[0] * (4 * c * c - 3) * c + swing[1] * 2 * s * c
    radius /= 1 + per(nuclei.ragged) * lobes
    mean = per(np.sqrt(nuclei.a * nuclei.b))
    cover = np.clip((1 - radius) * mean / np.float32(max(spacing, 0.6)) + 0.5, 0, 1).astype(np.float32)
    membrane = np.exp(-(((radius - np.float32(0.9)) / np.float32(0.13)) ** 2))
    spot = (u - np.float32(0.35) * swing[0]) ** 2 + (v - np.float32(0.35) * swing[1]) ** 2
    nucleolus = np.exp(-spot / np.float32(0.03))
    pallor = per(nuclei.pallor)
    vesicle = np.float32(0.5) * membrane + np.float32(0.6) * nucleolus - np.float32(0.5)
    dye = per(nuclei.dye) * (1 + pallor * vesicle)
    distance = np.sqrt(dx * dx + dy * dy) / np.maximum(per(nuclei.cell), np.float32(1e-3))
    cell = np.clip(1 - distance, 0, 1)
    return cover, np.asarray(cover * dye, np.float32), cell.astype(np.float32)
