"""Encoders of TIAToolbox, which is slow to import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from infbrush_wsi.conditioning.encoders import load_encoder
from infbrush_wsi.errors import CheckpointError, ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.tiatoolbox, pytest.mark.usefixtures("one_thread")]


def test_a_patch_classifier_without_its_classifier(tmp_path: Path, patches: np.ndarray, no_hub: None) -> None:
    vanilla = pytest.importorskip("tiatoolbox.models.architecture.vanilla")
    torch.manual_seed(0)
    network = vanilla.CNNModel("resnet18", num_classes=9).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    encoder = load_encoder("tiatoolbox:resnet18-kather100k", weights=tmp_path / "w.pth")
    large = np.kron(patches[:2], np.ones((1, 5, 5, 1), np.uint8))[:, :224, :224]
    with torch.inference_mode():
        pixels = torch.from_numpy(large.transpose(0, 3, 1, 2)).float() / 255
        expected = network.pool(network.feat_extract(pixels)).flatten(1)
    np.testing.assert_allclose(encoder(large), expected.numpy(), rtol=1e-4, atol=1e-5)
    assert (encoder.record.size, encoder.record.mpp, encoder.record.dimension) == (224, 0.5, 512)


def test_what_is_not_known_or_not_here(no_hub: None) -> None:
    pytest.importorskip("tiatoolbox")
    with pytest.raises(ConfigError, match=r"knows no encoder 'UNI3'; it has .*UNI"):
        load_encoder("tiatoolbox:UNI3")
    with pytest.raises(CheckpointError, match=r"'tiatoolbox:kaiko' cannot be loaded .*hf download 1aurent/"):
        load_encoder("tiatoolbox:kaiko")
