"""The feature network that comes with the package: small, trained on H&E and aerial images, no download."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.metrics.features.network import NetworkFeatures, Normalisation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from infbrush_wsi.metrics.features.registry import FeatureSpec

WEIGHTS = Path(__file__).with_name("weights") / "infbrush.safetensors"
WIDTHS = (24, 48, 96, 128)
SIDE = 128
EXPECTS = Normalisation(SIDE, (0.5,) * 3, (0.25,) * 3, "bilinear")


def infbrush(spec: FeatureSpec, device: str) -> NetworkFeatures:
    """``infbrush``: a convolutional network of 0.6 million weights; float32 (B, 128).

    It was trained to tell which of some dozens of H&E slides and aerial rasters a crop is from, and whether and how
    strongly it was damaged (`recipes/features.py`). Images are resized to 128 x 128 pixels: give crops of about that
    size. Its distances are in units of their own and cannot be compared with FID of the literature.

    Raises:
        CheckpointError: if its weights are missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    spec.refuse(argument=True, weights=True)
    network = small_network()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"the weights '{WEIGHTS}' cannot be read: {error}; install the package again") from error
    return NetworkFeatures("infbrush", network, EXPECTS, device)


def small_network() -> nn.Module:
    """The network with random weights: (B, 3, 128, 128) → (B, 128)."""
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, inner: int, outer: int) -> None:
            super().__init__()
            self.first = nn.Sequential(
                nn.Conv2d(inner, outer, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()
            )
            self.second = nn.Sequential(
                nn.Conv2d(outer, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()
            )

        def forward(self, x: Tensor) -> Tensor:
            halved: Tensor = self.first(x)
            return halved + self.second(halved)  # type: ignore[no-any-return]

    class SmallNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
            )
            self.stages = nn.Sequential(*(Residual(a, b) for a, b in itertools.pairwise(WIDTHS)))

        def forward(self, x: Tensor) -> Tensor:
            return self.stages(self.stem(x)).mean(dim=(2, 3))  # type: ignore[no-any-return]

    return SmallNetwork()
