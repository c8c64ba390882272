"""Hand-made features that need no weights: wavelet energies, their couplings, and colour statistics.

The idea is that of scattering networks and of Portilla and Simoncelli's texture statistics: moduli of oriented
band-pass filters at several octaves, averaged; how heavy their tails are; how strongly the modulus of one octave
varies at the pace of coarser ones; how far neighbouring octaves agree in place. They see sharpness, grain, contrast,
orientation, colour and the arrangement of structures up to about 64 pixels. They do not know what a nucleus or a
house is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.features.protocol import check_images

if TYPE_CHECKING:
    from torch import Tensor

    from infbrush_wsi.metrics.features.registry import FeatureSpec

OCTAVES = 4
ORIENTATIONS = 6
FREQUENCY = 0.25
"""Of the finest filters, in cycles per pixel; each octave halves it."""
BANDWIDTH = 1.0
"""Of the filters, in octaves."""
RADIUS = 4
LEAST_SIDE = (RADIUS + 1) << (OCTAVES - 1)
LAB_UNIT = 10.0
"""Colour is counted in tens of CIELAB units, so that it has about the spread of the logarithms beside it."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FLOOR = 1e-3
"""Added to energies before the logarithm, in `LAB_UNIT`: a hundredth of the least visible difference."""


def texture(spec: FeatureSpec, device: str) -> TextureFeatures:
    """``texture``: see `TextureFeatures`."""
    spec.refuse(argument=True, weights=True)
    return TextureFeatures(device)


class TextureFeatures:
    """Wavelet and colour statistics of RGB images of any size from 40 x 40 pixels; float32 (B, 72).

    Images are taken as they are, at their native resolution: sets of different pixel size differ.

    Args:
        device: torch device that computes the filters.

    Raises:
        MissingExtraError: if scikit-image, which converts colours and makes the filters, is not installed.
        ConfigError: if the device does not exist.
    """

    name = "texture"
    input_size: int | None = None

    def __init__(self, device: str = "cpu") -> None:
        import torch

        require("skimage", extra="metrics", purpose="compute the features 'texture'")
        kernels = _kernels()
        try:
            self._kernels = torch.from_numpy(kernels).to(device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"features cannot be computed on {device!r}: {error}") from error
        settings = repr((OCTAVES, ORIENTATIONS, FREQUENCY, BANDWIDTH, LAB_UNIT, QUANTILES, FLOOR))
        self.weight_hash = hashlib.sha256(settings.encode() + kernels.round(5).tobytes()).hexdigest()[:16]
        self.dimension = len(self(np.zeros((1, LEAST_SIDE, LEAST_SIDE, 3), np.uint8))[0])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (B, D) of uint8 (B, H, W, 3); see `FeatureExtractor`."""
        import torch

        check_images(images, name=self.name, least_side=LEAST_SIDE)
        color = require("skimage.color", extra="metrics", purpose="compute the features 'texture'")
        lab = color.rgb2lab(images.astype(np.float32) / 255) / LAB_UNIT
        with torch.inference_mode():
            planes = torch.from_numpy(np.ascontiguousarray(lab.transpose(0, 3, 1, 2), np.float32))
            planes = planes.to(self._kernels.device)
            found = torch.cat([_colour(planes), self._wavelets(planes)], dim=1)
        return np.asarray(found.cpu().numpy(), dtype=np.float32)

    def _wavelets(self, planes: Tensor) -> Tensor:
        """Statistics of the moduli of all octaves: (B, D')."""
        import torch

        found, moduli = [], []
        low = planes
        for octave in range(OCTAVES):
            low = low if octave == 0 else _halved(low)
            modulus = self._modulus(low)  # (B, 3, orientations, h, w)
            light = modulus[:, 0]
            found += [_log(light.mean(dim=(2, 3))), _log(modulus[:, 1:].mean(dim=(2, 3, 4)))]
            found.append(_log(light.std(dim=(2, 3)).mean(1, keepdim=True)) - _log(light.mean(dim=(1, 2, 3))[:, None]))
            moduli.append(light.mean(dim=1, keepdim=True))
        found.append(_log(low.std(dim=(2, 3))))
        return torch.cat([*found, self._couplings(moduli)], dim=1)

    def _couplings(self, moduli: list[Tensor]) -> Tensor:
        """Second-order scattering, relative to the first order, and agreement of neighbouring octaves: (B, 6 + 3)."""
        import torch

        found = []
        for fine, modulus in enumerate(moduli):
            level, own = modulus, _log(modulus.mean(dim=(1, 2, 3))[:, None])
            for coarse in range(fine + 1, OCTAVES):
                level = _halved(level)
                found.append(_log(self._modulus(level).mean(dim=(1, 2, 3, 4))[:, None]) - own)
                if coarse == fine + 1:
                    found.append(_correlation(level, moduli[coarse]))
        return torch.cat(found, dim=1)

    def _modulus(self, planes: Tensor) -> Tensor:
        """|plane * filter| for each orientation: (B, C, h, w) -> (B, C, orientations, h, w)."""
        from torch.nn.functional import conv2d, pad

        b, c, h, w = planes.shape
        padded = pad(planes.reshape(b * c, 1, h, w), (RADIUS,) * 4, mode="reflect")
        real, imaginary = conv2d(padded, self._kernels).chunk(2, dim=1)
        return (real.square() + imaginary.square()).sqrt().reshape(b, c, ORIENTATIONS, h, w)


def _kernels() -> NDArray[np.float32]:
    """Gabor filters without a mean: real parts, then imaginary parts; (2 x orientations, 1, 9, 9)."""
    filters = require("skimage.filters", extra="metrics", purpose="compute the features 'texture'")
    made = []
    for index in range(ORIENTATIONS):
        kernel = filters.gabor_kernel(FREQUENCY, theta=np.pi * index / ORIENTATIONS, bandwidth=BANDWIDTH, n_stds=8)
        at = np.array(kernel.shape) // 2
        kernel = kernel[at[0] - RADIUS : at[0] + RADIUS + 1, at[1] - RADIUS : at[1] + RADIUS + 1]
        envelope = np.abs(kernel)
        kernel = kernel - envelope * (kernel.sum() / envelope.sum())
        made.append(kernel / np.sqrt((np.abs(kernel) ** 2).sum()))
    stacked = np.stack(made)[:, None]
    return np.concatenate([stacked.real, stacked.imag]).astype(np.float32)


def _colour(planes: Tensor) -> Tensor:
    """Mean, deviation, correlations and quantiles of three planes (B, 3, h, w): (B, 24)."""
    import torch

    flat = planes.flatten(2)
    spread = flat.std(dim=2)
    centred = (flat - flat.mean(dim=2, keepdim=True)) / (spread[..., None] + FLOOR)
    pairs = [(centred[:, a] * centred[:, b]).mean(dim=1, keepdim=True) for a, b in ((0, 1), (0, 2), (1, 2))]
    # Sorting costs a third of what torch.quantile does, which also refuses large images.
    ordered = flat.sort(dim=2).values
    at = [round(q * (flat.shape[2] - 1)) for q in QUANTILES]
    return torch.cat([flat.mean(dim=2), spread, *pairs, ordered[:, :, at].flatten(1)], dim=1)


def _halved(planes: Tensor) -> Tensor:
    """Half the resolution, anti-aliased by a binomial kernel of five taps; odd sides are rounded up."""
    from torch.nn.functional import conv2d, pad

    b, c, h, w = planes.shape
    taps = planes.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = pad(planes.reshape(b * c, 1, h, w), (2, 2, 2, 2), mode="reflect")
    half = conv2d(conv2d(padded, taps.view(1, 1, 5, 1), stride=(2, 1)), taps.view(1, 1, 1, 5), stride=(1, 2))
    return half.reshape(b, c, *half.shape[-2:])


def _correlation(one: Tensor, two: Tensor) -> Tensor:
    """Pearson's correlation of two maps (B, 1, h, w) over their pixels: (B, 1)."""
    a, b = (plane.flatten(1) - plane.flatten(1).mean(dim=1, keepdim=True) for plane in (one, two))
    return ((a * b).mean(dim=1) / (a.std(dim=1) * b.std(dim=1) + FLOOR**2))[:, None]


def _log(values: Tensor) -> Tensor:
    return (values + FLOOR).log()
