"""Glands, ducts and slits: ellipses in a gently bent plane, and how deep inside them each pixel lies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.phantom.plane import Floats, PixelGrid, SmoothNoise

OUTSIDE_UM = -60.0
"""Depth given to everything that is further than this from any gland."""


class Filling(IntEnum):
    """What is inside a gland's wall."""

    OPEN = 0
    SOLID = 1
    NECROTIC = 2
    CRIBRIFORM = 3


@dataclass(frozen=True)
class Glands:
    """A list of glands; every array has shape (n,), lengths are in µm.

    Attributes:
        y: centre.
        x: centre.
        a: half the long axis.
        b: half the short axis.
        angle: direction of the long axis in radians.
        filling: a :class:`Filling`.
        wall: thickness of the epithelium of an open gland.
    """

    y: Floats
    x: Floats
    a: Floats
    b: Floats
    angle: Floats
    filling: NDArray[np.int8]
    wall: Floats

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def none(cls) -> Glands:
        """An empty list."""
        nothing = np.zeros(0, dtype=np.float32)
        return cls(nothing, nothing, nothing, nothing, nothing, nothing.astype(np.int8), nothing)

    @classmethod
    def join(cls, *parts: Glands) -> Glands:
        """All the glands of several lists, in order."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def keep(self, mask: NDArray[np.bool_]) -> Glands:
        """The glands where `mask` (n,) holds."""
        return Glands(**{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Bend:
    """A smooth displacement of the plane that makes ellipses organic.

    Attributes:
        dy: displacement along y in units of `amplitude`.
        dx: displacement along x in units of `amplitude`.
        amplitude: standard deviation of the displacement in µm.
    """

    dy: SmoothNoise
    dx: SmoothNoise
    amplitude: float

    @classmethod
    def draw(cls, rng: np.random.Generator, scale: float, amplitude: float) -> Bend:
        """A random displacement with blobs of about `scale` µm."""
        return cls(SmoothNoise(rng, scale), SmoothNoise(rng, scale), amplitude)

    def grid(self, pixels: PixelGrid) -> tuple[Floats, Floats]:
        """Displacements (dy, dx) in µm, each (h, w)."""
        return self.dy.grid(pixels) * self.amplitude, self.dx.grid(pixels) * self.amplitude

    def undo(self, y: Floats, x: Floats) -> tuple[Floats, Floats]:
        """The points (n,) that the bend takes to (y, x), by fixed-point iteration."""
        py, px = y, x
        for _ in range(5):
            py, px = y - self.amplitude * self.dy.at(py, px), x - self.amplitude * self.dx.at(py, px)
        return py, px


@dataclass(frozen=True)
class GlandMaps:
    """Which gland each pixel belongs to, each (h, w).

    Attributes:
        depth: µm inside the nearest gland's border; negative outside, not below ``OUTSIDE_UM``.
        owner: index of that gland, -1 where none is near.
    """

    depth: Floats
    owner: NDArray[np.int32]


def draw_glands(glands: Glands, bend: Bend, pixels: PixelGrid) -> GlandMaps:
    """Stamp every gland into a depth map; where two meet, the one that a pixel is deeper in owns it."""
    depth = np.full(pixels.shape, OUTSIDE_UM, dtype=np.float32)
    owner = np.full(pixels.shape, -1, dtype=np.int32)
    dy, dx = bend.grid(pixels)
    for k in range(len(glands)):
        reach = float(glands.a[k]) - OUTSIDE_UM + 3 * bend.amplitude
        rows, columns = pixels.window(float(glands.y[k]), float(glands.x[k]), reach)
        if rows.start == rows.stop or columns.start == columns.stop:
            continue
        box = (rows, columns)
        inside = _ellipse_depth(
            pixels.y[rows, None] + dy[box] - glands.y[k],
            pixels.x[None, columns] + dx[box] - glands.x[k],
            float(glands.a[k]),
            float(glands.b[k]),
            float(glands.angle[k]),
        )
        deeper = inside > depth[box]
        depth[box][deeper] = inside[deeper]
        owner[box][deeper] = k
    return GlandMaps(depth, owner)


def _ellipse_depth(y: Floats, x: Floats, a: float, b: float, angle: float) -> Floats:
    """Approximate distance in µm inside an ellipse's border (first order in the distance, as for signed distances)."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = (cos * x + sin * y) / np.float32(a), (cos * y - sin * x) / np.float32(b)
    radius = np.sqrt(u * u + v * v)
    slope = np.sqrt((u / np.float32(a)) ** 2 + (v / np.float32(b)) ** 2)
    return np.asarray(radius * (1 - radius) / np.maximum(slope, np.float32(1e-6)))


@dataclass(frozen=True)
class Ring:
    """Points along the inside of gland walls, each array (n,).

    Attributes:
        y: position in µm.
        x: position in µm.
        tangent: direction of the wall in radians.
        gland: index of the gland.
    """

    y: Floats
    x: Floats
    tangent: Floats
    gland: NDArray[np.int32]


def ring(glands: Glands, bend: Bend, depth: float, spacing: float, rng: np.random.Generator) -> Ring:
    """Points `spacing` µm apart along the contour that lies `depth` µm inside each gland."""
    y, x, tangent, index = [], [], [], []
    phases = rng.random(4096)
    for k in range(len(glands)):
        a, b = max(float(glands.a[k]) - depth, 1.0), max(float(glands.b[k]) - depth, 1.0)
        t, arc = _equal_arc(a, b, spacing, float(phases[k % 4096]))
        cos, sin = np.cos(glands.angle[k]), np.sin(glands.angle[k])
        u, v = a * np.cos(t), b * np.sin(t)
        y.append(glands.y[k] + sin * u + cos * v)
        x.append(glands.x[k] + cos * u - sin * v)
        tangent.append(glands.angle[k] + arc)
        index.append(np.full(len(t), k, dtype=np.int32))
    if not y:
        none = np.zeros(0, dtype=np.float32)
        return Ring(none, none, none, none.astype(np.int32))
    py, px = bend.undo(np.concatenate(y).astype(np.float32), np.concatenate(x).astype(np.float32))
    return Ring(py, px, np.concatenate(tangent).astype(np.float32), np.concatenate(index))


def _equal_arc(a: float, b: float, spacing: float, phase: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ellipse parameters of points at equal arc lengths, and the tangent's direction in the ellipse's frame there."""
    t = np.linspace(0.0, 2 * np.pi, 257)
    steps = np.hypot(a * np.diff(np.cos(t)), b * np.diff(np.sin(t)))
    length = np.concatenate([[0.0], np.cumsum(steps)])
    count = max(3, round(length[-1] / spacing))
    at = np.interp((np.arange(count) + phase) / count * length[-1], length, t)
    return at, np.arctan2(b * np.cos(at), -a * np.sin(at))
