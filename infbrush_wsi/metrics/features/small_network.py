"""The feature network that comes with the package, as features of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi.metrics.features.network import NetworkFeatures, Normalisation

if TYPE_CHECKING:
    from infbrush_wsi.metrics.features.registry import FeatureSpec

SIDE = 128


def infbrush(spec: FeatureSpec, device: str) -> NetworkFeatures:
    """``infbrush``: a convolutional network of 0.6 million weights; float32 (B, 128), see `models.feature_network`.

    Images are resized to 128 x 128 pixels: give crops of about that size. Its distances are in units of their own and
    cannot be compared with FID of the literature.

    Raises:
        CheckpointError: if its weights are missing or damaged.
    """
    from infbrush_wsi.models.feature_network import DEVIATION, MEAN, trained_network

    spec.refuse(argument=True, weights=True)
    expects = Normalisation(SIDE, (MEAN,) * 3, (DEVIATION,) * 3, "bilinear")
    return NetworkFeatures("infbrush", trained_network(), expects, device)
