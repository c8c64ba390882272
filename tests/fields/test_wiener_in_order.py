"""The Wiener inverse by sums in a fixed order: the same filter, and bits that do not depend on the window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from infbrush_wsi.errors import RegionError
from infbrush_wsi.fields import Mollifier, WienerInverse


def noise_image(h: int, w: int, channels: int = 2, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (h, w, channels)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_filter_by_transforms(sigma: float, channels: int) -> None:
    inverse = WienerInverse(sigma_px=sigma, halo=round(max(8, 16 * sigma)))
    sharp = noise_image(2 * inverse.reach + 23, 2 * inverse.reach + 9, channels)
    window = Mollifier(sigma).on_image(sharp)
    found = inverse.apply_in_order(window)
    assert found.dtype == np.float32
    assert found.shape == (23, 9, channels)
    np.testing.assert_allclose(found, inverse.apply(window), rtol=0, atol=1e-5)


WHOLE = noise_image(2 * 12 + 70, 2 * 12 + 50, 3, seed=1)
INVERSE = WienerInverse(sigma_px=0.7, halo=12)


@settings(max_examples=60, deadline=None)
@given(
    y0=st.integers(0, 69),
    x0=st.integers(0, 49),
    h=st.integers(1, 70),
    w=st.integers(1, 50),
    threads=st.sampled_from([None, 1, 2, 5]),
    contiguous=st.booleans(),
)
def test_bits_of_any_window_are_those_of_the_whole(
    y0: int, x0: int, h: int, w: int, threads: int | None, contiguous: bool
) -> None:
    h, w = min(h, 70 - y0), min(w, 50 - x0)
    window = WHOLE[y0 : y0 + h + 24, x0 : x0 + w + 24]
    found = INVERSE.apply_in_order(np.ascontiguousarray(window) if contiguous else window, threads=threads)
    assert np.array_equal(found, INVERSE.apply_in_order(WHOLE, threads=1)[y0 : y0 + h, x0 : x0 + w])


def test_the_mean_is_kept() -> None:
    flat = np.full((30, 31, 1), 0.37, np.float32)
    np.testing.assert_allclose(INVERSE.apply_in_order(flat), 0.37, atol=1e-6)


def test_bad_windows_are_refused() -> None:
    with pytest.raises(RegionError, match="halo of 12"):
        INVERSE.apply_in_order(np.zeros((24, 100, 3), np.float32))
    window = np.zeros((40, 40, 1), np.float32)
    window[3, 3] = np.inf
    with pytest.raises(RegionError, match="not finite"):
        INVERSE.apply_in_order(window)
