"""How different two pictures look to a fixed network (LPIPS without its learnt weights)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from infbrush_wsi.models.feature_network import DEVIATION, trained_network

FLOOR = 1e-6


class PerceptualDistance(nn.Module):
    """Squared distance of unit feature vectors at each place, averaged over places, summed over the maps of a network.

    The published loss is LPIPS, whose VGG is trained on photographs and downloaded. Here it is the network that comes
    with the package, which knows tissue and land.

    Args:
        network: with a method `maps` from (B, 3, h, w), pixels less 0.5 over 0.25, to maps (B, C, h', w'); None: the
            one that comes with the package. It is frozen.

    Raises:
        CheckpointError: if the weights that come with the package are missing or damaged.
    """

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = (network or trained_network()).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> PerceptualDistance:
        """The network stays as it is."""
        return self

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        """Distances (B,) of pictures (B, C, h, w) in [-1, 1]; bands beyond the third do not count."""
        maps: Callable[[Tensor], Sequence[Tensor]] = self.network.maps  # type: ignore[assignment]
        found = [
            (_unit(a) - _unit(b)).square().sum(1).mean((1, 2))
            for a, b in zip(maps(_three(one)), maps(_three(two)), strict=True)
        ]
        return torch.stack(found).sum(0)


def _three(picture: Tensor) -> Tensor:
    """Three bands as the network expects them."""
    bands = picture[:, :3] if picture.shape[1] >= 3 else picture[:, :1].expand(-1, 3, -1, -1)
    return bands * (0.5 / DEVIATION)


def _unit(values: Tensor) -> Tensor:
    return values / (values.square().sum(1, keepdim=True) + FLOOR).sqrt()
