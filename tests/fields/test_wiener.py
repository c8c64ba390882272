import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.fields import Mollifier, WienerInverse


def noise_image(h: int, w: int, channels: int = 2, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (h, w, channels)).astype(np.float32)


def grid(side: int) -> NDArray[np.float64]:
    w = 2 * np.pi * np.fft.fftfreq(side)
    return np.stack(np.meshgrid(w, w, indexing="ij"), axis=-1)


def truncated_transfer(inverse: WienerInverse, side: int) -> NDArray[np.float64]:
    padded = np.zeros((side, side))
    padded[: 2 * inverse.reach + 1, : 2 * inverse.reach + 1] = inverse.kernel
    return np.asarray(np.fft.fft2(np.roll(padded, (-inverse.reach, -inverse.reach), (0, 1))).real)


def test_equals_direct_convolution() -> None:
    inverse = WienerInverse(halo=12)
    window = noise_image(24 + 17, 24 + 30)
    patches = sliding_window_view(window.astype(np.float64), (25, 25), axis=(0, 1))
    direct = np.einsum("hwcyx,yx->hwc", patches, inverse.kernel[::-1, ::-1])
    result = inverse.apply(window)
    assert result.dtype == np.float32
    assert result.shape == (17, 30, 2)
    np.testing.assert_allclose(result, direct, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.integers(1, 99), max_size=4, unique=True),
    columns=st.lists(st.integers(1, 119), max_size=4, unique=True),
    sigma=st.sampled_from([0.5, 1.0, 1.4]),
    threads=st.sampled_from([None, 1, 2]),
)
def test_any_tiling_gives_the_same_image(
    rows: list[int], columns: list[int], sigma: float, threads: int | None
) -> None:
    inverse = WienerInverse(sigma_px=sigma)
    halo = inverse.reach
    image = noise_image(100 + 2 * halo, 120 + 2 * halo)
    whole = inverse.apply(image)
    tiled = np.full_like(whole, np.nan)
    ys, xs = [0, *sorted(rows), 100], [0, *sorted(columns), 120]
    for y0, y1 in itertools.pairwise(ys):
        for x0, x1 in itertools.pairwise(xs):
            window = image[y0 : y1 + 2 * halo, x0 : x1 + 2 * halo]
            tiled[y0:y1, x0:x1] = inverse.apply(window, threads=threads)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


def test_the_mean_is_kept() -> None:
    inverse = WienerInverse()
    assert inverse.kernel.sum() == pytest.approx(1.0, abs=1e-12)
    flat = np.full((70, 70, 1), 0.37, np.float32)
    np.testing.assert_allclose(inverse.apply(flat), 0.37, atol=1e-6)


def test_kernel_is_symmetric_and_read_only() -> None:
    kernel = WienerInverse(1.3).kernel
    np.testing.assert_allclose(kernel, kernel[::-1, :], atol=1e-14)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-14)
    with pytest.raises(ValueError, match="read-only"):
        kernel[0, 0] = 1.0


@pytest.mark.parametrize(("halo", "bound"), [(16, 1.2e-2), (32, 4.0e-5), (48, 1.2e-7)])
def test_truncation_error_as_documented(halo: int, bound: float) -> None:
    inverse = WienerInverse(halo=halo)
    error = np.abs(truncated_transfer(inverse, 512) - inverse.transfer(grid(512))).max()
    assert 0.5 * bound < error < bound


def test_default_halo_suits_every_sigma() -> None:
    for sigma in (0.5, 1.0, 2.0, 4.0):
        inverse = WienerInverse(sigma_px=sigma)
        assert inverse.reach == max(8, math.ceil(32 * sigma))
        error = np.abs(truncated_transfer(inverse, 512) - inverse.transfer(grid(512))).max()
        assert error < 1e-3, sigma


def test_transfer_is_the_regularised_inverse_of_the_taps() -> None:
    """g of the sampled Gaussian: the closed form agrees where aliasing is small, the taps everywhere."""
    inverse, mollifier, w = WienerInverse(), Mollifier(), grid(64)
    offsets = np.arange(-mollifier.apron, mollifier.apron + 1)
    axis = (mollifier.taps[:, None] * np.cos(offsets[:, None] * w[0, :, 1])).sum(axis=0)
    g = axis[:, None] * axis[None, :]
    expected = g / (g**2 + 0.05**2) * (1 + 0.05**2)
    np.testing.assert_allclose(inverse.transfer(w), expected, rtol=0, atol=0.2)
    low = np.hypot(w[..., 0], w[..., 1]) < 1.5
    closed = mollifier.transfer(w[low])
    np.testing.assert_allclose(inverse.transfer(w[low]), closed / (closed**2 + 0.0025) * 1.0025, rtol=2e-3)
    assert inverse.transfer(grid(512)).max() <= 10 * 1.0025 + 1e-9


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_inverse_of_the_mollifier_on_band_limited_images(dtype: type) -> None:
    """Up to 0.8 rad per pixel g >= 0.72, so the regularisation may change an amplitude by 0.3 % at most."""
    rng, side = np.random.default_rng(1), 160
    radius = np.hypot(*np.moveaxis(grid(side), -1, 0))
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) * (radius < 0.8)
    image = np.fft.ifft2(spectrum).real
    image = (0.9 * image / np.abs(image).max())[..., None]
    stored = np.round((image + 1) * 127.5).astype(np.uint8) if dtype is np.uint8 else image.astype(np.float32)
    inverse, mollifier = WienerInverse(), Mollifier()
    blurred = mollifier.on_image(stored)
    halo = inverse.reach
    sharp = inverse.apply(blurred)
    inside = image[halo:-halo, halo:-halo]
    error = np.sqrt(((sharp - inside) ** 2).mean())
    before = np.sqrt(((blurred[halo:-halo, halo:-halo] - inside) ** 2).mean())
    assert error < (0.003 * inside.std() if dtype is np.float32 else 0.006)  # uint8 has grey steps of 0.0078
    assert error < 0.2 * before


def test_mirrored_border_continues_the_image() -> None:
    """With the documented border, T and its inverse act on one image: the symmetric extension."""
    image = np.fft.ifft2(np.fft.fft2(noise_image(96, 96, 1)[..., 0]) * (np.hypot(*np.moveaxis(grid(96), -1, 0)) < 0.5))
    symmetric = np.pad(image.real[:48, :48], ((0, 48), (0, 48)), mode="symmetric")[..., None].astype(np.float32)
    inverse, mollifier = WienerInverse(), Mollifier()
    tile = symmetric[:48, :48]
    halo = ((inverse.reach, inverse.reach),) * 2 + ((0, 0),)
    sharp = inverse.apply(np.pad(mollifier.on_image(tile), halo, mode="symmetric"))
    rough = np.abs(mollifier.on_image(tile) - tile).max()
    assert np.abs(sharp - tile).max() < 0.5 * rough


def test_bad_input() -> None:
    for bad, name in (({"sigma_px": 0.0}, "sigma_px"), ({"inv_snr": 0.0}, "inv_snr"), ({"halo": 3}, "halo")):
        with pytest.raises(ConfigError, match=name):
            WienerInverse(**bad)  # type: ignore[arg-type]
    inverse = WienerInverse()
    with pytest.raises(RegionError, match="halo of 32"):
        inverse.apply(np.zeros((64, 100, 3), np.float32))
    with pytest.raises(RegionError, match="h, w, C"):
        inverse.apply(np.zeros((100, 100), np.float32))
    window = np.zeros((80, 80, 1), np.float32)
    window[3, 3] = np.nan
    with pytest.raises(RegionError, match="not finite"):
        inverse.apply(window)


def test_a_whole_image_is_mirrored_beyond_its_border():
    image = np.random.default_rng(0).normal(size=(20, 31, 2)).astype(np.float32)
    inverse = WienerInverse(1.0)
    halo = inverse.reach
    padded = np.pad(image, ((halo, halo), (halo, halo), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(inverse.on_image(image), inverse.apply(padded))


def test_as_a_matrix_it_is_symmetric():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(17, 23, 1)).astype(np.float32) for _ in range(2))
    inverse = WienerInverse(1.0)
    assert float((a * inverse.on_image(b)).sum()) == pytest.approx(float((b * inverse.on_image(a)).sum()), rel=1e-4)
