from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import MissingMppError, RegionError
from infbrush_wsi.sources import ArraySource, view
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.level import levels_of
from infbrush_wsi.sources.options import OpenOptions


class Pyramid(Source):
    """Given levels in memory, which counts what is read."""

    name = "pyramid"

    def __init__(self, levels: list[Any], mpp: float) -> None:
        self.pixels = levels
        shapes = [Shape(*p.shape[:2]) for p in levels]
        factors = [round(shapes[0].w / s.w) for s in shapes]
        self.read_pixels = [0] * len(levels)
        super().__init__(
            "<pyramid>",
            channel_names=[str(c) for c in range(levels[0].shape[2])],
            levels=levels_of(Lattice.regular(shapes[0], mpp), shapes, factors),
            background=255,
            metadata={},
            options=OpenOptions(),
            mask_kind="valid",
        )

    @classmethod
    def can_open(cls, path: str) -> bool:
        return False

    @classmethod
    def open(cls, path: str, options: OpenOptions) -> Source:
        raise NotImplementedError

    def _read(self, box: Box, level: int) -> Any:
        self.read_pixels[level] += box.w * box.h
        return self.pixels[level][box.slices].copy()


def all_of(v: Any) -> Any:
    return v.read(Box(0, 0, v.shape.w, v.shape.h))


def test_at_a_levels_spacing_the_pixels_are_the_levels(make: Any) -> None:
    base = make.texture(256, 384)
    levels = [base, make.halved(base, 2), make.halved(base, 4)]
    source = Pyramid(levels, 0.25)
    for index, pixels in enumerate(levels):
        v = source.at(0.25 * 2**index)
        assert v.level.index == index
        assert v.lattice == source.levels[index].lattice
        np.testing.assert_array_equal(all_of(v), pixels)


def test_the_coarsest_level_that_is_fine_enough_is_read(make: Any) -> None:
    base = make.texture(256, 256)
    source = Pyramid([base, make.halved(base, 2), make.halved(base, 4)], 0.25)
    wanted = {0.1: 0, 0.25: 0, 0.4: 0, 0.5: 1, 0.7: 1, 0.97: 1, 1.0: 2, 5.0: 2}
    assert {spacing: source.at(spacing).level.index for spacing in wanted} == wanted
    source.at(1.7).read(Box(5, 5, 1, 1))
    assert source.read_pixels[:2] == [0, 0]
    assert source.read_pixels[2] < 20 * 20


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spacing=st.floats(0.13, 4.0), channels=st.sampled_from([1, 2, 3, 4, 6]), data=st.data(), seed=st.integers(0, 5))
def test_parts_equal_the_whole(make: Any, spacing: float, channels: int, data: st.DataObject, seed: int) -> None:
    source = Pyramid([make.texture(97, 131, channels, seed), make.texture(48, 65, channels, seed)], 0.5)
    v = source.at(spacing)
    whole = all_of(v).astype(int)
    assert whole.shape == (*v.shape.as_tuple(), channels)
    x0, y0 = data.draw(st.integers(0, v.shape.w - 1)), data.draw(st.integers(0, v.shape.h - 1))
    w, h = data.draw(st.integers(1, v.shape.w - x0)), data.draw(st.integers(1, v.shape.h - y0))
    part = v.read(Box(x0, y0, w, h)).astype(int)
    assert np.abs(part - whole[y0 : y0 + h, x0 : x0 + w]).max() <= 1
    if v.lattice == v.level.lattice:
        np.testing.assert_array_equal(part, whole[y0 : y0 + h, x0 : x0 + w])


def test_large_reads_are_cut_and_still_the_same(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    v = ArraySource(make.texture(300, 200), mpp=0.25).at(0.61)
    whole = all_of(v).astype(int)
    monkeypatch.setattr(view, "MAX_PART", 2500)
    assert np.abs(all_of(v).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("spacing", [0.2, 0.37, 0.5, 1.3, 2.9])
def test_pixels_stay_where_they_are(spacing: float) -> None:
    """A linear ramp of physical position keeps its values, whatever the pixel size: no half-pixel shift."""
    n = 240
    x = (np.arange(n) + 0.5) * 0.5
    ramp = np.repeat(np.round(x * 2).astype(np.uint8)[None], n, axis=0)
    v = ArraySource(np.stack([ramp, ramp.T, ramp], axis=-1), mpp=0.5).at(spacing)
    read = all_of(v)
    at = (np.arange(v.shape.w) + 0.5) * v.lattice.spacing.x
    inner = (at > 10) & (at < 110)
    assert np.abs(read[v.shape.h // 2, inner, 0] - at[inner] * 2).max() <= 1.01
    assert np.abs(read[inner, v.shape.w // 2, 1] - at[inner] * 2).max() <= 1.01


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    read = all_of(ArraySource(stripes, mpp=0.5).at(1.9))[5:-5, 5:-5].astype(int)
    assert np.abs(read - 127).max() <= 4


def test_outside_is_refused_mirrored_or_background(make: Any) -> None:
    v = ArraySource(make.texture(60, 80), mpp=0.5).at(0.8)
    h, w = v.shape.as_tuple()
    with pytest.raises(RegionError, match="fill="):
        v.read(Box(-1, 0, 5, 5))
    with pytest.raises(RegionError, match="positive size"):
        v.read(Box(0, 0, 0, 5))
    padded = np.pad(all_of(v), ((7, 9), (5, 70), (0, 0)), mode="symmetric")
    mirrored = v.read(Box(-5, -7, w + 75, h + 16), fill="reflect")
    np.testing.assert_array_equal(mirrored, padded)
    far = v.read(Box(w + 20, -7, 4, 3), fill="reflect")
    assert np.abs(far.astype(int) - padded[0:3, w + 25 : w + 29]).max() <= 1
    filled = v.read(Box(-5, -7, w + 10, h + 14), fill="background")
    assert (filled[:7] == 255).all()
    np.testing.assert_array_equal(filled[7:-7, 5:-5], all_of(v))
    assert (v.read(Box(1000, 1000, 2, 2), fill="background") == 255).all()


def test_units_and_missing_sizes(make: Any) -> None:
    pixels = make.texture(40, 40)
    with pytest.raises(MissingMppError):
        ArraySource(pixels).at(0.5)
    with pytest.raises(MissingMppError):
        ArraySource(pixels).at_mpp(0.5)
    metres = ArraySource(pixels, lattice=Lattice(Shape(40, 40), Affine.scale(0.5, -0.5), "meter"))
    assert metres.at_mpp(1e6).lattice == metres.at(1.0).lattice
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(RegionError, match="positive"):
            metres.at(wrong)


def test_pixels_that_are_not_square(make: Any) -> None:
    v = ArraySource(make.texture(60, 80), mpp=(0.5, 1.0)).at(1.0)
    assert v.shape.as_tuple() == (60, 40)
    assert (v.lattice.spacing.x, v.lattice.spacing.y) == (1.0, 1.0)
    assert all_of(v).shape == (60, 40, 3)
