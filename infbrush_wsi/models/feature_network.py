"""The feature network that comes with the package: small, trained on H&E and aerial images, no download.

It measures pictures (`metrics.features`) and guides the training of an autoencoder (`models.infd.perceptual`).
"""

from __future__ import annotations

import itertools
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from infbrush_wsi.errors import CheckpointError

WEIGHTS = Path(__file__).with_name("weights") / "features.safetensors"
WIDTHS = (24, 48, 96, 128)
MEAN, DEVIATION = 0.5, 0.25
"""Of pixels on a scale from 0 to 1, which the network expects to be taken off and divided by."""


def trained_network() -> SmallNetwork:
    """The network with the weights that come with the package, in evaluation mode.

    It was trained to tell which of some dozens of H&E slides and aerial rasters a crop is from, and whether and how
    strongly it was damaged (`recipes/features.py`).

    Raises:
        CheckpointError: if its weights are missing or damaged.
    """
    network = SmallNetwork()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"the weights '{WEIGHTS}' cannot be read: {error}; install the package again") from error
    return network.eval()


class SmallNetwork(nn.Module):
    """A convolutional network of 0.6 million weights: normalised images (B, 3, h, w) → (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        self.stages = nn.Sequential(*(_Residual(a, b) for a, b in itertools.pairwise(WIDTHS)))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 128): the last map's mean."""
        return self.maps(x)[-1].mean(dim=(2, 3))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps behind the stem and each stage, (B, C_k, h / 2^(k+1), w / 2^(k+1))."""
        found = [self.stem(x)]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return found


class _Residual(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()
        )
        self.second = nn.Sequential(nn.Conv2d(outer, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.first(x)
        return halved + self.second(halved)  # type: ignore[no-any-return]
