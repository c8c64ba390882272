"""Spectra, correlations, colours, seams and scales on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import wasserstein_distance

from infbrush_wsi.errors import BandMismatchError, ConfigError, DatasetError, RegionError
from infbrush_wsi.metrics import (
    Bootstrap,
    ImageStatistics,
    colour_histograms,
    gradient_ratio,
    image_metrics,
    power_spectra,
    scale_consistency,
    seam_score,
    two_point_covariances,
    variance_ratio,
)
from infbrush_wsi.metrics.spectrum import frequencies
from infbrush_wsi.sources import ArraySource

pytest.importorskip("skimage")


def grey(planes: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(planes, 0, 255).round().astype(np.uint8)[..., None], 3, axis=-1)


def noise(n: int, side: int, sigma: float = 0.0, seed: int = 0) -> np.ndarray:
    field = np.random.default_rng(seed).normal(size=(n, side, side))
    field = gaussian_filter(field, (0, sigma, sigma), mode="wrap") if sigma else field
    return grey(128 + 30 * field / field.std())


@pytest.mark.parametrize("shape", [(128, 128), (97, 160), (160, 97)])
def test_white_noise_has_a_flat_spectrum_of_its_variance(shape):
    planes = grey(128 + np.random.default_rng(0).normal(0, 25, (60, *shape)))
    power = power_spectra(planes).mean(axis=0)
    variance = (planes[..., 0] / 255).var()
    # Wide rings hold many frequencies, the inner ones few.
    np.testing.assert_allclose(power[4:], variance, rtol=0.08)
    np.testing.assert_allclose(power[1:4], variance, rtol=0.25)


def test_a_wave_lies_in_its_ring_whatever_its_direction():
    y, x = np.mgrid[:128, :128]
    for angle in (0.0, 0.7, 1.57):
        phase = 2 * np.pi * frequencies()[13] * (x * np.cos(angle) + y * np.sin(angle))
        power = power_spectra(grey(128 + 60 * np.sin(phase))[None])[0]
        assert power.argmax() == 13
        assert power[13] > 5 * np.delete(power, 13).max()


def test_two_point_covariance_is_that_of_all_pairs():
    planes = noise(2, 20, 1.0)
    found = two_point_covariances(planes)
    values = (planes @ np.array([0.299, 0.587, 0.114]) / 255).reshape(2, -1)
    values -= values.mean(axis=1, keepdims=True)
    y, x = (axis.ravel() for axis in np.mgrid[:20, :20])
    ring = np.rint(np.hypot(y[:, None] - y, x[:, None] - x)).astype(int)
    for index in range(2):
        products = np.outer(values[index], values[index])
        expected = [products[ring == r].mean() for r in range(found.shape[1])]
        np.testing.assert_allclose(found[index], expected, rtol=1e-3, atol=1e-6)


def test_colours_move_as_far_as_wasserstein_says():
    rng = np.random.default_rng(0)
    images = rng.integers(60, 190, (2, 64, 64, 3), np.uint8)
    bluer = images.copy()
    bluer[..., 2] += 30
    one, two = ImageStatistics(), ImageStatistics()
    one.update(images)
    two.update(bluer)
    found = {r.name: r for r in image_metrics(one, two, bootstrap=Bootstrap(resamples=0))}
    from skimage.color import hed_from_rgb, rgb2lab, separate_stains

    for index, name in enumerate("Lab"):
        a, b = (rgb2lab(x)[..., index].ravel() for x in (images, bluer))
        assert found[f"colour_{name}"].value == pytest.approx(wasserstein_distance(a, b), abs=0.1)
    a, b = (6 * separate_stains(x / 255, hed_from_rgb)[..., 1].ravel() for x in (images, bluer))
    assert found["stain_eosin"].value == pytest.approx(wasserstein_distance(a, b), abs=0.002)
    assert np.isnan(found["colour"].low)
    mean, spread = found["colour"].settings["mean_and_std"]["real"]["L"]
    light = rgb2lab(images)[..., 0]
    assert (mean, spread) == pytest.approx((light.mean(), light.std()), abs=0.5)
    np.testing.assert_allclose(colour_histograms(images, stain=False).sum(axis=2), 1)


def test_statistics_tell_blurred_images_from_others_of_the_same_kind():
    sets = [noise(24, 64, sigma, seed) for sigma, seed in ((1.0, 0), (1.0, 1), (1.5, 2))]
    measured = []
    for images in sets:
        statistics = ImageStatistics(stain=False)
        for start in range(0, 24, 10):
            statistics.update(images[start : start + 10])
        measured.append(statistics)
    alike = {r.name: r for r in image_metrics(measured[0], measured[1])}
    blurred = {r.name: r for r in image_metrics(measured[0], measured[2])}
    assert "stain" not in alike
    for name in ("spectrum", "correlation"):
        assert blurred[name].low > alike[name].high
        assert blurred[name].low <= blurred[name].value <= blurred[name].high
    assert alike["spectrum"].value < 1 < 5 < blurred["spectrum"].value


def test_what_does_not_fit_is_told():
    one, two = ImageStatistics(), ImageStatistics(stain=False)
    one.update(noise(1, 64))
    two.update(noise(1, 64))
    with pytest.raises(DatasetError, match="stains in both"):
        image_metrics(one, two)
    with pytest.raises(DatasetError, match="one size"):
        one.update(noise(1, 96))
    assert len(one) == 1
    with pytest.raises(DatasetError, match="no image"):
        image_metrics(one, ImageStatistics())
    with pytest.raises(RegionError, match="64 x 64"):
        one.update(noise(1, 63))
    with pytest.raises(BandMismatchError):
        one.update(noise(1, 64)[..., :1])


def test_seams_are_seen_and_their_absence_too():
    smooth = noise(1, 256, 2.0)[0].astype(float)
    clean = gradient_ratio(smooth, range(32, 256, 32))
    assert abs(clean.value - 1) < 4 * clean.error + 0.1
    stepped = smooth.copy()
    for index in range(1, 8, 2):
        stepped[:, index * 32 : index * 32 + 32] += 20
    assert gradient_ratio(stepped, range(32, 256, 32)).value > 2
    blurred = smooth.copy()
    blurred[100:120] = gaussian_filter(smooth, (4, 4, 0))[100:120]
    blurred[:, 100:120] = gaussian_filter(smooth, (4, 4, 0))[:, 100:120]
    assert variance_ratio(blurred, [(100, 120)]).value < 0.8
    # A wide picture: the borders beyond its height count along its width only.
    wide = np.concatenate([smooth[:64], smooth[:64]], axis=1)
    wide[:, 300:] += 40
    assert gradient_ratio(wide, [300]).value > 3
    with pytest.raises(RegionError, match="no border"):
        gradient_ratio(smooth, [999])


def test_a_texture_of_the_models_own_grid_is_no_seam():
    y, x = np.mgrid[:128, :128]
    grid = grey(128 + 20 * ((x % 4 == 0) | (y % 4 == 0)) + np.random.default_rng(0).normal(0, 3, (128, 128)))
    borders = range(32, 128, 32)
    assert gradient_ratio(grid, borders).value > 1.5
    assert gradient_ratio(grid, borders, period=4).value == pytest.approx(1, abs=0.2)


def test_the_seam_score_of_a_source_has_an_interval():
    smooth = noise(1, 300, 2.0)[0]
    stepped = smooth.copy()
    stepped[:, 64:128] = np.minimum(255, stepped[:, 64:128].astype(int) + 25)
    clean, seamed = (seam_score([ArraySource(pixels)], 64) for pixels in (smooth, stepped))
    assert clean.low < 1 < clean.high
    assert seamed.value > 1.3
    assert seamed.n_generated == 16
    with pytest.raises(RegionError, match="no image is larger"):
        seam_score([ArraySource(smooth[:50])], 64)
    with pytest.raises(ConfigError, match="period"):
        seam_score([ArraySource(smooth)], 64, period=5)


def test_levels_that_are_averages_are_consistent_and_others_are_not(tmp_path):
    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.sources import open_source
    from infbrush_wsi.writers import write_ome_zarr

    da = pytest.importorskip("dask.array")
    fine = noise(1, 512, 1.0)[0]
    halves = fine.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    quarters = noise(1, 128, 1.0, seed=9)[0]
    arrays = [da.from_array(pixels, chunks=(128, 128, 3)) for pixels in (fine, halves, quarters)]
    lattice = Lattice.regular(Shape(512, 512), 0.5)
    path = write_ome_zarr(arrays, tmp_path / "a.ome.zarr", lattice=lattice, name="a")
    found = scale_consistency([open_source(path)], windows=4)
    assert [r.name for r in found][:2] == ["scale_1", "scale_2"]
    assert found[0].value < 0.5
    assert found[1].value > 20
    assert found[1].low <= found[1].value <= found[1].high
    with pytest.raises(RegionError, match="two levels"):
        scale_consistency([ArraySource(fine)])
