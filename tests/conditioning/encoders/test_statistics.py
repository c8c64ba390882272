"""The encoder that needs nothing: its numbers against other ways of computing them."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.conditioning.encoders import Encoder, load_encoder
from infbrush_wsi.conditioning.encoders.statistics import OCTAVES
from infbrush_wsi.errors import ConditionError, ConfigError

RNG = np.random.default_rng(3)


def noise(count: int = 3, side: int = 64, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def test_it_is_the_default_and_the_dimension_follows_from_the_bands() -> None:
    encoder = load_encoder()
    assert isinstance(encoder, Encoder)
    assert (encoder.record.name, encoder.record.dimension) == ("statistics", 34)
    for channels in (1, 2, 4):
        some = load_encoder("statistics", channels=channels)
        assert some(noise(2, 32, channels)).shape == (2, some.record.dimension)
    assert len({load_encoder(channels=c).record.sha256 for c in (1, 3, 4)}) == 3
    assert load_encoder().record == encoder.record


def test_densities_and_correlations_are_numpys() -> None:
    patch = noise(1)
    found = load_encoder()(patch)[0]
    density = -np.log10((patch[0].reshape(-1, 3) + 1.0) / 256)
    np.testing.assert_allclose(found[:3], density.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found[3:6], 2 * density.std(0), rtol=1e-6)
    np.testing.assert_allclose(found[12 + 3 * OCTAVES :][:3], np.corrcoef(density.T)[np.triu_indices(3, 1)], atol=1e-6)


def test_octaves_are_the_parts_of_the_variance() -> None:
    patch = noise(1, 64)
    found = load_encoder()(patch)[0][12 : 12 + 3 * OCTAVES].reshape(OCTAVES, 3)
    energies = 10 ** (found.astype(np.float64) * 1.5 - 2.5) - 1e-4
    grey = patch[0] / 255.0
    coarse = grey.reshape(2, 32, 2, 32, 3).mean((1, 3))
    np.testing.assert_allclose(energies.sum(0) + coarse.var((0, 1)), grey.var((0, 1)), rtol=1e-5)


def test_a_stripe_has_its_detail_in_its_octave_and_a_direction() -> None:
    encoder, j = load_encoder(), np.arange(64)
    for octave, period in enumerate((2, 4, 8, 16)):
        stripe = np.where(j // (period // 2) % 2, 200, 50).astype(np.uint8)
        patch = np.broadcast_to(stripe[None, None, :, None], (1, 64, 64, 3))
        found = encoder(patch)[0]
        detail = found[12 : 12 + 3 * OCTAVES].reshape(OCTAVES, 3)
        assert detail[:, 0].argmax() == octave
        assert (np.delete(detail[:, 0], octave) < -0.9).all()
    coherent = found[-4:-1]
    assert coherent.max() > 0.99
    assert encoder(noise(1))[0][-4:-1].max() < 0.3


def test_blank_glass_is_finite_and_pale_and_symmetries_change_nothing() -> None:
    encoder = load_encoder()
    blank = encoder(np.full((1, 64, 64, 3), 255, np.uint8))[0]
    assert np.isfinite(blank).all()
    assert blank[-1] == 1.0
    assert encoder(np.zeros((1, 64, 64, 3), np.uint8))[0][-1] == -1.0
    patch = noise(1)
    for turned in (patch[:, ::-1], patch[:, :, ::-1], patch.transpose(0, 2, 1, 3), np.rot90(patch, 1, (1, 2))):
        np.testing.assert_allclose(encoder(turned), encoder(patch), atol=2e-6)


def test_a_patch_does_not_depend_on_its_batch_and_values_are_of_order_one() -> None:
    encoder, patch = load_encoder(), noise(4, 37)
    np.testing.assert_array_equal(encoder(patch)[2:3], encoder(patch[2:3]))
    assert encoder(patch[:0]).shape == (0, 34)
    assert np.abs(encoder(patch)).max() < 3


def test_what_it_does_not_take() -> None:
    with pytest.raises(ConditionError, match=r"uint8 \(n, h, w, 3\)"):
        load_encoder()(noise(1, 64, 4))
    with pytest.raises(ConditionError, match="float64"):
        load_encoder()(noise(1) / 255)
    with pytest.raises(ConfigError, match="at least 32 x 32"):
        load_encoder()(noise(1, 31))
    with pytest.raises(ConfigError, match="1 to 16 bands"):
        load_encoder(channels=17)
    with pytest.raises(ConfigError, match="neither models nor weights"):
        load_encoder("statistics:large")
