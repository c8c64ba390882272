"""The encoders of conditioning as feature networks: timm, torchvision, pathology encoders, CLIP and others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.encoders import Encoder, load_encoder
from infbrush_wsi.metrics.features.protocol import check_images

if TYPE_CHECKING:
    from infbrush_wsi.metrics.features.registry import FeatureSpec


class EncoderFeatures:
    """An encoder seen as a feature network; embeddings are as it makes them, of length 1 where it says so.

    Args:
        encoder: see `infbrush_wsi.conditioning.encoders.load_encoder`.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.name = encoder.record.name
        self.dimension = encoder.record.dimension
        self.input_size: int | None = encoder.record.size
        self.weight_hash = encoder.record.sha256[:16]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (B, D) of uint8 (B, H, W, 3); see `FeatureExtractor`."""
        check_images(images, name=self.name)
        return self._encoder(images)


def encoder_features(spec: FeatureSpec, device: str) -> EncoderFeatures:
    """``FAMILY:NAME[@PATH]``: any encoder by its name.

    Raises:
        ConfigError: if there is no such encoder, or the device does not exist.
        CheckpointError: if the weights cannot be had or do not fit.
        MissingExtraError: if its library is not installed.
    """
    name = f"{spec.kind}:{spec.argument}" if spec.argument else spec.kind
    return EncoderFeatures(load_encoder(name, weights=spec.weights, device=device))
