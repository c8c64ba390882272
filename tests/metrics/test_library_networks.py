"""Networks of timm, torchvision and torch-fidelity, with weights from files; importing them takes seconds."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.errors import CheckpointError, ConfigError
from infbrush_wsi.metrics import feature_extractor

pytestmark = pytest.mark.slow


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("timm", ConfigError, "timm:NAME"),
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


@pytest.mark.parametrize("name", ["inception", "torchvision:resnet18"])
def test_without_a_network_the_way_out_is_told(name, tmp_path, monkeypatch):
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"local file"):
        feature_extractor(name)


def test_clip_is_torch_fidelitys(tmp_path, one_thread):
    """A small network of CLIP's kind with random weights, stored as the published one is."""
    import torch

    clip = pytest.importorskip("torch_fidelity.feature_extractor_clip")
    torch.manual_seed(0)

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = clip.CLIPVisual(32, 64, 2, 64, 32).visual
            self.text_projection = torch.nn.Parameter(torch.zeros(8, 32))

        def forward(self, x):
            return self.visual(x) + self.text_projection.sum()

    path = tmp_path / "clip.pt"
    torch.jit.trace(Whole().eval(), torch.zeros(1, 3, 64, 64)).save(str(path))
    images = np.random.default_rng(0).integers(0, 256, (2, 80, 70, 3), np.uint8)
    reference = clip.FeatureExtractorCLIP("clip-vit-b-32", ["clip"], str(path), verbose=False)
    (expected,) = reference(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    made = feature_extractor(f"clip@{path}")
    assert (made.dimension, made.input_size) == (32, 64)
    np.testing.assert_allclose(made(images), expected.numpy(), rtol=1e-5, atol=1e-5)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="clip@PATH"):
        feature_extractor(f"clip@{path}")


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
    found = made(noise())
    # The classifier of the whole network, applied to our features, must give the network's own answer.
    mean, std = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    scaled = torch.from_numpy(((noise() / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        expected = network.eval()(scaled)
        answer = network.fc(torch.from_numpy(found))
    np.testing.assert_allclose(answer.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="weights"):
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
