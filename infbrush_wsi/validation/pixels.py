"""Whether the pixels are there, can be decoded, and are the same picture at every level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box
from infbrush_wsi.validation.blocks import PIXELS
from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.validation.opened import OpenedStore, Pyramid, StoredLevel

CHUNKS = "chunks"
PYRAMID = "pyramid"
SIDE = 64
"""Pixels of a coarser level that are compared at a time, along a side."""
LARGEST_FACTOR = 8
WHOLE_WITHIN = 0.02
UNLIKE = 0.1
"""Correlation of a level with the finer one below which it shows something else."""
POOR = 0.5
"""Share of the variance of a level that the finer one explains, below which it is worth a warning."""
FLAT = 1.0
"""Variance below which pixels are too even to be compared but by their differences."""
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
            text = f"level {level.path} has {found} of {wanted} {name}; the others read as {array.fill_value}"
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
                yield Finding(PIXELS, "error", f"level {level.path} cannot be decoded at {corner}: {error}")
                return
            count += 1
    yield Finding(PIXELS, "ok", f"all {count} blocks can be decoded")


def check_pyramid(image: Pyramid, windows: int, seed: int) -> Iterator[Finding]:
    """Compare windows of each level with the means of the next finer one."""
    if len(image.levels) < 2:
        return
    rng = np.random.default_rng(seed)
    same = []
    for finer, coarser in itertools.pairwise(image.levels):
        factor = round(coarser.scale.x / finer.scale.x)
        if not _whole(finer, coarser, factor):
            yield Finding(PYRAMID, "warning", f"level {coarser.path} is not a whole factor coarser: not compared")
            continue
        try:
            likeness = _compare(finer, coarser, factor, windows, rng)
        except Exception as problem:
            # As in check_decoding.
            yield Finding(PIXELS, "error", f"level {finer.path} or {coarser.path} cannot be decoded: {problem}")
            return
        said = f"level {coarser.path} differs by {likeness.error:.2g} (root mean square) from the means of {finer.path}"
        if likeness.unlike:
            yield Finding(PYRAMID, "error", f"{said}: it shows something else")
        elif likeness.poor:
            yield Finding(PYRAMID, "warning", f"{said}, and is like them by {likeness.correlation:.2g} (correlation)")
        else:
            same.append(f"{likeness.error:.2g} ({coarser.path})")
    if same:
        yield Finding(PYRAMID, "ok", f"levels differ from the means of finer ones by {', '.join(same)}")


def _whole(finer: StoredLevel, coarser: StoredLevel, factor: int) -> bool:
    ratios = (coarser.scale.x / finer.scale.x, coarser.scale.y / finer.scale.y)
    return 2 <= factor <= LARGEST_FACTOR and all(abs(ratio / factor - 1) < WHOLE_WITHIN for ratio in ratios)


@dataclass(frozen=True)
class _Likeness:
    """How a level compares with the means of the finer one: mean square and variances of both, correlation."""

    square: float
    variances: tuple[float, float]
    correlation: float

    @property
    def error(self) -> float:
        return math.sqrt(self.square)

    @property
    def even(self) -> bool:
        return min(self.variances) < FLAT

    @property
    def unlike(self) -> bool:
        return self.square > FLAT if self.even else self.correlation < UNLIKE

    @property
    def poor(self) -> bool:
        return not self.even and 1 - self.square / self.variances[0] < POOR


def _compare(
    finer: StoredLevel, coarser: StoredLevel, factor: int, windows: int, rng: np.random.Generator
) -> _Likeness:
    found, means = [np.zeros(0)], [np.zeros(0)]
    for _ in range(windows):
        box = _window(finer, coarser, factor, rng)
        if box.empty:
            return _Likeness(0.0, (0.0, 0.0), 1.0)  # not one whole block of finer pixels
        below = Box(factor * box.x0, factor * box.y0, factor * box.w, factor * box.h)
        found.append(_read(coarser, box).ravel())
        means.append(_read(finer, below).reshape(-1, box.h, factor, box.w, factor).mean(axis=(2, 4)).ravel())
    a, b = np.concatenate(found), np.concatenate(means)
    variances = float(a.var()), float(b.var())
    spread = math.sqrt(variances[0] * variances[1])
    correlation = float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0
    return _Likeness(float(np.mean((a - b) ** 2)), variances, correlation)


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
