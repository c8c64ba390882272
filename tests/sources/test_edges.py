from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.sources.edges import mirror, read_filled, read_mirrored


@given(size=st.integers(1, 9), before=st.integers(0, 40), after=st.integers(0, 40))
def test_mirror_is_numpys_symmetric_padding(size: int, before: int, after: int) -> None:
    expected = np.pad(np.arange(size), (before, after), mode="symmetric")
    np.testing.assert_array_equal(mirror(-before, before + size + after, size), expected)


@given(x=st.integers(-30, 30), y=st.integers(-30, 30), w=st.integers(1, 40), h=st.integers(1, 40))
def test_reading_beyond_the_edge(x: int, y: int, w: int, h: int) -> None:
    image = np.arange(8 * 11 * 2, dtype=np.uint8).reshape(8, 11, 2)
    shape = Shape(8, 11)

    def read(box: Box) -> Any:
        assert box.clip(shape) == box
        assert not box.empty
        return image[box.slices]

    box = Box(x, y, w, h)
    window = np.s_[y + 40 : y + 40 + h, x + 40 : x + 40 + w]
    pad = ((40, 80), (40, 80), (0, 0))
    np.testing.assert_array_equal(read_mirrored(read, box, shape), np.pad(image, pad, mode="symmetric")[window])
    filled = np.pad(image.astype(int), pad, constant_values=-1)[window]
    expected = np.where(filled < 0, np.array([7, 9]), filled)
    np.testing.assert_array_equal(read_filled(read, box, shape, (7, 9)), expected)
