"""Which cells live where: the nuclei of walls, filled ducts, invading cords, stroma and inflammation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from infbrush_wsi.domain import Extent
from infbrush_wsi.phantom.glands import Bend, Filling, GlandMaps, Glands, ring
from infbrush_wsi.phantom.nuclei import Nuclei
from infbrush_wsi.phantom.plane import Floats, PixelGrid, Scatter, SmoothNoise, scatter
from infbrush_wsi.phantom.stroma import Flow

Draw = Callable[[str], np.random.Generator]
"""Gives the generator of an ingredient by its name."""


@dataclass(frozen=True)
class Tissue:
    """What is known of a slide before its cells are placed.

    Attributes:
        extent: the field in µm.
        pixels: the picture's grid.
        glands: the glands.
        bend: the displacement that they are drawn with.
        maps: depth and owner per pixel.
        flow: direction of the collagen.
        growth: (h, w) 0 to 1, where tumour cells grow in cords (all 0 but in the invasive class).
        hollow: (h, w) 0 to 1, holes and necrosis inside filled ducts, fat and glass: no cells.
    """

    extent: Extent
    pixels: PixelGrid
    glands: Glands
    bend: Bend
    maps: GlandMaps
    flow: Flow
    growth: Floats
    hollow: Floats

    def depth_at(self, y: Floats, x: Floats) -> Floats:
        """Depth in µm at points (n,)."""
        return self.pixels.sample(self.maps.depth, y, x)

    def free(self, y: Floats, x: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether cells may be placed at points (n,)."""
        return np.asarray(self.pixels.sample(self.hollow, y, x) < 0.4)


def wall_nuclei(tissue: Tissue, draw: Draw, size: float) -> Nuclei:
    """The two layers of an open gland's wall: upright luminal nuclei, and flat dark myoepithelial ones outside.

    Args:
        tissue: the slide.
        draw: generators by ingredient.
        size: factor on the luminal nuclei.
    """
    open_glands = tissue.glands.keep(tissue.glands.filling == Filling.OPEN)
    layers = []
    for name, depth, spacing in (("luminal", 5.6, 5.9 * size), ("basal", 1.4, 10.5)):
        rng = draw(name)
        line = ring(open_glands, tissue.bend, depth, spacing, rng)
        u = rng.random((len(line.y), 6), dtype=np.float32)
        y, x = line.y + 1.3 * (u[:, 0] - 0.5), line.x + 1.3 * (u[:, 1] - 0.5)
        # A neighbour that overlaps swallows this stretch of wall: its own ring is drawn there instead.
        kept = (np.abs(tissue.depth_at(y, x) - depth) < 3.0) & tissue.free(y, x)
        y, x, u, tangent = y[kept], x[kept], u[kept], line.tangent[kept]
        if name == "luminal":
            a, b, turn, dye = (3.5 + u[:, 2]) * size, (2.5 + 0.5 * u[:, 3]) * size, np.pi / 2, 1.35 + 0.5 * u[:, 4]
        else:
            a, b, turn, dye = 3.6 + u[:, 2], 1.3 + 0.3 * u[:, 3], 0.0, 1.6 + 0.4 * u[:, 4]
        angle = tangent + np.float32(turn) + 0.3 * (u[:, 5] - 0.5)
        layers.append(
            Nuclei.of(y, x, a=a, b=b, angle=angle, dye=dye, pallor=0.25, ragged=0.04, cell=0.0, phase=u[:, 2])
        )
    return Nuclei.join(*layers)


def filled_duct_nuclei(tissue: Tissue, draw: Draw) -> Nuclei:
    """Crowded, larger nuclei that fill the ducts of carcinoma in situ up to holes and necrosis."""
    points = scatter(draw("fill"), tissue.extent, 9.9, 0.7)
    inside = tissue.depth_at(points.y, points.x) > 3.8
    points = points.keep(inside & tissue.free(points.y, points.x))
    return _tumour(points, spread=0.22)


def cord_nuclei(tissue: Tissue, draw: Draw) -> Nuclei:
    """Large, uneven, irregularly placed nuclei of invasive carcinoma, wherever the growth map is high."""
    points = scatter(draw("cords"), tissue.extent, 10.9, 0.95)
    share = tissue.pixels.sample(tissue.growth, points.y, points.x)
    return _tumour(points.keep((points.u[:, 5] < 0.93 * share) & tissue.free(points.y, points.x)), spread=0.55)


def _tumour(points: Scatter, spread: float) -> Nuclei:
    """Tumour nuclei; `spread` 0 to 1 is how much they differ from one another (pleomorphism)."""
    u = points.u
    mean = 3.9 * (1 + 0.55 * spread) * (1 + spread * (1.5 * u[:, 0] ** 2 - 0.45))
    flattening = 1 - (0.18 + 0.4 * spread) * u[:, 1]
    dye = 1.1 + 0.7 * u[:, 2] ** 2 + spread * 0.9 * (u[:, 3] > 0.8)
    return Nuclei.of(
        points.y,
        points.x,
        a=mean / np.sqrt(flattening),
        b=mean * np.sqrt(flattening),
        angle=np.float32(np.pi) * u[:, 4],
        dye=dye,
        pallor=0.35 + 0.5 * u[:, 3] * (u[:, 3] <= 0.8),
        ragged=0.03 + 0.16 * spread * u[:, 1],
        cell=8.0 + 1.4 * spread,
        phase=u[:, 5],
    )


def stroma_nuclei(tissue: Tissue, draw: Draw, spacing: float) -> Nuclei:
    """Thin dark fibroblasts along the collagen, about one per `spacing`² µm²."""
    points = scatter(draw("fibroblasts"), tissue.extent, spacing, 0.95)
    outside = (tissue.depth_at(points.y, points.x) < -2.5) & tissue.free(points.y, points.x)
    outside &= tissue.pixels.sample(tissue.growth, points.y, points.x) < 0.25
    points = points.keep(outside)
    u = points.u
    near = tissue.depth_at(points.y, points.x) > -14
    angle = np.where(near, _along_walls(tissue, points), tissue.flow.direction(points.y, points.x))
    return Nuclei.of(
        points.y, points.x, a=4.2 + 3.6 * u[:, 0], b=0.9 + 0.8 * u[:, 1] ** 2, angle=angle + 0.4 * (u[:, 2] - 0.5),
        dye=0.95 + 0.65 * u[:, 3], pallor=0.15, ragged=0.1, cell=0.0, phase=u[:, 4],
    )  # fmt: skip


def _along_walls(tissue: Tissue, points: Scatter) -> Floats:
    """Direction of the nearest gland's border at scattered points, in radians."""
    y, x = points.y, points.x
    dy = tissue.depth_at(y + 2, x) - tissue.depth_at(y - 2, x)
    dx = tissue.depth_at(y, x + 2) - tissue.depth_at(y, x - 2)
    return np.asarray(np.arctan2(dx, -dy), dtype=np.float32)


def lymphocytes(tissue: Tissue, draw: Draw, amount: float) -> Nuclei:
    """Small round black nuclei in loose crowds in the stroma; `amount` is the share of stroma that they crowd."""
    points = scatter(draw("lymphocytes"), tissue.extent, 8.0, 0.9)
    crowd = SmoothNoise(draw("crowds"), 42.0).at(points.y, points.x)
    limit = special.ndtri(1 - amount)
    here = (crowd - 0.6 * points.u[:, 0] > limit) & (tissue.depth_at(points.y, points.x) < -3)
    points = points.keep(here & tissue.free(points.y, points.x))
    return Nuclei.of(
        points.y, points.x, a=2.9 + 0.5 * points.u[:, 1], b=2.7 + 0.3 * points.u[:, 2], angle=0.0,
        dye=1.9 + 0.4 * points.u[:, 3], pallor=0.1, ragged=0.03, cell=0.0, phase=points.u[:, 4],
    )  # fmt: skip


def debris(tissue: Tissue, draw: Draw, necrosis: Floats) -> Nuclei:
    """Fragments of dead nuclei in necrotic cores (h, w, 0 to 1)."""
    points = scatter(draw("debris"), tissue.extent, 9.0, 1.0)
    points = points.keep((tissue.pixels.sample(necrosis, points.y, points.x) > 0.6) & (points.u[:, 0] < 0.45))
    return Nuclei.of(
        points.y, points.x, a=0.8 + 1.3 * points.u[:, 1] ** 2, b=0.8 + 0.6 * points.u[:, 2], angle=3 * points.u[:, 3],
        dye=1.1 + 0.9 * points.u[:, 4], pallor=0.0, ragged=0.1, cell=0.0, phase=points.u[:, 5],
    )  # fmt: skip
