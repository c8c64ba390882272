"""log, cos / sin and exp from additions, multiplications, divisions and rounding only.

The mathematical libraries of two machines differ in the last bit, and a vectorised loop may call another one than
a scalar loop. IEEE arithmetic does not: with these, a noise value has the same bits in every kernel, and on every
machine that follows the standard. Errors against the exact functions are a few 1e-16 (tested).
The polynomials are the plain Taylor series on the reduced range, long enough that the first term left out is below
half a unit in the last place.
"""

from __future__ import annotations

import math

import numpy as np

from infbrush_wsi.fields._compiled import compiled_inline

_EXPONENT_BIAS = np.int64(1023)
_ONE_BITS = np.int64(0x3FF0000000000000)
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_TWO_52_BITS = np.int64(0x4330000000000000)
_TWO_52 = 2.0**52
_SQRT2 = math.sqrt(2.0)
# ln 2 as a sum of two numbers: the first has 32 bits, so that its product with a small whole number is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_INVERSE_LN2 = 1.0 / math.log(2.0)
_QUARTER_TURN = 2.0**30
_ANGLE = 2.0 * math.pi / 2.0**32


@compiled_inline
def whole_to_float(n: np.int64) -> float:
    """A whole number 0 <= n < 2**52 as a float64, exactly (without the slow 64-bit conversion of older processors)."""
    return np.int64(_TWO_52_BITS | n).view(np.float64) - _TWO_52


@compiled_inline
def log_uniform(word: np.uint64) -> float:
    """ln((word + 0.5) / 2**32) for a 32-bit word: at least ln(2**-33), always below 0."""
    odd = whole_to_float((np.int64(word) << np.int64(1)) | np.int64(1))
    bits = np.float64(odd).view(np.int64)
    mantissa = np.int64((bits & _MANTISSA) | _ONE_BITS).view(np.float64)
    high = mantissa > _SQRT2
    mantissa = 0.5 * mantissa if high else mantissa
    exponent = whole_to_float(bits >> np.int64(52)) - (1023.0 + 33.0) + (1.0 if high else 0.0)
    # ln m = 2 artanh(s), with |s| <= 0.172
    s = (mantissa - 1.0) / (mantissa + 1.0)
    t = s * s
    p = 1.0 / 21.0
    p = p * t + 1.0 / 19.0
    p = p * t + 1.0 / 17.0
    p = p * t + 1.0 / 15.0
    p = p * t + 1.0 / 13.0
    p = p * t + 1.0 / 11.0
    p = p * t + 1.0 / 9.0
    p = p * t + 1.0 / 7.0
    p = p * t + 1.0 / 5.0
    p = p * t + 1.0 / 3.0
    log_mantissa = 2.0 * s + 2.0 * s * (t * p)
    return exponent * _LN2_HIGH + (log_mantissa + exponent * _LN2_LOW)


@compiled_inline
def cos_sin_uniform(word: np.uint64) -> tuple[float, float]:
    """Cosine and sine of the angle 2 pi (word + 0.5) / 2**32; the reduction to an eighth of a turn is exact."""
    quarter = ((np.int64(word) + np.int64(1 << 29)) >> np.int64(30)) & np.int64(3)
    eighth = (np.int64(word) + np.int64(1 << 29)) & np.int64((1 << 30) - 1)
    a = (whole_to_float(eighth) - (0.5 * _QUARTER_TURN - 0.5)) * _ANGLE
    t = a * a
    c = -1.0 / 6402373705728000.0
    c = c * t + 1.0 / 20922789888000.0
    c = c * t - 1.0 / 87178291200.0
    c = c * t + 1.0 / 479001600.0
    c = c * t - 1.0 / 3628800.0
    c = c * t + 1.0 / 40320.0
    c = c * t - 1.0 / 720.0
    c = c * t + 1.0 / 24.0
    c = c * t - 0.5
    c = c * t + 1.0
    s = 1.0 / 355687428096000.0
    s = s * t - 1.0 / 1307674368000.0
    s = s * t + 1.0 / 6227020800.0
    s = s * t - 1.0 / 39916800.0
    s = s * t + 1.0 / 362880.0
    s = s * t - 1.0 / 5040.0
    s = s * t + 1.0 / 120.0
    s = s * t - 1.0 / 6.0
    s = a + a * (t * s)
    swap = (quarter & np.int64(1)) == 1
    cosine = s if swap else c
    sine = c if swap else s
    cosine = -cosine if quarter == 1 or quarter == 2 else cosine
    sine = -sine if quarter >= 2 else sine
    return cosine, sine


@compiled_inline
def exp_minus(q: float) -> float:
    """exp(-q) for 0 <= q <= 700."""
    n = math.floor(q * _INVERSE_LN2 + 0.5)
    r = (n * _LN2_HIGH - q) + n * _LN2_LOW
    p = 1.0 / 87178291200.0
    p = p * r + 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    scale = np.int64((_EXPONENT_BIAS - np.int64(n)) << np.int64(52)).view(np.float64)
    return p * scale
