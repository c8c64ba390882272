"""Supports that the operators' tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infbrush_wsi.domain import Box, Shape, tiles
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.points.support import LatticeSupport, ScatterSupport


def scattered(
    shape: Shape,
    points: int,
    *,
    k: int = 7,
    pitch: float = 4.0,
    transfer: str = "splat",
    batch: int = 1,
    seed: int = 0,
    name: str = "mixed",
) -> ScatterSupport:
    rng = np.random.default_rng(seed)
    draws = [make_sampler(name).draw(rng, shape, points) for _ in range(batch)]
    return scatter_support(draws, shape, Layout(k, pitch, transfer))


def everywhere(shape: Shape, **options: Any) -> ScatterSupport:
    """All pixels as scattered points: the same order as a tile's tokens."""
    return scattered(shape, shape.count, name="uniform", **options)


def whole(shape: Shape, *, pitch: float = 4.0, ratio: float = 1.0, batch: int = 1) -> LatticeSupport:
    box = Box(0, 0, shape.w, shape.h)
    return LatticeSupport(box, box, shape, ratio, covering(shape, pitch, ratio), batch)


def cut(shape: Shape, side: int, halo: int, *, pitch: float = 4.0, ratio: float = 1.0) -> list[LatticeSupport]:
    grid = covering(shape, pitch, ratio)
    return [LatticeSupport(box.pad(halo).clip(shape), box, shape, ratio, grid) for box in tiles(shape, side)]


def covering(shape: Shape, pitch: float, ratio: float) -> GridGeometry:
    return GridGeometry.covering(shape.h / ratio, shape.w / ratio, pitch)


@pytest.fixture
def supports() -> Any:
    """The makers above."""

    class Supports:
        scattered = staticmethod(scattered)
        everywhere = staticmethod(everywhere)
        whole = staticmethod(whole)
        cut = staticmethod(cut)

    return Supports


@pytest.fixture(autouse=True)
def _on_one_thread(one_thread: None) -> None:
    """Every test of this folder."""
