"""Covariance operators by their symbol: ``R = Q^(1/2)`` multiplies the Fourier coefficient at frequency f by r(f) >= 0.

Frequencies are in cycles per side of the training window. The published operators act on the index of a mode of that
window; between whole frequencies, which occur on larger domains, the same formulas hold.

The Laplacian's symbol is ``|2 pi f|²`` by default, so that the coarse lattice sees the fine one's function without its
high frequencies. ``symbol="lattice"`` takes that of the 5-point stencil, which depends on the resolution, as published.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.philox import philox_reference

Array = NDArray[np.float64]
Symbol = Literal["continuous", "lattice"]
Pair = tuple[float, float]


class Covariance(Protocol):
    """A stationary covariance operator."""

    @property
    def trace_class(self) -> bool:
        """Whether realisations are functions: the sum of r² over all frequencies is finite."""
        ...

    def amplitude(self, frequency_yx: Array, spacing_yx: Pair) -> Array:
        """Values of r at frequencies (..., 2) on a lattice of this spacing, float64 (...)."""
        ...


@dataclass(frozen=True)
class Standard:
    """White noise, ``Q = I``: not trace class. What fails across resolutions, for comparison."""

    @property
    def trace_class(self) -> bool:
        """False."""
        return False

    def amplitude(self, frequency_yx: Array, spacing_yx: Pair) -> Array:
        """1 everywhere."""
        return np.ones(frequency_yx.shape[:-1])


@dataclass(frozen=True)
class Laplacian:
    """``r = scale * L(f)^(-exponent)``, the inverse Laplacian of Multilevel Diffusion ('lap_conv').

    The published operator leaves frequency 0 without noise, so that the mean of an image never becomes noise and cannot
    be generated. Here every frequency below one cycle per window has the amplitude of one cycle.

    Attributes:
        scale: s; published 20, and 10 in the toy.
        exponent: published 0.55; above 0.5 in two dimensions.
        symbol: of the Laplacian.
        noised_mean: False: nothing at frequency 0, as published.
    """

    scale: float = 20.0
    exponent: float = 0.55
    symbol: Symbol = "continuous"
    noised_mean: bool = True

    def __post_init__(self) -> None:
        _check_positive("laplacian", scale=self.scale, exponent=self.exponent)
        _check_symbol(self.symbol)

    @property
    def trace_class(self) -> bool:
        """By its exponent: the eigenvalues of Q fall like ``|f|^(-4 exponent)``, summable in the plane above 2."""
        return self.exponent > 0.5

    def amplitude(self, frequency_yx: Array, spacing_yx: Pair) -> Array:
        """See `Covariance`."""
        lowest = _laplacian(np.array([1.0, 0.0]), spacing_yx, self.symbol)
        values = _laplacian(frequency_yx, spacing_yx, self.symbol)
        r = self.scale * np.maximum(values, lowest) ** -self.exponent
        return r if self.noised_mean else np.where(values > 0, r, 0.0)


@dataclass(frozen=True)
class Bessel:
    """``r = scale * (shift + L(f))^(-exponent)``, a Matérn or Whittle prior of smoothness 2 exponent - 1.

    Attributes:
        shift: published 8; correlations reach 1 / sqrt(shift) window sides.
        exponent: published 0.55.
        scale: published 1.
        symbol: of the Laplacian.
    """

    shift: float = 8.0
    exponent: float = 0.55
    scale: float = 1.0
    symbol: Symbol = "continuous"

    def __post_init__(self) -> None:
        _check_positive("bessel", shift=self.shift, exponent=self.exponent, scale=self.scale)
        _check_symbol(self.symbol)

    @property
    def trace_class(self) -> bool:
        """By its exponent, as the Laplacian."""
        return self.exponent > 0.5

    def amplitude(self, frequency_yx: Array, spacing_yx: Pair) -> Array:
        """See `Covariance`."""
        return self.scale * (self.shift + _laplacian(frequency_yx, spacing_yx, self.symbol)) ** -self.exponent


@dataclass(frozen=True)
class FiniteRank:
    """Random amplitudes at low frequencies and nothing above: a one-channel Fourier layer ('fno').

    The published weights are complex with parts 0.2 + 0.8 U; the law depends on their modulus only. They are a function
    of the seed on every machine (Philox), so that a model's record holds them in one number. Domains larger than the
    window use the amplitude of the nearest whole frequency.

    Attributes:
        modes: frequencies below this one along y and x, by their absolute value; published 32 x 16, in the toy 14 x 7.
        seed: of the amplitudes, below 2**32.
        scale: a common factor.
    """

    modes: tuple[int, int] = (32, 16)
    seed: int = 0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if len(self.modes) != 2 or min(self.modes) < 1 or max(self.modes) > 4096:
            raise ConfigError(f"covariance 'fno': modes must be two numbers from 1 to 4096, not {self.modes}")
        if not 0 <= self.seed < 1 << 32:
            raise ConfigError(f"covariance 'fno': seed must be a whole number of 32 bits, not {self.seed}")
        _check_positive("fno", scale=self.scale)

    @property
    def trace_class(self) -> bool:
        """True: its rank is finite."""
        return True

    def amplitude(self, frequency_yx: Array, spacing_yx: Pair) -> Array:
        """See `Covariance`."""
        k = np.rint(frequency_yx).astype(np.int64)
        inside = (np.abs(k[..., 0]) < self.modes[0]) & (np.abs(k[..., 1]) < self.modes[1])
        # r(-f) = r(f): of each pair the one in the upper half plane gives the counter.
        lower = (k[..., 0] < 0) | ((k[..., 0] == 0) & (k[..., 1] < 0))
        half = np.where(lower[..., None], -k, k).astype(np.uint32)
        counters = np.concatenate([half, np.zeros_like(half)], axis=-1)
        words = philox_reference(counters, np.array([self.seed, 0], np.uint32))[..., :2]
        parts = 0.2 + 0.8 * (words.astype(np.float64) + 0.5) / 2.0**32
        return np.where(inside, self.scale * np.hypot(parts[..., 0], parts[..., 1]), 0.0)


@dataclass(frozen=True)
class Combined:
    """The sum of two operators on the same white noise: ``r = first + weight * second`` ('combined_conv').

    Attributes:
        first: published `Laplacian(10)`: something at every frequency.
        second: published `FiniteRank`: more of the low ones.
        weight: published 0.5.
    """

    first: Laplacian | Bessel = field(default_factory=lambda: Laplacian(scale=10.0))
    second: FiniteRank = field(default_factory=FiniteRank)
    weight: float = 0.5

    def __post_init__(self) -> None:
        _check_positive("combined", weight=self.weight)

    @property
    def trace_class(self) -> bool:
        """Whether both are."""
        return self.first.trace_class and self.second.trace_class

    def amplitude(self, frequency_yx: Array, spacing_yx: Pair) -> Array:
        """See `Covariance`."""
        one, two = (part.amplitude(frequency_yx, spacing_yx) for part in (self.first, self.second))
        return one + self.weight * two


KINDS: dict[str, type[Any]] = {
    "standard": Standard,
    "laplacian": Laplacian,
    "bessel": Bessel,
    "fno": FiniteRank,
    "combined": Combined,
}
"""Operators by the name that configurations use."""


def covariance_to_dict(covariance: Covariance) -> dict[str, Any]:
    """An operator as plain values with its 'kind'."""
    kind = next(name for name, known in KINDS.items() if type(covariance) is known)
    parts = {"first", "second"} if kind == "combined" else set()
    values = {name: value for name, value in asdict(covariance).items() if name not in parts}  # type: ignore[call-overload]
    return {"kind": kind} | values | {name: covariance_to_dict(getattr(covariance, name)) for name in sorted(parts)}


def covariance_from_dict(values: dict[str, Any]) -> Any:
    """The operator of `covariance_to_dict`'s values.

    Raises:
        ConfigError: for an unknown kind or argument.
    """
    if not isinstance(values, dict) or values.get("kind") not in KINDS:
        raise ConfigError(f"a covariance needs a 'kind' of {', '.join(KINDS)}, not {values!r}")
    arguments = {name: value for name, value in values.items() if name != "kind"}
    for name, value in arguments.items():
        if isinstance(value, dict):
            arguments[name] = covariance_from_dict(value)
        elif isinstance(value, list):
            arguments[name] = tuple(value)
    try:
        return KINDS[values["kind"]](**arguments)
    except TypeError as error:
        raise ConfigError(f"covariance {values['kind']!r}: {error}") from error


def _laplacian(frequency_yx: Array, spacing_yx: Pair, symbol: Symbol) -> Array:
    """Symbol of minus the Laplacian at frequencies (..., 2), in window sides to the power -2."""
    if symbol == "continuous":
        return np.asarray((2.0 * math.pi) ** 2 * (frequency_yx**2).sum(axis=-1))
    spacing = np.array(spacing_yx)
    return np.asarray((4.0 / spacing**2 * np.sin(math.pi * frequency_yx * spacing) ** 2).sum(axis=-1))


def _check_positive(kind: str, **values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise ConfigError(f"covariance {kind!r}: {name} must be a positive number, not {value!r}")


def _check_symbol(symbol: str) -> None:
    if symbol not in get_args(Symbol):
        raise ConfigError(f"covariance: symbol must be {' or '.join(map(repr, get_args(Symbol)))}, not {symbol!r}")
