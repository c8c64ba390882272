"""Colour and texture statistics as embeddings: no network, no weights, nothing to download."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.encoders.protocol import EncoderOptions, check_patches
from infbrush_wsi.conditioning.encoders.record import EncoderRecord
from infbrush_wsi.errors import ConfigError

FAMILY = "statistics"
VERSION = 1
"""Counted up when the numbers change: it takes the place of weights in the record's hash."""
OCTAVES = 5
SMALLEST = 1 << OCTAVES
LARGEST_CHANNELS = 16
PALE = 0.1
"""Optical density below which a pixel counts as glass."""
QUIET = 1e-4
"""Added to energies before their logarithm: half a grey level of deviation, so that blank patches stay finite."""

Floats = NDArray[np.float64]


class StatisticsEncoder:
    """Says which colours a patch has, how they vary together, and how rough it is from octave to octave.

    Of each band: the mean optical density, its deviation, the 10th and 90th percentile of the grey levels, and the
    energy of detail in five octaves (2 to 32 pixels). Of each pair of bands: the correlation of their densities. Means
    and deviations of the amounts of stain follow from these for any linear separation of stains. Of the whole: the
    coherence of gradients in three octaves and the share of pale pixels. All values lie within about [-2, 2].

    Mirroring a patch or turning it by right angles leaves the embedding as it is, if its sides are multiples of 32
    pixels. Limits: it knows no shapes and no meaning, it tells scanners and stains apart as readily as tissues, and
    its octaves are counted in pixels: compare embeddings of one pixel size only.

    Args:
        channels: bands of the patches.

    Raises:
        ConfigError: if there are none or more than 16.
    """

    def __init__(self, channels: int = 3) -> None:
        if not 1 <= channels <= LARGEST_CHANNELS:
            raise ConfigError(f"the encoder {FAMILY!r} takes 1 to {LARGEST_CHANNELS} bands, not {channels}")
        version = f"{FAMILY} {VERSION} channels {channels}"
        dimension = channels * (4 + OCTAVES) + channels * (channels - 1) // 2 + 4
        self._record = EncoderRecord(
            name=FAMILY,
            sha256=hashlib.sha256(version.encode()).hexdigest(),
            dimension=dimension,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
        )

    @property
    def record(self) -> EncoderRecord:
        """What travels with the embeddings."""
        return self._record

    def __call__(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed patches: uint8 (n, h, w, C) of at least 32 x 32 pixels to float32 (n, D).

        Raises:
            ConditionError: if the patches have other bands.
            ConfigError: if they are too small.
        """
        check_patches(patches, self.record.channels, FAMILY)
        if min(patches.shape[1:3]) < SMALLEST:
            raise ConfigError(
                f"the encoder {FAMILY!r} needs patches of at least {SMALLEST} x {SMALLEST} pixels, not "
                f"{patches.shape[2]} x {patches.shape[1]}"
            )
        rows = [_statistics(patch.astype(np.float64) / 255.0) for patch in patches]
        return np.stack(rows).astype(np.float32) if rows else np.empty((0, self.record.dimension), np.float32)


def statistics_encoder(model: str, options: EncoderOptions) -> StatisticsEncoder:
    """The factory of this family, which has one model only.

    Raises:
        ConfigError: if a model or weights are named.
    """
    if model or options.weights is not None:
        raise ConfigError(f"the encoder {FAMILY!r} has neither models nor weights; leave them out")
    return StatisticsEncoder(options.channels)


def _statistics(patch: Floats) -> Floats:
    """All numbers of one patch (h, w, C) in [0, 1]."""
    # One grey level is added, so that black has a density too.
    density = -np.log10((patch * 255.0 + 1.0) / 256.0)
    flat = density.reshape(-1, patch.shape[2])
    deviation = flat.std(axis=0)
    low, high = np.percentile(patch.reshape(flat.shape), (10, 90), axis=0)
    detail, coherence = _octaves(patch)
    pale = (density < PALE).all(axis=2).mean()
    parts = [flat.mean(axis=0), 2.0 * deviation, 2.0 * low - 1.0, 2.0 * high - 1.0, detail.ravel()]
    return np.concatenate([*parts, _correlations(flat, deviation), coherence, [2.0 * pale - 1.0]])


def _correlations(flat: Floats, deviation: Floats) -> Floats:
    """Of each pair of bands; 0 where a band is constant."""
    centred = flat - flat.mean(axis=0)
    covariance = centred.T @ centred / len(flat)
    scale = np.outer(deviation, deviation)
    first, second = np.triu_indices(flat.shape[1], 1)
    found: Floats = np.where(scale > 1e-12, covariance / np.maximum(scale, 1e-12), 0.0)[first, second]
    return found


def _octaves(patch: Floats) -> tuple[Floats, Floats]:
    """Log energies of detail (OCTAVES, C) and coherences of gradients (3,).

    The detail of an octave is what the means of 2 x 2 pixels leave out: the parts of a patch's variance, which add up.
    """
    detail, coherence = [], []
    for octave in range(OCTAVES):
        h, w, bands = patch.shape
        even = patch[: h - h % 2, : w - w % 2]
        blocks = even.reshape(h // 2, 2, w // 2, 2, bands)
        means = blocks.mean(axis=(1, 3))
        energy = ((blocks - means[:, None, :, None]) ** 2).mean(axis=(0, 1, 2, 3))
        detail.append((np.log10(energy + QUIET) + 2.5) / 1.5)
        if 1 <= octave <= 3:
            coherence.append(_coherence(patch.mean(axis=2)))
        patch = means
    return np.array(detail), np.array(coherence)


def _coherence(grey: Floats) -> float:
    """How much all gradients point one way: 0 (every way) to 1."""
    down, right = np.gradient(grey)
    xx, yy, xy = (right * right).mean(), (down * down).mean(), (down * right).mean()
    return float(np.hypot(xx - yy, 2.0 * xy) / (xx + yy + 1e-8))
