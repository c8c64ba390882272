"""The adversary of the autoencoder: a convolutional critic of patches (INFD §4, PatchGAN)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from infbrush_wsi.errors import ConfigError

MOST_WIDTHS = 8


class PatchCritic(nn.Module):
    """Says of each overlapping patch of a picture how real it looks.

    Channels are normalised in groups within a picture where the published network uses batch statistics: these would
    tie the pictures of a batch together, and belong into checkpoints beside the weights.

    Args:
        channels: bands.
        width: channels of the first layer; 64 published.
        layers: that halve the resolution; 3 published.

    Raises:
        ConfigError: for sizes that do not fit.
    """

    def __init__(self, channels: int = 3, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if width < 8 or width % 8 or layers < 1:
            raise ConfigError(f"a critic needs layers and a width that is a multiple of 8, not {width=}, {layers=}")
        parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        inner = width
        for number in range(1, layers + 1):
            outer, stride = width * min(2**number, MOST_WIDTHS), 2 if number < layers else 1
            parts += [nn.Conv2d(inner, outer, 4, stride=stride, padding=1), nn.GroupNorm(8, outer), nn.LeakyReLU(0.2)]
            inner = outer
        self.layers = nn.Sequential(*parts, nn.Conv2d(inner, 1, 4, padding=1))

    def forward(self, picture: Tensor) -> Tensor:
        """Scores (B, 1, h', w') of pictures (B, C, h, w)."""
        scores: Tensor = self.layers(picture)
        return scores


def hinge_losses(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's loss of each picture, (B,): mean of (1 - real)+ and (1 + fake)+, halved."""
    return 0.5 * (functional.relu(1 - real) + functional.relu(1 + fake)).flatten(1).mean(1)
