"""An untrained convolutional network, for those who ask for it by name."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.features.network import NetworkFeatures, Normalisation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from infbrush_wsi.metrics.features.registry import FeatureSpec

WIDTHS = (32, 64, 128, 256)
SIDE = 128


def random_conv(spec: FeatureSpec, device: str) -> NetworkFeatures:
    """``random-conv[:SEED]``: four convolutions with fixed random weights; mean and deviation of the last two maps.

    What it is good for: telling whether two sets differ at all, and tests. What it cannot do: its distances are in
    units without meaning, depend on the seed, follow colour and contrast much more than structure, and do not rank
    models as people or trained networks do. It is never chosen by default.

    Raises:
        ConfigError: if the seed is no whole number.
    """
    spec.refuse(weights=True)
    try:
        seed = int(spec.argument or 0)
    except ValueError as error:
        raise ConfigError(f"the seed in {spec.text!r} is no whole number") from error
    expects = Normalisation(SIDE, (0.5,) * 3, (0.25,) * 3, "bilinear")
    return NetworkFeatures(f"random-conv:{seed}", _network(seed), expects, device)


def _network(seed: int) -> nn.Module:
    import torch
    from torch import nn

    class RandomConv(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(seed)
            widths = (3, *WIDTHS)
            self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths))
            with torch.no_grad():
                for parameter in self.parameters():
                    fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
                    parameter.normal_(0.0, (2 / fan_in) ** 0.5, generator=generator)

        def forward(self, x: Tensor) -> Tensor:
            found = []
            for index, layer in enumerate(self.layers):
                x = layer(x).relu()
                if index >= len(self.layers) - 2:
                    found += [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
            return torch.cat(found, dim=1)

    return RandomConv()
