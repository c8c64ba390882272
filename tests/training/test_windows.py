"""Where windows are cut: inside the image, over tissue, everywhere else equally."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.domain import Box
from infbrush_wsi.sources.array import ArraySource
from infbrush_wsi.training.windows import WindowPicker


class Half(ArraySource):
    """Valid in its left half only, at an eighth of the resolution."""

    def mask(self, *args: object, **options: object) -> object:
        found = np.zeros((10, 16), bool)
        found[:, :8] = True
        return found, 1.0


def picker(fraction: float = 0.0, kind: type[ArraySource] = ArraySource, window: int = 24) -> WindowPicker:
    source = kind(np.random.default_rng(0).integers(0, 256, (80, 128, 3), dtype=np.uint8), mpp=0.5)
    return WindowPicker(source.at(0.5), source, window, fraction)


def test_windows_are_uniform_over_all_places() -> None:
    rng = np.random.default_rng(0)
    boxes = [picker_.draw(rng) for picker_ in [picker()] for _ in range(4000)]
    x, y = (np.array([getattr(b, axis) for b in boxes]) for axis in ("x0", "y0"))
    assert (x.min(), x.max(), y.min(), y.max()) == (0, 104, 0, 56)
    assert abs(x.mean() - 52) < 4 * np.std(x) / 63
    assert abs(y.mean() - 28) < 4 * np.std(y) / 63
    assert {(b.w, b.h) for b in boxes} == {(24, 24)}


def test_windows_hold_their_share_of_tissue() -> None:
    rng, p = np.random.default_rng(0), picker(0.5, Half)
    boxes = [p.draw(rng) for _ in range(300)]
    assert all(p.share(b) >= 0.5 for b in boxes)
    assert max(b.x0 for b in boxes) > 45  # and no more than that


def test_the_best_window_is_taken_where_none_is_good_enough() -> None:
    assert picker(1.0, Half, window=80).draw(np.random.default_rng(0)).x0 < 10


@pytest.mark.parametrize(
    ("box", "share"),
    [(Box(0, 0, 64, 80), 1.0), (Box(64, 0, 64, 80), 0.0), (Box(32, 0, 64, 80), 0.5), (Box(60, 3, 5, 7), 0.5)],
)
def test_share_counts_touched_cells(box: Box, share: float) -> None:
    assert picker(kind=Half).share(box) == share
    assert picker(kind=Half).crop(box).mean() == share


def test_mask_at_pixels() -> None:
    index = np.array([[0, 0], [79, 63], [0, 64], [79, 127]])
    assert picker(kind=Half).at(index).tolist() == [True, True, False, False]
