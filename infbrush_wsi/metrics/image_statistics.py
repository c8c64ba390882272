"""Spectra, correlations and colours of a set of images of one size, gathered batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.metrics.bootstrap import Bootstrap, Samples, with_intervals
from infbrush_wsi.metrics.colour import channel_statistics, colour_distances, colour_histograms
from infbrush_wsi.metrics.correlation import correlation_distances, two_point_covariances
from infbrush_wsi.metrics.result import MetricResult
from infbrush_wsi.metrics.spectrum import power_spectra, spectrum_distances

Array = NDArray[np.float64]


@dataclass
class ImageStatistics:
    """A few hundred numbers an image; memory does not grow with the size of the images.

    Args:
        stain: whether stains are measured, which makes sense for stained tissue only.
    """

    stain: bool = True
    _spectra: list[Array] = field(default_factory=list)
    _covariances: list[Array] = field(default_factory=list)
    _shares: list[Array] = field(default_factory=list)

    def update(self, images: NDArray[np.uint8]) -> None:
        """Add a batch, uint8 (B, H, W, 3), of the same size as those before.

        Raises:
            BandMismatchError: if the images are not uint8 RGB.
            RegionError: if they are smaller than 64 x 64.
            DatasetError: if they are of another size than those before.
            MissingExtraError: if scikit-image is not installed.
        """
        spectra, covariances = power_spectra(images), two_point_covariances(images)
        if self._covariances and self._covariances[0].shape[1] != covariances.shape[1]:
            raise DatasetError(f"images of one set must have one size, not {images.shape[1:3]} after others")
        self._shares.append(colour_histograms(images, stain=self.stain))
        self._spectra.append(spectra)
        self._covariances.append(covariances)

    def __len__(self) -> int:
        """Images seen."""
        return sum(len(batch) for batch in self._spectra)

    @property
    def spectra(self) -> Array:
        """(N, 32), see `power_spectra`."""
        return self._joined(self._spectra)

    @property
    def covariances(self) -> Array:
        """(N, L), see `two_point_covariances`."""
        return self._joined(self._covariances)

    @property
    def shares(self) -> Array:
        """(N, C, 128), see `colour_histograms`."""
        return self._joined(self._shares)

    def _joined(self, batches: list[Array]) -> Array:
        if not batches:
            raise DatasetError("no image has been measured")
        return np.concatenate(batches)


def image_metrics(
    real: ImageStatistics,
    generated: ImageStatistics,
    *,
    samples: Samples | None = None,
    bootstrap: Bootstrap | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[MetricResult]:
    """Distances of spectra ('spectrum', dB), two-point correlations ('correlation'), colours and stains.

    Args:
        real: of the real images.
        generated: of the generated ones.
        samples: which images belong together; None takes each for itself.
        bootstrap: how intervals are made; None for the default.
        settings: crop rule and so on, as they shall be told.

    Raises:
        DatasetError: if a set is empty, or they differ in image size or in whether stains were measured.
    """
    drawn = samples or Samples.single(len(real), len(generated))
    how, said = bootstrap or Bootstrap(), dict(settings or {})
    found: list[MetricResult] = []
    sets = (real.spectra, generated.spectra), (real.covariances, generated.covariances), (real.shares, generated.shares)
    for one, two in sets:
        if one.shape[1:] != two.shape[1:]:
            raise DatasetError(
                f"the statistics of real and generated images do not fit, {one.shape[1:]} and {two.shape[1:]}: "
                "measure crops of one size, and stains in both or in none"
            )
    (spectra, covariances, shares) = sets
    found += with_intervals(
        lambda a, b: {"spectrum": spectrum_distances(_mean(spectra[0], a), _mean(spectra[1], b))},
        drawn,
        how,
        settings={**said, "unit": "dB"},
        centre=True,
        least=0.0,
    )
    found += with_intervals(
        lambda a, b: {"correlation": correlation_distances(_mean(covariances[0], a), _mean(covariances[1], b))},
        drawn,
        how,
        settings={**said, "lags": f"1 to {covariances[0].shape[1] - 1} pixels, evenly in log r"},
        centre=True,
        least=0.0,
    )
    means = {"real": channel_statistics(shares[0]), "generated": channel_statistics(shares[1])}
    return found + with_intervals(
        lambda a, b: colour_distances(_mean(shares[0], a), _mean(shares[1], b)),
        drawn,
        how,
        settings={**said, "distance": "Wasserstein-1", "mean_and_std": means},
        centre=True,
        least=0.0,
    )


def _mean(values: Array, weights: Array) -> Array:
    """Means (R, ...) of values (N, ...) under weights (R, N)."""
    return np.tensordot(weights / weights.sum(axis=1, keepdims=True), values, axes=1)
