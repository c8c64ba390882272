"""Against the libraries whose numbers are published; importing them takes ten seconds or more."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.metrics import (
    SmallSampleWarning,
    feature_extractor,
    frechet_distance,
    kernel_distance,
    kernel_distances,
    precision_recall,
)

pytestmark = pytest.mark.slow


def pair(n: int = 400, m: int = 300, d: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / d**0.5
    real = rng.normal(size=(n, d)) @ mix + 0.3
    return real.astype(np.float32), (rng.normal(size=(m, d)) @ mix * 1.3 + 0.1).astype(np.float32)


def test_frechet_agrees_with_torch_fidelity():
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("torch_fidelity.metric_fid")
    real, made = pair()
    found = frechet_distance(real, made)
    stats = [reference.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, made)]
    fidelity = reference.fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert found == pytest.approx(fidelity, rel=1e-3)


def test_kernel_distance_agrees_with_torch_fidelity():
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("torch_fidelity.metric_kid")
    real, made = pair(300, 300)
    whole = {"kid_subsets": 1, "kid_subset_size": 300, "kid_kernel": "poly", "verbose": False}
    one, two = torch.from_numpy(real), torch.from_numpy(made)
    fidelity = reference.kid_features_to_metric(one, two, **whole)["kernel_inception_distance_mean"]
    found = float(kernel_distances(real, made)[0])
    assert found == pytest.approx(fidelity, rel=1e-3)
    subsets = kernel_distance(real, made, subsets=60, subset_size=100)
    parts = {**whole, "kid_subsets": 60, "kid_subset_size": 100}
    published = reference.kid_features_to_metric(one, two, **parts)
    error = published["kernel_inception_distance_std"] / 60**0.5
    assert subsets.mean == pytest.approx(published["kernel_inception_distance_mean"], abs=5 * error)
    assert subsets.std == pytest.approx(published["kernel_inception_distance_std"], rel=0.4)


def test_precision_recall_density_and_coverage_agree_with_prdc(monkeypatch):
    prdc = pytest.importorskip("prdc")
    from infbrush_wsi.metrics import manifold

    monkeypatch.setattr(manifold, "BLOCK", 64)
    for seed, shift in ((0, 0.0), (1, 0.6)):
        real, made = pair(200, 150, 6, seed)
        real, made = real.astype(np.float64), made.astype(np.float64) + shift
        expected = prdc.compute_prdc(real, made, nearest_k=5)
        found = precision_recall(real, made, k=5)
        assert found == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-9)
        assert 0 < found["precision"] < 1


def test_distances_of_the_same_features():
    torch = pytest.importorskip("torch")
    fid, kid = pytest.importorskip("torchmetrics.image.fid"), pytest.importorskip("torchmetrics.image.kid")
    rng = np.random.default_rng(0)
    sets = rng.normal(size=(300, 16)), rng.normal(0.2, 1.4, (300, 16))
    moments = [(torch.from_numpy(x.mean(0)), torch.from_numpy(np.cov(x.T))) for x in sets]
    expected = float(fid._compute_fid(*moments[0], *moments[1]))
    assert frechet_distance(*sets) == pytest.approx(expected, rel=1e-3)
    expected = float(kid.poly_mmd(*(torch.from_numpy(x) for x in sets)))
    assert float(kernel_distances(*sets)[0]) == pytest.approx(expected, rel=1e-6)


def test_frechet_agrees_with_torchmetrics_from_images_on(one_thread):
    """The whole way, with the same network on both sides."""
    torch = pytest.importorskip("torch")
    fid = pytest.importorskip("torchmetrics.image.fid")
    pytest.importorskip("torch_fidelity")
    network = feature_extractor("random-conv:0")

    class Wrapped(torch.nn.Module):
        num_features = network.dimension

        def forward(self, x):
            return torch.from_numpy(network(x.permute(0, 2, 3, 1).numpy()))

    rng = np.random.default_rng(0)
    shade = rng.integers(60, 160, (2, 24, 1, 1, 3))
    images = np.clip(shade + rng.integers(0, 60, (2, 24, 64, 64, 3)), 0, 255).astype(np.uint8)
    metric = fid.FrechetInceptionDistance(feature=Wrapped(), input_img_size=(3, 64, 64), normalize=False)
    metric.set_dtype(torch.float64)
    for side, real in ((0, True), (1, False)):
        metric.update(torch.from_numpy(images[side].transpose(0, 3, 1, 2).copy()), real=real)
    with pytest.warns(SmallSampleWarning):
        found = frechet_distance(network(images[0]), network(images[1]))
    assert found == pytest.approx(float(metric.compute()), rel=1e-3)


def test_inception_is_torch_fidelitys(tmp_path, one_thread):
    torch = pytest.importorskip("torch")
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = _random_inception(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 80, 3), np.uint8)
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
