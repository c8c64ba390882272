"""Between two conditions."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.errors import ConditionError

How = Literal["auto", "spherical", "linear"]
UNIT_WITHIN = 5e-3
"""What a length of 1 may be off by: embeddings may have been stored in half precision."""


def interpolate(first: ArrayLike, second: ArrayLike, t: ArrayLike, how: How = "auto") -> NDArray[np.float32]:
    """Conditions on the way from one embedding to another.

    Args:
        first: an embedding (D,), or tokens (M, D).
        second: of the same shape.
        t: 0 is the first, 1 the second; a number or (T,) of them, also beyond.
        how: 'spherical' along the great circle, for vectors of length 1; 'linear'; 'auto': spherical if all vectors
            have length 1.

    Returns:
        float32, of the shape of `first`, or (T, ...) for several t; each is a condition of `InfBrushPipeline`.

    Raises:
        ConditionError: if the embeddings do not match, or are opposite so that no great circle is the shortest.
    """
    a, b, at = (_finite(values, name) for values, name in ((first, "first"), (second, "second"), (t, "t")))
    if a.shape != b.shape or a.ndim not in (1, 2) or a.size == 0 or at.ndim > 1:
        raise ConditionError(
            f"embeddings to interpolate need one shape (D,) or (M, D), and t a number or (T,), not {a.shape}, "
            f"{b.shape} and {at.shape}"
        )
    if how not in get_args(How):
        raise ConditionError(f"conditions are interpolated by {', '.join(get_args(How))}, not {how!r}")
    lengths = np.linalg.norm(np.stack([a, b]), axis=-1)
    unit = bool((np.abs(lengths - 1.0) < UNIT_WITHIN).all())
    if how == "spherical" and not unit:
        raise ConditionError(f"spherical interpolation is for vectors of length 1; these have {lengths.ravel()[:4]}")
    share = at.reshape(at.shape + (1,) * a.ndim)
    mixed = _great_circle(a, b, share) if unit and how != "linear" else (1.0 - share) * a + share * b
    return mixed.astype(np.float32)


def _great_circle(a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    # From chords, as the cosine of nearby vectors says little of their angle.
    angle = 2.0 * np.arctan2(
        np.linalg.norm(a - b, axis=-1, keepdims=True), np.linalg.norm(a + b, axis=-1, keepdims=True)
    )
    if (np.pi - angle < 1e-4).any():
        raise ConditionError(
            "the embeddings point opposite ways, so that there are many ways between them; go by a third"
        )
    # sin(x) / sin(angle) as a ratio of sinc, which is finite at angle 0.
    weights = [s * np.sinc(s * angle / np.pi) / np.sinc(angle / np.pi) for s in (1.0 - t, t)]
    mixed: NDArray[np.float64] = weights[0] * a + weights[1] * b
    mixed /= np.linalg.norm(mixed, axis=-1, keepdims=True)
    return mixed


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ConditionError(f"the {name} argument of interpolate must be numbers: {error}") from error
    if not np.isfinite(array).all():
        raise ConditionError(f"the {name} argument of interpolate holds values that are not finite")
    return array
