"""Numba kernels of the modulated layer norm. A row is read once; torch's kernel is made for rows of thousands."""

from __future__ import annotations

import numba
import numpy as np

FAST = {"contract", "nsz", "reassoc", "arcp"}
"""Sums over channels may be reordered, so that they run in vector registers; nothing is assumed of NaN or infinity."""
ROW_BLOCKS = 32


@numba.njit(parallel=True, cache=True, fastmath=FAST)
def forward(x, scale, shift, per_image, eps, inverse, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """``out = norm(x) scale + shift``; `per_image` rows share a row of `scale` and `shift`."""
    rows, channels = x.shape
    for i in numba.prange(rows):
        mean, deviation = _moments(x[i], eps, inverse)
        source, target = x[i], out[i]
        a, b = scale[np.uint64(i // per_image)], shift[np.uint64(i // per_image)]
        for c in range(channels):
            target[c] = (source[c] - mean) * deviation * a[c] + b[c]


@numba.njit(parallel=True, cache=True, fastmath=FAST)
def backward(x, scale, upstream, per_image, eps, inverse, dx, dscale, dshift):  # type: ignore[no-untyped-def] # pragma: no cover
    """`dscale` and `dshift` are (images, ROW_BLOCKS, C) partial sums over fixed blocks of rows."""
    images, blocks, channels = dscale.shape
    for part in numba.prange(images * blocks):
        image, block = part // blocks, part % blocks
        ds, db, a = dscale[image, block], dshift[image, block], scale[image]
        for k in range(block * per_image // blocks, (block + 1) * per_image // blocks):
            i = np.uint64(image * per_image + k)
            source, g, target = x[i], upstream[i], dx[i]
            mean, deviation = _moments(source, eps, inverse)
            first, second = eps * 0, eps * 0
            for c in range(channels):
                normal = (source[c] - mean) * deviation
                inner = g[c] * a[c]
                first += inner
                second += inner * normal
                ds[c] += g[c] * normal
                db[c] += g[c]
            first *= inverse
            second *= inverse
            for c in range(channels):
                target[c] = deviation * (g[c] * a[c] - first - (source[c] - mean) * deviation * second)


@numba.njit(cache=True, fastmath=FAST, inline="always")
def _moments(row, eps, inverse):  # type: ignore[no-untyped-def] # pragma: no cover
    """Mean and one over the standard deviation, in the row's dtype."""
    mean, variance = eps * 0, eps * 0
    for c in range(len(row)):
        mean += row[c]
    mean *= inverse
    for c in range(len(row)):
        variance += (row[c] - mean) ** 2
    return mean, (eps * 0 + 1) / np.sqrt(variance * inverse + eps)
