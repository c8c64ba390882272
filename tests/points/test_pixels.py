"""T x_0 gathered through the cache equals the mollified image at those pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infbrush_wsi.domain import Box
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.points.pixel_cache import PixelCache
from infbrush_wsi.points.pixels import gather_mollified
from infbrush_wsi.sources.array import ArraySource


@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_equals_the_mollified_image(tmp_path: Path, spacing: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (211, 163, 3), dtype=np.uint8)
    view = ArraySource(pixels, mpp=0.5).at(spacing)
    mollifier = Mollifier(sigma=1.3)
    shape = view.shape
    whole = mollifier.on_image(np.asarray(view.read(Box(0, 0, shape.w, shape.h))))
    index = np.stack(np.meshgrid(np.arange(shape.h), np.arange(shape.w), indexing="ij"), -1).reshape(-1, 2)
    index = np.random.default_rng(1).permutation(index)[:5000]
    index = np.concatenate([index, [[0, 0], [shape.h - 1, shape.w - 1], [0, shape.w - 1]]])
    # A small tile side, so that points fall into many tiles and their order is not that of the tiles.
    cache = PixelCache(tmp_path, tile=32, apron=mollifier.apron)
    found = gather_mollified(cache, view, index, mollifier)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole[tuple(index.T)], atol=2e-6)


def test_no_points(tmp_path: Path) -> None:
    view = ArraySource(np.zeros((20, 20, 3), np.uint8), mpp=0.5).at(0.5)
    cache = PixelCache(tmp_path, apron=4)
    assert gather_mollified(cache, view, np.empty((0, 2), np.int64), Mollifier()).shape == (0, 3)
