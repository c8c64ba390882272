"""A torch module as a feature network: resizing, normalisation, identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.encoders.weights import state_dict_sha256
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.features.protocol import check_images

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Normalisation:
    """What a network expects of its input.

    Attributes:
        size: side of the square in pixels that images are resized to.
        mean: of each channel, on a scale from 0 to 1.
        std: of each channel.
        mode: 'bicubic' or 'bilinear'; always with an anti-aliasing kernel.
    """

    size: int
    mean: Sequence[float]
    std: Sequence[float]
    mode: str = "bicubic"


class NetworkFeatures:
    """A module that maps normalised images (B, 3, size, size) to vectors (B, D).

    Args:
        name: see `FeatureExtractor`.
        module: the network; it is set to evaluation and its weights are frozen.
        expects: how its input is made.
        device: torch device.

    Raises:
        ConfigError: if the device does not exist, or the module does not give one vector an image.
    """

    def __init__(self, name: str, module: nn.Module, expects: Normalisation, device: str) -> None:
        self.name = name
        self.weight_hash = weight_hash(module)
        self.input_size: int | None = expects.size
        self._expects = expects
        self._device = device
        self._module = on_device(module, device)
        probe = self(np.zeros((1, expects.size, expects.size, 3), np.uint8))
        if probe.ndim != 2:
            raise ConfigError(f"{name!r} gives {probe.shape[1:]} an image, not one vector: it cannot be used here")
        self.dimension = int(probe.shape[1])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (B, D) of uint8 (B, H, W, 3); see `FeatureExtractor`."""
        import torch

        check_images(images, name=self.name)
        with torch.inference_mode():
            found = self._module(self._input(images))
        return np.asarray(found.float().cpu().numpy(), dtype=np.float32)

    def _input(self, images: NDArray[np.uint8]) -> Tensor:
        import torch

        expects = self._expects
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self._device).permute(0, 3, 1, 2).float() / 255
        if batch.shape[-2:] != (expects.size, expects.size):
            size = (expects.size, expects.size)
            batch = torch.nn.functional.interpolate(batch, size, mode=expects.mode, antialias=True).clamp(0, 1)
        mean, std = (batch.new_tensor(list(values)).view(1, 3, 1, 1) for values in (expects.mean, expects.std))
        return (batch - mean) / std


def on_device(module: nn.Module, device: str) -> nn.Module:
    """The module, frozen, on a device.

    Raises:
        ConfigError: if the device does not exist.
    """
    try:
        return module.eval().requires_grad_(False).to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"features cannot be computed on {device!r}: {error}") from error


def weight_hash(module: nn.Module) -> str:
    """16 hexadecimal digits of names, types, shapes and values of all weights and buffers."""
    return state_dict_sha256(module.state_dict())[:16]
