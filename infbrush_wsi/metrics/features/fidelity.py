"""The networks of torch-fidelity: Inception as FID is defined with, and CLIP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.metrics.features.network import on_device, weight_hash
from infbrush_wsi.metrics.features.protocol import check_images

if TYPE_CHECKING:
    from torch import nn

    from infbrush_wsi.metrics.features.registry import FeatureSpec


class FidelityFeatures:
    """A feature extractor of torch-fidelity, which does its own resizing and normalisation.

    Args:
        name: see `FeatureExtractor`.
        module: of torch-fidelity; takes uint8 (B, 3, H, W) and returns a tuple.
        side: to which it resizes images.
        device: torch device.
    """

    def __init__(self, name: str, module: nn.Module, side: int, device: str) -> None:
        self.name = name
        self.input_size: int | None = side
        self.weight_hash = weight_hash(module)
        self._device = device
        self._module: Any = on_device(module, device)
        self.dimension = int(self(np.zeros((1, side, side, 3), np.uint8)).shape[1])

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
        _only_tensors(spec, Path(spec.weights))
    module = _load(spec, lambda: found.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], spec.weights))
    return FidelityFeatures(spec.kind, module, int(module.INPUT_IMAGE_SIZE), device)


def clip(spec: FeatureSpec, device: str) -> FidelityFeatures:
    """``clip[@PATH]``: CLIP's ViT-B/32, 512-d image embeddings, not scaled to length 1, as CLIP FID takes them.

    Raises:
        CheckpointError: if torch-fidelity cannot load the weights.
        MissingExtraError: if torch-fidelity is not installed.
    """
    spec.refuse(argument=True)
    found = require("torch_fidelity.feature_extractor_clip", extra="metrics", purpose="compute CLIP's FID")
    module = _load(spec, lambda: found.FeatureExtractorCLIP("clip-vit-b-32", ["clip"], spec.weights, verbose=False))
    return FidelityFeatures(spec.kind, module, int(module.resolution), device)


def _load(spec: FeatureSpec, make: Callable[[], Any]) -> Any:
    if spec.weights is not None and not Path(spec.weights).is_file():
        raise CheckpointError(f"{spec.text!r}: there are no weights at {spec.weights}")
    try:
        return make()
    except Exception as error:
        # A missing network, a damaged cache and a file of another network each have errors of their own.
        raise CheckpointError(
            f"torch-fidelity cannot load {spec.text!r} ({type(error).__name__}: {error}); call it once where there is "
            f"a network, give a local file as '{spec.kind}@PATH', or use 'texture', which needs no weights"
        ) from error


def _only_tensors(spec: FeatureSpec, path: Path) -> None:
    """The library would unpickle anything: read it once in the way that takes tensors only."""
    import torch

    if not path.is_file():
        return
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{spec.text!r}: {path} is no file of weights ({error})") from error
