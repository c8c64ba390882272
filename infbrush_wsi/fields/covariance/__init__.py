"""Trace-class covariance operators and the Gaussian functions that they are the law of (Multilevel Diffusion §3).

One abstraction: coloured noise ``eta = R xi`` with ``R R* = Q``, as in mollified diffusion, where R is the mollifier.

* :mod:`operators`: the amplitudes r(f) of R by frequency, which is all that an operator is here.
* :mod:`law`: an operator with its amplitude and convention, and its closed-form covariance.
* :mod:`spectral`: realisations on a bounded (periodic) domain by FFT; one seed is one function at every resolution.
* :mod:`mixture`: realisations on the whole plane for the Bessel operator, evaluable at any point.

Lengths are in units of the side of the training window, frequencies in cycles per such side.
"""

from infbrush_wsi.fields.covariance.law import NoiseLaw
from infbrush_wsi.fields.covariance.mixture import ScaleMixture
from infbrush_wsi.fields.covariance.operators import (
    Bessel,
    Combined,
    Covariance,
    FiniteRank,
    Laplacian,
    Standard,
    covariance_from_dict,
    covariance_to_dict,
)
from infbrush_wsi.fields.covariance.spectral import SpectralField, coloured

__all__ = [
    "Bessel",
    "Combined",
    "Covariance",
    "FiniteRank",
    "Laplacian",
    "NoiseLaw",
    "ScaleMixture",
    "SpectralField",
    "Standard",
    "coloured",
    "covariance_from_dict",
    "covariance_to_dict",
]
