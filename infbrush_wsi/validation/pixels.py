"""Whether the pixels are there, can be decoded, and are the same picture at every level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box
from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.validation.opened import OpenedStore, StoredLevel

CHUNKS = "chunks"
PIXELS = "pixels"
PYRAMID = "pyramid"
SIDE = 64
"""Pixels of a coarser level that are compared at a time, along a side."""
LARGEST_FACTOR = 8
WHOLE_WITHIN = 0.02
UNLIKE, POOR = 0.0, 0.5
"""Shares of the variance of a level that the finer one explains: at the first it knows nothing of it."""
FLAT = 1.0
"""Variance in grey levels below which a level is too even to be compared by shares."""
Values = NDArray[np.float64]


def check_chunks(store: OpenedStore) -> Iterator[Finding]:
    """Count what is stored; what is not reads as the fill value, which looks like an image."""
    missing = 0
    for level in store.levels:
        array = level.array
        unit, name = (array.chunks, "chunks") if array.shards is None else (array.shards, "shards")
        wanted = math.prod(-(-side // length) for side, length in zip(array.shape, unit, strict=True))
        # Zarr counts all chunks of a shard that is there, even those beyond the edge of the image.
        found = array.nchunks_initialized * math.prod(array.chunks) // math.prod(unit)
        if found < wanted:
            missing += 1
            text = f"{level.path} has {found} of {wanted} {name}; the others read as {array.fill_value}"
            yield Finding(CHUNKS, "error" if _stores_all(store) else "warning", text)
    if not missing:
        yield Finding(CHUNKS, "ok", "all are there")


def _stores_all(store: OpenedStore) -> bool:
    """Whether the writer says that it stores chunks that are empty too, as this package's does."""
    from infbrush_wsi.writers.provenance import KEY

    return KEY in store.group.attrs


def check_decoding(store: OpenedStore) -> Iterator[Finding]:
    """Decode every chunk of every level."""
    count = 0
    for level in store.levels:
        array = level.array
        steps = array.chunks if array.shards is None else array.shards
        for corner in itertools.product(*(range(0, side, step) for side, step in zip(array.shape, steps, strict=True))):
            region = tuple(slice(at, at + step) for at, step in zip(corner, steps, strict=True))
            try:
                array[region]
            except Exception as error:
                # Codecs and stores raise errors of many libraries.
                yield Finding(PIXELS, "error", f"{level.path} cannot be decoded at {corner}: {error}")
                return
            count += 1
    yield Finding(PIXELS, "ok", f"all {count} blocks can be decoded")


def check_pyramid(store: OpenedStore, windows: int, seed: int) -> Iterator[Finding]:
    """Compare windows of each level with the means of the next finer one."""
    if len(store.levels) == 1:
        return
    rng = np.random.default_rng(seed)
    same = []
    for finer, coarser in itertools.pairwise(store.levels):
        factor = round(coarser.scale.x / finer.scale.x)
        if not _whole(finer, coarser, factor):
            yield Finding(PYRAMID, "warning", f"{coarser.path} is not a whole factor coarser, so it was not compared")
            continue
        try:
            error, share = _compare(finer, coarser, factor, windows, rng)
        except Exception as problem:
            # As in check_decoding.
            yield Finding(PIXELS, "error", f"{finer.path} or {coarser.path} cannot be decoded: {problem}")
            return
        said = f"{coarser.path} differs from the means of {finer.path} by {error:.2g} (root mean square)"
        if share is not None and share <= UNLIKE:
            yield Finding(PYRAMID, "error", f"{said}: it is another picture")
        elif share is not None and share < POOR:
            yield Finding(PYRAMID, "warning", f"{said}: {100 * share:.0f} % of its variance are explained")
        else:
            same.append(f"{coarser.path} {error:.2g}")
    if same:
        yield Finding(PYRAMID, "ok", f"root mean square from the means of the finer level: {', '.join(same)}")


def _whole(finer: StoredLevel, coarser: StoredLevel, factor: int) -> bool:
    ratios = (coarser.scale.x / finer.scale.x, coarser.scale.y / finer.scale.y)
    return 2 <= factor <= LARGEST_FACTOR and all(abs(ratio / factor - 1) < WHOLE_WITHIN for ratio in ratios)


def _compare(
    finer: StoredLevel, coarser: StoredLevel, factor: int, windows: int, rng: np.random.Generator
) -> tuple[float, float | None]:
    """Root mean square of the difference, and the share of the variance that is explained (None: too even)."""
    differences, values = [], []
    for _ in range(windows):
        box = _window(finer, coarser, factor, rng)
        if box.empty:
            break
        found = _read(coarser, box)
        below = Box(factor * box.x0, factor * box.y0, factor * box.w, factor * box.h)
        means = _read(finer, below).reshape(-1, box.h, factor, box.w, factor).mean(axis=(2, 4))
        differences.append((found - means).ravel())
        values.append(found.ravel())
    if not values:
        return 0.0, None
    square = float(np.mean(np.concatenate(differences) ** 2))
    variance = float(np.var(np.concatenate(values)))
    return math.sqrt(square), None if variance < FLAT and square < FLAT else 1 - square / max(variance, FLAT)


def _window(finer: StoredLevel, coarser: StoredLevel, factor: int, rng: np.random.Generator) -> Box:
    """A random window of the coarser level whose pixels are all covered by whole blocks of the finer one."""
    h, w = min(coarser.shape.h, finer.shape.h // factor), min(coarser.shape.w, finer.shape.w // factor)
    size = min(SIDE, h), min(SIDE, w)
    y0, x0 = (int(rng.integers(side - part + 1)) for side, part in zip((h, w), size, strict=True))
    return Box(x0, y0, size[1], size[0])


def _read(level: StoredLevel, box: Box) -> Values:
    """Pixels (others, h, w) of a window."""
    index: list[Any] = [slice(None)] * level.array.ndim
    index[level.rows], index[level.columns] = box.slices
    values = np.asarray(level.array[tuple(index)], np.float64)
    return np.moveaxis(values, (level.rows, level.columns), (-2, -1)).reshape(-1, box.h, box.w)
