"""Philox4x32-10: random words as a pure function of a counter and a key.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The
same generator as in Random123, cuRAND and ``torch.cuda``; the known answers of Random123 are in the tests.

The normals are Box-Muller on pairs of words, always in this way (the golden vectors in the tests hold it fast):

    u = (word_a + 0.5) / 2**32,  v = (word_b + 0.5) / 2**32,  r = sqrt(-2 ln u)
    z_a = r cos(2 pi v),  z_b = r sin(2 pi v)           in float64, then rounded to float32

with (a, b) = (0, 1) and (2, 3): four normals from one call, |z| < 6.77.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.fields._compiled import compiled, compiled_inline
from infbrush_wsi.fields._elementary import cos_sin_uniform, log_uniform

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
ROUNDS = 10
"""Rounds of the generator (the '-10' of its name)."""


@compiled_inline
def philox_words(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Four random 32-bit words of the counter (c0, c1, c2, c3) under the key (k0, k1).

    To be called from compiled code. All arguments and results are ``uint64`` holding 32-bit values: that form is
    vectorised best. :func:`philox_reference` is the same for numpy arrays.
    """
    for _ in range(ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _32) ^ c1 ^ k0
        c1 = product_1 & _LOW
        c2 = (product_0 >> _32) ^ c3 ^ k1
        c3 = product_0 & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@compiled_inline
def normal_pair(word_a: np.uint64, word_b: np.uint64) -> tuple[float, float]:
    """Two independent standard normals (float64) from two random words, by Box-Muller; for compiled code."""
    r = math.sqrt(-2.0 * log_uniform(word_a))
    cosine, sine = cos_sin_uniform(word_b)
    return r * cosine, r * sine


@compiled
def philox(counters: NDArray[np.uint32], key: NDArray[np.uint32], words: NDArray[np.uint32]) -> None:
    """Random words of many counters.

    Args:
        counters: (N, 4) uint32.
        key: (2,) uint32.
        words: (N, 4) uint32, written.
    """
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for i in range(counters.shape[0]):
        w0, w1, w2, w3 = philox_words(
            np.uint64(counters[i, 0]),
            np.uint64(counters[i, 1]),
            np.uint64(counters[i, 2]),
            np.uint64(counters[i, 3]),
            k0,
            k1,
        )
        words[i, 0], words[i, 1], words[i, 2], words[i, 3] = w0, w1, w2, w3


def philox_reference(counters: NDArray[np.uint32], key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The same in plain numpy: slow, without compiled code, to test against.

    Args:
        counters: (..., 4) uint32.
        key: (2,) uint32.

    Returns:
        (..., 4) uint32.
    """
    c0, c1, c2, c3 = (counters[..., word].astype(np.uint64) for word in range(4))
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(ROUNDS):
        product_0, product_1 = c0 * _MULTIPLIER_0, c2 * _MULTIPLIER_1
        c0, c1 = (product_1 >> _32) ^ c1 ^ np.uint64(k0), product_1 & _LOW
        c2, c3 = (product_0 >> _32) ^ c3 ^ np.uint64(k1), product_0 & _LOW
        k0, k1 = (k0 + int(_WEYL_0)) & 0xFFFFFFFF, (k1 + int(_WEYL_1)) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def normals_reference(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Box-Muller with numpy's own functions: equal to the compiled normals to rounding, to test against.

    Args:
        words: (..., 4) uint32.

    Returns:
        (..., 4) float64.
    """
    u = (words.astype(np.float64) + 0.5) / 2.0**32
    radius, angle = np.sqrt(-2.0 * np.log(u[..., 0::2])), 2.0 * np.pi * u[..., 1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(words.shape)
