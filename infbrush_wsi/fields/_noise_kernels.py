"""The loops of :mod:`infbrush_wsi.fields.noise`.

All routes end in the same operations in the same order: the weights of an axis come from :func:`axis_taps`, a row
sum adds ``weight * xi`` from the left tap to the right one, the result adds ``weight * row`` from the top row to the
bottom one, and is multiplied by the standard deviation last. Whether ``xi`` was computed for one point, for a block
of nodes or for a tile of a lattice does not change a bit. The routes round to the type of `out` last: the field uses
float32, and the tests compare the routes in float64, where another order of the sums would show.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.fields._compiled import compiled
from infbrush_wsi.fields._elementary import exp_minus
from infbrush_wsi.fields.philox import normal_pair, philox_words

_LOW = np.uint64(0xFFFFFFFF)
_LONGEST_RUN = 64
_SHORTEST_RUN = 4


@compiled
def axis_taps(coordinate: float, reach: float, sigma: float, weights: NDArray[np.float64]) -> tuple[int, int]:
    """First node and number of nodes within `reach` of a coordinate, and their weights, of unit sum of squares."""
    t = coordinate - 0.5
    first = int(math.ceil(t - reach))
    count = int(math.floor(t + reach)) - first + 1
    total = 0.0
    for k in range(count):
        d = (t - (first + k)) / sigma
        w = exp_minus(0.5 * d * d)
        weights[k] = w
        total += w * w
    scale = 1.0 / math.sqrt(total)
    for k in range(count):
        weights[k] *= scale
    return first, count


@compiled
def taps_again(
    coordinate: float, reach: float, sigma: float, weights: NDArray[np.float64], kept: tuple[float, int]
) -> tuple[int, int, tuple[float, int]]:
    """As :func:`axis_taps`, leaving `weights` as they are where those of the last call were the same.

    Args:
        coordinate: along the axis.
        reach: as there.
        sigma: as there.
        weights: of the last call, or to be written.
        kept: what the last call returned; (nan, 0) at first.

    Returns:
        First node, number of nodes, and what the weights depend on: distance of the first node and number of nodes.
        The distance of a node is exact there, and as good as its own key, only for coordinates that are nodes; it is
        nan for others.
    """
    t = coordinate - 0.5
    if t != math.floor(t):
        first, count = axis_taps(coordinate, reach, sigma, weights)
        return first, count, (np.nan, 0)
    first = int(math.ceil(t - reach))
    count = int(math.floor(t + reach)) - first + 1
    if kept[0] == t - first and kept[1] == count:
        return first, count, kept
    axis_taps(coordinate, reach, sigma, weights)
    return first, count, (t - first, count)


@compiled
def normals_at_nodes(
    rows: NDArray[np.uint64],
    columns: NDArray[np.uint64],
    count: int,
    stream: int,
    group: int,
    key: NDArray[np.uint64],
    xi: NDArray[np.float32],
) -> None:
    """Four channels of white noise at `count` nodes, into xi (4, >= count); rows and columns are uint32 values."""
    k0, k1, c2, c3 = key[0], key[1], np.uint64(stream), np.uint64(group)
    for i in range(count):
        w0, w1, w2, w3 = philox_words(rows[i], columns[i], c2, c3, k0, k1)
        z0, z1 = normal_pair(w0, w1)
        z2, z3 = normal_pair(w2, w3)
        xi[0, i], xi[1, i], xi[2, i], xi[3, i] = np.float32(z0), np.float32(z1), np.float32(z2), np.float32(z3)


@compiled
def white_block(
    first_row: int, first_column: int, key: NDArray[np.uint64], stream: int, block: NDArray[np.float32]
) -> None:
    """White noise of the nodes (first_row + i, first_column + j), into block (h, w, C)."""
    height, width, channels = block.shape
    rows = np.empty(width, np.uint64)
    columns = np.empty(width, np.uint64)
    xi = np.empty((4, width), np.float32)
    for j in range(width):
        columns[j] = np.uint64(first_column + j) & _LOW
    for i in range(height):
        rows[:] = np.uint64(first_row + i) & _LOW
        for group in range((channels + 3) // 4):
            normals_at_nodes(rows, columns, width, stream, group, key, xi)
            for k in range(min(4, channels - 4 * group)):
                for j in range(width):
                    block[i, j, 4 * group + k] = xi[k, j]


@compiled
def points_streaming(
    points: NDArray[np.float64],
    key: NDArray[np.uint64],
    stream: int,
    reach: float,
    sigma: float,
    std: float,
    out: NDArray[np.float32] | NDArray[np.float64],
) -> None:
    """The field at points (N, 2) of (y, x), into out (N, C): every node's noise is computed for each point anew."""
    channels = out.shape[1]
    side = int(math.floor(2.0 * reach)) + 2
    w_y, w_x = np.empty(side), np.empty(side)
    rows, columns = np.empty(side * side, np.uint64), np.empty(side * side, np.uint64)
    xi, sums = np.empty((4, side * side), np.float32), np.empty(side)
    kept_y, kept_x = (np.nan, 0), (np.nan, 0)
    for p in range(points.shape[0]):
        first_y, n_y, kept_y = taps_again(points[p, 0], reach, sigma, w_y, kept_y)
        first_x, n_x, kept_x = taps_again(points[p, 1], reach, sigma, w_x, kept_x)
        # Column by column, so that the rows are summed side by side, each from left to right.
        for j in range(n_x):
            for i in range(n_y):
                rows[j * n_y + i] = np.uint64(first_y + i) & _LOW
                columns[j * n_y + i] = np.uint64(first_x + j) & _LOW
        for group in range((channels + 3) // 4):
            normals_at_nodes(rows, columns, n_y * n_x, stream, group, key, xi)
            for k in range(min(4, channels - 4 * group)):
                sums[:n_y] = 0.0
                for j in range(n_x):
                    for i in range(n_y):
                        sums[i] += w_x[j] * xi[k, j * n_y + i]
                total = 0.0
                for i in range(n_y):
                    total += w_y[i] * sums[i]
                out[p, 4 * group + k] = std * total


@compiled
def points_from_block(
    points: NDArray[np.float64],
    block: NDArray[np.float32],
    first_row: int,
    first_column: int,
    reach: float,
    sigma: float,
    std: float,
    out: NDArray[np.float32] | NDArray[np.float64],
) -> None:
    """The field at points whose nodes all lie in a block of white noise (h, w, C), into out (N, C).

    Nodes of a row that follow each other (dense windows of a training draw) share their weights and are summed
    together, in vector instructions.
    """
    side, channels = int(math.floor(2.0 * reach)) + 2, out.shape[1]
    w_y, w_x = np.empty(side), np.empty(side)
    row, total = np.empty(_LONGEST_RUN * channels), np.empty(_LONGEST_RUN * channels)
    flat = block.reshape(block.shape[0], -1)
    kept_y, kept_x = (np.nan, 0), (np.nan, 0)
    first = 0
    while first < points.shape[0]:
        last = run_end(points, first)
        first_y, n_y, kept_y = taps_again(points[first, 0], reach, sigma, w_y, kept_y)
        first_x, n_x, kept_x = taps_again(points[first, 1], reach, sigma, w_x, kept_x)
        y, x, width = first_y - first_row, (first_x - first_column) * channels, (last - first) * channels
        if last - first < _SHORTEST_RUN:
            for m in range(width):
                alone = 0.0
                for i in range(n_y):
                    along = 0.0
                    for j in range(n_x):
                        along += w_x[j] * flat[y + i, x + j * channels + m]
                    alone += w_y[i] * along
                out[first + m // channels, m % channels] = std * alone
        else:
            total[:width] = 0.0
            for i in range(n_y):
                row[:width] = 0.0
                for j in range(n_x):
                    for m in range(width):
                        row[m] += w_x[j] * flat[y + i, x + j * channels + m]
                for m in range(width):
                    total[m] += w_y[i] * row[m]
            for m in range(width):
                out[first + m // channels, m % channels] = std * total[m]
        first = last


@compiled
def run_end(points: NDArray[np.float64], first: int) -> int:
    """End of the points from `first` on that are neighbouring nodes of a row, left to right."""
    last = first + 1
    if points[first, 1] - 0.5 == math.floor(points[first, 1] - 0.5):
        while last < points.shape[0] and last - first < _LONGEST_RUN:
            if points[last, 0] != points[first, 0] or points[last, 1] != points[last - 1, 1] + 1.0:
                break
            last += 1
    return last


@compiled
def lattice_from_block(
    ys: NDArray[np.float64],
    xs: NDArray[np.float64],
    block: NDArray[np.float32],
    first_row: int,
    first_column: int,
    reach: float,
    sigma: float,
    std: float,
    out: NDArray[np.float32] | NDArray[np.float64],
) -> None:
    """The field at all (ys[i], xs[j]), separably, into out (len(ys), len(xs), C); the nodes lie in the block."""
    height, channels = block.shape[0], block.shape[2]
    side, line = int(math.floor(2.0 * reach)) + 2, xs.shape[0] * channels
    weights = np.empty((xs.shape[0], side))
    taps = np.empty((xs.shape[0], 2), np.int64)
    for j in range(xs.shape[0]):
        taps[j, 0], taps[j, 1] = axis_taps(xs[j], reach, sigma, weights[j])
    rows = np.empty((height, line))
    for i in range(height):
        for j in range(xs.shape[0]):
            x = taps[j, 0] - first_column
            for channel in range(channels):
                row = 0.0
                for k in range(taps[j, 1]):
                    row += weights[j, k] * block[i, x + k, channel]
                rows[i, j * channels + channel] = row
    w_y, total = np.empty(side), np.empty(line)
    for i in range(ys.shape[0]):
        first, count = axis_taps(ys[i], reach, sigma, w_y)
        total[:] = 0.0
        for k in range(count):
            for m in range(line):
                total[m] += w_y[k] * rows[first - first_row + k, m]
        for j in range(xs.shape[0]):
            for channel in range(channels):
                out[i, j, channel] = std * total[j * channels + channel]
