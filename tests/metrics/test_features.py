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


@pytest.mark.parametrize("name", ["texture", "random-conv", "random-conv:7"])
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
    hashes = {feature_extractor(name).weight_hash for name in ("texture", "random-conv:0", "random-conv:1")}
    assert len(hashes) == 3
    assert {"texture", "inception", "clip", "timm", "torchvision", "random-conv"} <= set(feature_names())


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
    ("name", "error", "match"),
    [
        ("nonsense", ConfigError, "known are .*texture"),
        ("texture:3", ConfigError, "nothing after a colon"),
        ("texture@x.pth", ConfigError, "no file of weights"),
        ("random-conv:x", ConfigError, "whole number"),
        ("timm:no_such_net", ConfigError, "no_such_net"),
        ("torchvision:no_such_net", ConfigError, "no_such_net"),
        ("inception@missing.pth", CheckpointError, "missing.pth"),
        ("torchvision:resnet18@missing.pth", CheckpointError, "missing.pth"),
    ],
)
def test_names_that_cannot_be_had(name, error, match):
    for library in ("timm", "torchvision", "torch_fidelity"):
        pytest.importorskip(library)
    with pytest.raises(error, match=match):
        feature_extractor(name)


def test_an_unknown_device_is_told():
    with pytest.raises(ConfigError, match="nowhere"):
        feature_extractor("texture", device="nowhere")


def test_without_a_network_the_way_out_is_told(tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"@PATH.*texture"):
        feature_extractor("torchvision:resnet18")


def test_inception_is_torch_fidelitys(tmp_path, one_thread):
    torch = pytest.importorskip("torch")
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = _random_inception(tmp_path)
    images = grain(2, 96, 2)
    reference = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
    (expected,) = reference(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    made = feature_extractor(f"inception@{path}")
    assert (made.name, made.dimension, made.input_size) == ("inception", 2048, 299)
    np.testing.assert_allclose(made(images), expected.numpy(), rtol=1e-5, atol=1e-6)


def _random_inception(folder):
    """A file of random weights: the published ones are not needed to compare two ways through the same network."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network

    torch.manual_seed(0)

    class Untrained(Network):
        def load_state_dict(self, state, *args, **kwargs):
            return None

    path = folder / "inception.pth"
    torch.save({}, path)
    torch.save(Untrained("inception-v3-compat", ["2048"], str(path)).state_dict(), path)
    return path


@pytest.mark.parametrize("library", ["torchvision:resnet18", "timm:resnet18"])
def test_networks_with_local_weights_give_pooled_features(library, tmp_path, one_thread):
    import torch

    kind, name = library.split(":")
    pytest.importorskip(kind)
    if kind == "timm":
        import timm

        network = timm.create_model(name)
    else:
        import torchvision

        network = torchvision.models.get_model(name)
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    made = feature_extractor(f"{library}@{path}")
    assert (made.name, made.dimension, made.input_size) == (library, 512, 224)
    found = made(grain(2, 224, 2))
    # The classifier of the whole network, applied to our features, must give the network's own answer.
    mean, std = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    scaled = torch.from_numpy(((grain(2, 224, 2) / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        expected = network.eval()(scaled)
        answer = network.fc(torch.from_numpy(found))
    np.testing.assert_allclose(answer.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        feature_extractor(f"{library}@{path}")


def test_weights_with_code_in_them_are_not_run(tmp_path):
    pytest.importorskip("torch_fidelity")
    import torch

    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    path = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, path)
    with pytest.raises(CheckpointError):
        feature_extractor(f"inception@{path}")
    assert not marker.exists()
