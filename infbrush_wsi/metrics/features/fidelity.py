"""The networks of torch-fidelity: Inception as FID is defined with, and CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.metrics.features.network import by_library, load_weights, on_device, weight_hash
from infbrush_wsi.metrics.features.protocol import check_images

if TYPE_CHECKING:
    from torch import nn

    from infbrush_wsi.metrics.features.registry import FeatureSpec


class FidelityFeatures:
    """A feature extractor of torch-fidelity, which does its own resizing and normalisation.

    Args:
        name: see `FeatureExtractor`.
        module: of torch-fidelity; takes uint8 (B, 3, H, W) and returns a tuple.
        dimension: of the layer that was chosen.
        device: torch device.
    """

    def __init__(self, name: str, module: nn.Module, dimension: int, device: str) -> None:
        self.name = name
        self.dimension = dimension
        self.input_size: int | None = int(module.INPUT_IMAGE_SIZE)  # type: ignore[arg-type]
        self.weight_hash = weight_hash(module)
        self._device = device
        self._module: Any = on_device(module, device)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (B, D) of uint8 (B, H, W, 3); see `FeatureExtractor`."""
        import torch

        check_images(images, name=self.name)
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self._device)
        with torch.inference_mode():
            (found,) = self._module(batch)
        return np.asarray(found.float().cpu().numpy(), dtype=np.float32)


def inception(spec: FeatureSpec, device: str) -> FidelityFeatures:
    """``inception[@PATH]``: the converted TensorFlow network, layer 2048.

    Raises:
        CheckpointError: if torch-fidelity cannot load the weights.
        MissingExtraError: if torch-fidelity is not installed.
    """
    spec.refuse(argument=True)
    found = require("torch_fidelity.feature_extractor_inceptionv3", extra="metrics", purpose="compute Inception's FID")
    if spec.weights is not None:
        # The library would unpickle anything; this reads tensors only, and refuses a file that holds more.
        load_weights(spec.kind, spec.weights, len)
    return _load(spec, found.FeatureExtractorInceptionV3, "inception-v3-compat", "2048", 2048, device)


def clip(spec: FeatureSpec, device: str) -> FidelityFeatures:
    """``clip[@PATH]``: CLIP's ViT-B/32, 512-d image embeddings.

    Raises:
        CheckpointError: if torch-fidelity cannot load the weights.
        MissingExtraError: if torch-fidelity is not installed.
    """
    spec.refuse(argument=True)
    found = require("torch_fidelity.feature_extractor_clip", extra="metrics", purpose="compute CLIP's FID")
    return _load(spec, found.FeatureExtractorCLIP, "clip-vit-b-32", "clip", 512, device)


def _load(spec: FeatureSpec, extractor: Any, model: str, layer: str, dimension: int, device: str) -> FidelityFeatures:
    if spec.weights is not None and not Path(spec.weights).is_file():
        raise CheckpointError(f"{spec.text!r}: there are no weights at {spec.weights}")
    module = by_library(
        spec.kind, "torch-fidelity", lambda: extractor(model, [layer], feature_extractor_weights_path=spec.weights)
    )
    return FidelityFeatures(spec.kind, module, dimension, device)
