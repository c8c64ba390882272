"""An encoder that is a network of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.encoders.protocol import check_patches
from infbrush_wsi.conditioning.encoders.record import EncoderRecord
from infbrush_wsi.conditioning.encoders.weights import state_dict_sha256
from infbrush_wsi.errors import ConditionError, ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MAX_DIMENSION = 1 << 14
"""Longer outputs are feature maps or tokens that somebody forgot to pool."""
INTERPOLATIONS = ("bicubic", "bilinear")


@dataclass(frozen=True)
class Preprocessing:
    """What a library does to pixels before a network.

    Attributes:
        mean: of pixels in [0, 1], one value a band.
        std: their deviation.
        size: side in pixels that the network takes.
        interpolation: of the resizing; anything but 'bicubic' becomes 'bilinear'.
    """

    mean: Sequence[float]
    std: Sequence[float]
    size: int
    interpolation: str = "bilinear"


class NetworkEncoder:
    """Resizes, normalises and embeds patches.

    A patch is resized as a whole, whatever its side, and never cropped: what is embedded is what the patch covers.

    Args:
        network: in any mode; it is moved to `device` and evaluated.
        features: normalised pixels float32 (n, C, size, size) to embeddings (n, D).
        name: as in `EncoderRecord`.
        preprocessing: as the library has it for these weights.
        device: where it runs.
        unit_length: scale embeddings to length 1.
        mpp: as in `EncoderRecord`.

    Raises:
        ConfigError: if the features are no (n, D).
    """

    def __init__(
        self,
        network: nn.Module,
        features: Callable[[Tensor], Tensor],
        name: str,
        preprocessing: Preprocessing,
        device: str | torch.device = "cpu",
        *,
        unit_length: bool = False,
        mpp: float | None = None,
    ) -> None:
        import torch

        self.network = network.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        self._features = features
        mean, std = (tuple(float(value) for value in values) for values in (preprocessing.mean, preprocessing.std))
        self._mean = torch.tensor(mean, device=device)[:, None, None]
        self._std = torch.tensor(std, device=device)[:, None, None]
        self._size = preprocessing.size
        chosen = preprocessing.interpolation if preprocessing.interpolation in INTERPOLATIONS else "bilinear"
        self._interpolation = chosen
        self._unit_length = unit_length
        self._record = EncoderRecord(
            name,
            state_dict_sha256(network.state_dict()),
            self._dimension(name, len(mean)),
            mean,
            std,
            preprocessing.size,
            chosen,
            unit_length,
            mpp,
        )

    @property
    def record(self) -> EncoderRecord:
        """What travels with the embeddings."""
        return self._record

    def __call__(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed patches: uint8 (n, h, w, C) to float32 (n, D).

        Raises:
            ConditionError: if the patches have other bands, or an embedding is not finite.
        """
        import torch

        check_patches(patches, self.record.channels, self.record.name)
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(patches.transpose(0, 3, 1, 2))).to(self.device)
            found = self._embed(pixels.float() / 255.0)
        return self.finished(found)

    def finished(self, found: Tensor) -> NDArray[np.float32]:
        """Embeddings as they are handed out: scaled if they are to be, float32, on the CPU.

        Raises:
            ConditionError: if one is not finite.
        """
        import torch

        found = found.float()
        found = torch.nn.functional.normalize(found, dim=-1) if self._unit_length else found
        values: NDArray[np.float32] = found.cpu().numpy()
        if not np.isfinite(values).all():
            raise ConditionError(f"the encoder {self.record.name!r} made embeddings that are not finite")
        return values

    def _embed(self, pixels: Tensor) -> Tensor:
        import torch

        side = (self._size, self._size)
        if tuple(pixels.shape[-2:]) != side:
            pixels = torch.nn.functional.interpolate(
                pixels, side, mode=self._interpolation, antialias=True, align_corners=False
            ).clamp(0.0, 1.0)
        return self._features((pixels - self._mean) / self._std)

    def _dimension(self, name: str, channels: int) -> int:
        import torch

        with torch.inference_mode():
            found = self._embed(torch.zeros(1, channels, self._size, self._size, device=self.device))
        if found.ndim != 2 or len(found) != 1 or found.shape[1] > MAX_DIMENSION:
            raise ConfigError(
                f"the network {name!r} makes an array of shape {tuple(found.shape)} of one patch; an encoder makes "
                f"(n, D) with D up to {MAX_DIMENSION}"
            )
        return int(found.shape[1])


def pooled_tokens(tokens: Tensor, prefix: int) -> Tensor:
    """Embeddings (n, 2 D) of a transformer's tokens (n, T, D): the class token beside the mean of the patch tokens.

    Args:
        tokens: the last layer's.
        prefix: how many of them are no patches (class token and registers).
    """
    import torch

    return torch.cat([tokens[:, 0], tokens[:, prefix:].mean(dim=1)], dim=-1)
