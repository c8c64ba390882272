import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError, SamplingError
from infbrush_wsi.fields import Mollifier, NoiseField


def image_of(dtype: type, shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8] | NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    if dtype is np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.uniform(-1, 1, shape).astype(dtype)


def all_points(shape: tuple[int, ...], offset: int) -> NDArray[np.int64]:
    return np.stack(np.mgrid[0 : shape[0], 0 : shape[1]], axis=-1).reshape(-1, 2) + offset


@settings(max_examples=25, deadline=None)
@given(
    sigma=st.sampled_from([0.4, 1.0, 1.3, 2.0]),
    dtype=st.sampled_from([np.uint8, np.float32, np.float64]),
    h=st.integers(9, 40),
    w=st.integers(9, 40),
    channels=st.integers(1, 5),
    threads=st.sampled_from([1, 2, None]),
)
def test_gather_equals_the_dense_blur(
    sigma: float, dtype: type, h: int, w: int, channels: int, threads: int | None
) -> None:
    """Also at the image's border, when the apron is the reflected image."""
    mollifier = Mollifier(sigma)
    image = image_of(dtype, (h, w, channels))
    dense = mollifier.on_image(image)
    apron = mollifier.apron
    tile = np.pad(image, ((apron, apron), (apron, apron), (0, 0)), mode="symmetric")
    gathered = mollifier.gather(tile, all_points(image.shape, apron), threads=threads)
    assert gathered.dtype == dense.dtype == np.float32
    np.testing.assert_allclose(gathered.reshape(h, w, channels), dense, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_in_rows_have_the_bits_of_pixels_alone(sigma: float, channels: int) -> None:
    """Runs of neighbouring pixels of any length are averaged together."""
    mollifier = Mollifier(sigma)
    image = image_of(np.uint8, (30, 180, channels))
    points = all_points((30 - 2 * mollifier.apron, 180 - 2 * mollifier.apron, channels), mollifier.apron)
    rng = np.random.default_rng(2)
    points = points[rng.random(len(points)) < rng.choice([0.1, 0.5, 0.9, 1.0], 30)[points[:, 0]]]
    alone = np.concatenate([mollifier.gather(image, point[None]) for point in points])
    np.testing.assert_array_equal(mollifier.gather(image, points), alone)


def test_gather_follows_the_definition() -> None:
    image = image_of(np.uint8, (9, 9, 2))
    offsets = np.arange(-4, 5)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / 2.0)
    expected = ((image / 127.5 - 1) * (weights / weights.sum())[..., None]).sum(axis=(0, 1))
    np.testing.assert_allclose(Mollifier().gather(image, np.array([[4, 4]]))[0], expected, atol=1e-6)


def test_constants_and_range_are_kept() -> None:
    mollifier = Mollifier()
    for grey, value in ((0, -1.0), (255, 1.0), (51, -0.6)):
        flat = np.full((20, 20, 3), grey, np.uint8)
        np.testing.assert_allclose(mollifier.on_image(flat), value, atol=1e-7)
        np.testing.assert_allclose(mollifier.gather(flat, np.array([[9, 9]])), value, atol=1e-7)
    stripes = np.zeros((30, 30, 1), np.uint8)
    stripes[::2] = 255
    assert np.abs(mollifier.on_image(stripes)).max() <= 1.0


def test_gather_takes_views_and_read_only_arrays() -> None:
    """What a memory-mapped cache hands out."""
    image = image_of(np.uint8, (40, 60, 4))
    points = np.array([[10, 12], [20, 30]], np.int32)
    view = image[2:, ::2, :3]
    expected = Mollifier().gather(np.ascontiguousarray(view), points - [0, 8])
    np.testing.assert_array_equal(Mollifier().gather(view, points - [0, 8]), expected)
    fixed = image.copy()
    fixed.flags.writeable = False
    np.testing.assert_array_equal(Mollifier().gather(fixed, points), Mollifier().gather(image, points))


def test_variance_of_mollified_white_noise() -> None:
    white = NoiseField(seed=4, channels=4).white(Box(0, 0, 1208, 1208))
    values = Mollifier().on_image(white)[4:-4:9, 4:-4:9].astype(np.float64)  # no two share a tap
    expected = 1 / (4 * math.pi)
    assert abs(values.var() / expected - 1) < 3 * math.sqrt(2 / values.size) + 2e-4


def test_mollified_white_noise_is_the_noise_field() -> None:
    """T of the field's own white noise is the field at pixel centres: training and canvas noise have one law."""
    field = NoiseField(seed=5, channels=3)
    white = field.white(Box(-4, -4, 58, 48))
    by_mollifier = Mollifier().on_image(white)[4:-4, 4:-4]
    on_lattice = field.on_lattice((0.0, 0.0), 1.0, Shape(40, 50))
    np.testing.assert_allclose(by_mollifier, on_lattice, atol=3e-4)


def test_transfer_function_of_the_taps() -> None:
    mollifier = Mollifier()
    axis = np.linspace(0, math.pi, 200)
    offsets = np.arange(-mollifier.apron, mollifier.apron + 1)
    exact = (mollifier.taps[:, None] * np.cos(offsets[:, None] * axis)).sum(axis=0)
    closed = mollifier.transfer(np.stack([axis, np.zeros_like(axis)], axis=-1))
    error = exact - closed
    assert np.abs(error[axis < 2.2]).max() < 3e-4
    assert np.abs(error).max() < 0.0073
    diagonal = mollifier.transfer(np.stack([axis, axis], axis=-1))
    np.testing.assert_allclose(diagonal, closed**2, rtol=1e-12)


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match="sigma"):
        Mollifier(sigma=0.0)
    with pytest.raises(ConfigError, match="radius"):
        Mollifier(radius=1)
    mollifier, image = Mollifier(), np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(SamplingError, match="H, W, C"):
        mollifier.on_image(image[..., 0])
    with pytest.raises(SamplingError, match="uint16"):
        mollifier.on_image(image.astype(np.uint16))  # type: ignore[arg-type]
    with pytest.raises(SamplingError, match="whole numbers"):
        mollifier.gather(image, np.zeros((2, 2)))  # type: ignore[arg-type]
    for point in ([3, 10], [10, 3], [16, 10], [10, 26], [-5, 10]):
        with pytest.raises(SamplingError, match="apron"):
            mollifier.gather(image, np.array([[10, 10], point]))
    assert mollifier.gather(image, np.empty((0, 2), np.int64)).shape == (0, 3)
