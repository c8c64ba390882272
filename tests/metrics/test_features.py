"""Feature networks: found by name, deterministic, sensitive to what they should see, and equal to their references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from infbrush_wsi.errors import BandMismatchError, CheckpointError, ConfigError, RegionError
from infbrush_wsi.metrics import FeatureExtractor, feature_extractor, feature_names

pytest.importorskip("skimage")


def grain(n: int, side: int, sigma: float, seed: int = 0) -> np.ndarray:
    """Images of smooth noise with the same mean and contrast."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(n, side, side, 3)), (0, sigma, sigma, 0))
    field = (field - field.mean(axis=(1, 2), keepdims=True)) / field.std(axis=(1, 2), keepdims=True)
    return np.clip(128 + 30 * field, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["texture", "infbrush", "random-conv", "random-conv:7"])
def test_offline_networks_keep_the_protocol(name, one_thread):
    images = grain(3, 64, 2)
    made = feature_extractor(name)
    assert isinstance(made, FeatureExtractor)
    found = made(images)
    assert found.dtype == np.float32
    assert found.shape == (3, made.dimension)
    assert np.isfinite(found).all()
    again = feature_extractor(name)
    assert again.weight_hash == made.weight_hash
    np.testing.assert_allclose(again(images[1:2])[0], found[1], rtol=1e-4, atol=1e-4)


def test_names_and_hashes_tell_networks_apart():
    hashes = {feature_extractor(name).weight_hash for name in ("texture", "infbrush", "random-conv:0", "random-conv:1")}
    assert len(hashes) == 4
    assert {"texture", "inception", "clip", "timm", "tiatoolbox", "random-conv"} <= set(feature_names())


def test_texture_sees_scale_orientation_and_colour_and_not_the_place(one_thread):
    texture = feature_extractor("texture")
    fine, coarse = texture(grain(16, 64, 1.0)), texture(grain(16, 64, 2.0))
    other = texture(grain(16, 64, 1.0, seed=1))
    between = np.linalg.norm(fine.mean(0) - coarse.mean(0))
    assert between > 5 * np.linalg.norm(fine.mean(0) - other.mean(0))
    images = grain(4, 160, 1.5)
    striped = gaussian_filter(images.astype(float), (0, 0, 3, 0)).astype(np.uint8)
    turned = np.ascontiguousarray(np.rot90(striped, axes=(1, 2)))
    assert np.linalg.norm(texture(striped) - texture(turned), axis=1).min() > 1
    moved = np.roll(images, (16, 8), axis=(1, 2))
    redder = images.copy()
    redder[..., 0] = np.minimum(255, redder[..., 0].astype(int) + 40)
    by_place = np.linalg.norm(texture(images) - texture(moved), axis=1)
    by_colour = np.linalg.norm(texture(images) - texture(redder), axis=1)
    assert by_place.max() < by_colour.min() / 3


def test_the_trained_network_sees_more_damage_as_more(one_thread):
    from infbrush_wsi.domain import Shape
    from infbrush_wsi.metrics import frechet_distance
    from infbrush_wsi.phantom import hne_image

    network = feature_extractor("infbrush")
    images = np.stack([hne_image("Invasive", Shape(128, 128), 0.5, seed) for seed in range(16)])
    seen = [network(gaussian_filter(images, (0, s, s, 0))) for s in (0.0, 0.7, 1.5, 3.0)]
    moved = [float(np.linalg.norm(values - seen[0], axis=1).mean()) for values in seen]
    assert moved == sorted(moved)
    assert moved[1] > 0
    with pytest.warns(match="images"):
        assert frechet_distance(seen[0], seen[3]) > frechet_distance(seen[0], seen[1])


def test_the_weights_of_the_trained_network_must_be_whole(tmp_path, monkeypatch):
    from infbrush_wsi.models import feature_network

    (tmp_path / "infbrush.safetensors").write_bytes(feature_network.WEIGHTS.read_bytes()[:5000])
    monkeypatch.setattr(feature_network, "WEIGHTS", tmp_path / "infbrush.safetensors")
    with pytest.raises(CheckpointError, match="install the package again"):
        feature_extractor("infbrush")


def test_texture_is_finite_on_flat_images_and_any_shape():
    texture = feature_extractor("texture")
    flat = np.full((2, 41, 95, 3), 255, np.uint8)
    assert np.isfinite(texture(flat)).all()


def test_bad_input_is_told():
    texture = feature_extractor("texture")
    with pytest.raises(RegionError, match="at least 40 x 40"):
        texture(np.zeros((1, 32, 64, 3), np.uint8))
    with pytest.raises(BandMismatchError, match="bands="):
        texture(np.zeros((1, 64, 64, 4), np.uint8))
    with pytest.raises(BandMismatchError, match="float64"):
        texture(np.zeros((1, 64, 64, 3)))


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("nonsense", "known are .*texture"),
        ("texture:3", "nothing after a colon"),
        ("texture@x.pth", "no file of weights"),
        ("random-conv:x", "whole number"),
    ],
)
def test_names_that_cannot_be_had(name, match):
    with pytest.raises(ConfigError, match=match):
        feature_extractor(name)


def test_an_unknown_device_is_told():
    with pytest.raises(ConfigError, match="nowhere"):
        feature_extractor("texture", device="nowhere")
