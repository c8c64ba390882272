"""Encoders of the libraries: real architectures, weights from local files, compared with the libraries' own way."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infbrush_wsi.conditioning.encoders import Encoder, load_encoder
from infbrush_wsi.conditioning.encoders.weights import state_dict_sha256
from infbrush_wsi.errors import CheckpointError, ConditionError, ConfigError, MissingExtraError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("timm") / "weights.pth"
    torch.save(timm.create_model("test_resnet.r160_in1k", pretrained=False).state_dict(), path)
    return path


def test_timm_is_timm_with_its_own_normalisation(timm_weights: Path, patches: np.ndarray) -> None:
    import timm
    from torchvision.transforms.v2 import functional

    encoder = load_encoder("timm:test_resnet.r160_in1k", weights=timm_weights)
    assert isinstance(encoder, Encoder)
    network = timm.create_model("test_resnet.r160_in1k", pretrained=False, num_classes=0).eval()
    network.load_state_dict(torch.load(timm_weights), strict=False)
    config = timm.data.resolve_model_data_config(network)
    side = config["input_size"][1]
    with torch.inference_mode():
        pixels = torch.from_numpy(patches.transpose(0, 3, 1, 2)).float() / 255
        large = functional.resize(pixels, [side, side], interpolation=2, antialias=True).clamp(0, 1)
        expected = network(functional.normalize(large, config["mean"], config["std"])).numpy()
    np.testing.assert_allclose(encoder(patches), expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 0.01
    record = encoder.record
    assert (record.mean, record.std) == (tuple(config["mean"]), tuple(config["std"]))
    assert (record.size, record.dimension, record.interpolation) == (side, network.num_features, "bilinear")
    assert record.sha256 == state_dict_sha256(network.state_dict())
    assert load_encoder("timm:test_resnet.r160_in1k", weights=timm_weights).record == record


def test_a_patch_does_not_depend_on_its_batch_and_bands_are_checked(timm_weights: Path, patches: np.ndarray) -> None:
    encoder = load_encoder("timm:test_resnet.r160_in1k", weights=timm_weights)
    np.testing.assert_allclose(encoder(patches)[3:4], encoder(patches[3:4]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ConditionError, match="choose bands"):
        encoder(patches[..., :2])
    with pytest.raises(ConfigError, match="takes 3 bands, not 4"):
        load_encoder("timm:test_resnet.r160_in1k", weights=timm_weights, channels=4)


def test_large_patches_are_reduced_as_pillow_reduces_them() -> None:
    from PIL import Image

    from infbrush_wsi.conditioning.encoders.network import NetworkEncoder, Preprocessing

    large = np.random.default_rng(1).integers(0, 256, (2, 90, 90, 3), dtype=np.uint8)
    for name, method in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)):
        encoder = NetworkEncoder(torch.nn.Identity(), lambda x: x.flatten(1), "x", Preprocessing([0], [1], 30, name))
        small = np.stack([np.asarray(Image.fromarray(p[..., 0]).resize((30, 30), method)) for p in large])
        found = encoder(large[..., :1]).reshape(2, 30, 30) * 255
        np.testing.assert_allclose(found, small, atol=1.01)


def test_tokens_of_a_transformer_are_pooled_by_timm(tmp_path: Path, patches: np.ndarray) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("test_vit.r160_in1k", pretrained=False)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    encoder = load_encoder("timm:test_vit.r160_in1k", weights=tmp_path / "w.pth")
    assert encoder(patches).shape == (5, network.num_features)


def test_tokens_that_timm_does_not_pool_are_class_token_and_mean_patch() -> None:
    timm = pytest.importorskip("timm")
    from infbrush_wsi.conditioning.encoders.from_timm import TimmFeatures

    torch.manual_seed(1)
    network = timm.create_model("test_vit", num_classes=0, global_pool="", reg_tokens=4, img_size=64).eval()
    pixels = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        tokens, found = network(pixels), TimmFeatures(network)(pixels)
    assert tokens.shape[1] == 1 + 4 + 16
    torch.testing.assert_close(found, torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1))


def test_torchvision_hands_on_what_its_classifier_is_given(tmp_path: Path, patches: np.ndarray) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    network = models.get_model("shufflenet_v2_x0_5", weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    encoder = load_encoder("torchvision:shufflenet_v2_x0_5", weights=tmp_path / "w.pth")
    weights = models.get_model_weights("shufflenet_v2_x0_5").DEFAULT
    given = []
    network.fc.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    pixels = torch.from_numpy(np.kron(patches, np.ones((1, 5, 5, 1), np.uint8))[:, :224, :224].transpose(0, 3, 1, 2))
    with torch.inference_mode():
        network(weights.transforms()(torch.nn.functional.pad(pixels, (16, 16, 16, 16), "reflect")))
    found = encoder(pixels.numpy().transpose(0, 2, 3, 1))
    np.testing.assert_allclose(found, given[0].numpy(), rtol=1e-3, atol=1e-4)
    assert encoder.record.dimension == 1024
    assert encoder.record.mean == (0.485, 0.456, 0.406)


def test_weights_that_are_not_here_give_one_error_with_the_way_out(no_hub: None) -> None:
    pytest.importorskip("timm")
    with pytest.raises(CheckpointError, match=r"'timm:test_resnet.r160_in1k' cannot be loaded .*hf download timm/test"):
        load_encoder("timm:test_resnet.r160_in1k")
    with pytest.raises(CheckpointError, match=r"cannot be loaded .*download https://download.pytorch.org/"):
        load_encoder("torchvision:shufflenet_v2_x0_5")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uni", "must be one of statistics, timm"),
        ("timm", "names no model"),
        ("timm:resnet5", r"knows no model 'resnet5'; did you mean"),
        ("torchvision:resnet51", r"knows no classifier .*resnet5"),
        ("torchvision:resnet50/BEST", "IMAGENET1K_V2"),
        ("torchvision:squeezenet1_0", "linear classifier"),
    ],
)
def test_names_that_mean_nothing(name: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match=message):
        load_encoder(name, weights=tmp_path / "unused.pth")


def test_weights_of_another_network_are_refused(timm_weights: Path) -> None:
    with pytest.raises(CheckpointError, match="does not hold the weights of the encoder 'timm:test_vit"):
        load_encoder("timm:test_vit.r160_in1k", weights=timm_weights)


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18", "open_clip:RN50/openai", "hf:a/b"])
def test_without_its_library_an_encoder_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("timm", "torchvision.models", "open_clip", "transformers"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"'{name}': pip install 'infbrush-wsi\[encoders\]'"):
        load_encoder(name)
