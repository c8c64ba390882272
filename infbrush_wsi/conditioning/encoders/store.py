"""Reads stored embeddings: grids, means over a region, layouts, and random samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi import formats
from infbrush_wsi.conditioning.encoders.settings import KEY, StoredSlide, StoreSettings
from infbrush_wsi.conditioning.encoders.slide_writer import COMPLETE, EMBEDDINGS, SLIDE, TISSUE
from infbrush_wsi.conditioning.encoders.tiling import BLOCK
from infbrush_wsi.conditioning.layout.condition import match_class
from infbrush_wsi.conditioning.layout.grid import EmbeddingGrid, Outside
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConditionError, ConfigError, InfbrushError, RegionError
from infbrush_wsi.sources.collection import Skipped
from infbrush_wsi.sources.plausible import check_chunks

SETTINGS, SLIDES, STATE, SKIPPED = "settings", "slides", "state", "skipped"
MAX_BYTES = 1 << 31

Pair = tuple[float, float]


class EmbeddingStore:
    """The embeddings of a collection of images.

    Regions are given as OpenSlide has them, but in the store's unit: ``location=(x, y)`` of the top left corner from
    the image's own, y downwards, and ``size=(w, h)``. The object pickles as its path.

    Args:
        path: as `write_embeddings` made it.
        partial: read what is complete of a store that is still being written.

    Attributes:
        path: as given.
        settings: encoder, pixel size, unit, tile and stride.
        slides: the images, in the order of their keys.
        skipped: images that the last call left out, and why.

    Raises:
        ConditionError: if it is no store of embeddings, damaged, or not complete.
    """

    def __init__(self, path: str | Path, *, partial: bool = False) -> None:
        self.path = Path(path)
        self._partial = partial
        attributes = dict(self._root.attrs)
        self.settings = StoreSettings.from_dict(attributes.get(SETTINGS), str(path))
        with self._guarded():
            self._open(attributes, partial=partial)

    def _open(self, attributes: dict[str, Any], *, partial: bool) -> None:
        path = self.path
        if attributes.get(STATE) != COMPLETE and not partial:
            raise ConditionError(f"the store of embeddings '{path}' is not complete; the call that began it goes on")
        self.skipped = tuple(Skipped(**entry) for entry in attributes.get(SKIPPED, ()))
        found = [dict(group.attrs) for _, group in sorted(self._root[SLIDES].groups())]
        self.slides = tuple(
            StoredSlide.from_dict(entry.get(SLIDE), str(path)) for entry in found if entry.get(COMPLETE)
        )
        self._by_key = {slide.key: slide for slide in self.slides}
        self._present: dict[str, NDArray[np.bool_]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self._partial)

    def __repr__(self) -> str:
        """Path, number of images and encoder."""
        return f"<EmbeddingStore '{self.path}' {len(self.slides)} images, {self.settings.encoder.name}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels that occur, sorted."""
        return tuple(sorted({slide.label for slide in self.slides if slide.label is not None}))

    def slide(self, which: str) -> StoredSlide:
        """An image by its key, or by the name of its file if only one has it.

        Raises:
            ConditionError: if there is none, or several.
        """
        if which in self._by_key:
            return self._by_key[which]
        found = [slide for slide in self.slides if slide.name == which]
        if len(found) == 1:
            return found[0]
        if found:
            keys = ", ".join(slide.key for slide in found)
            raise ConditionError(
                f"'{self.path}' holds {len(found)} images named {which!r}; name one by its key: {keys}"
            )
        shown = ", ".join(slide.name for slide in self.slides[:5]) + (" ..." if len(self.slides) > 5 else "")
        raise ConditionError(f"'{self.path}' holds no image {which!r}; it holds {shown}")

    def present(self, which: str) -> NDArray[np.bool_]:
        """Which cells have an embedding, bool (rows, columns); the others have no tissue."""
        key = self.slide(which).key
        if key not in self._present:
            self._present[key] = self._read(key, TISSUE, ..., np.float64) >= self.settings.min_tissue
        return self._present[key]

    def grid(self, which: str, location: Pair | None = None, size: Pair | None = None) -> NDArray[np.float32]:
        """Embeddings of the cells of a region, float32 (rows, columns, D); not a number where there is no tissue.

        Args:
            which: key or name of the image.
            location: of the region; it is moved to the nearest border of a cell. None: the image's corner.
            size: of the region, taken to the nearest number of cells, at least one; None: what is left of the image.

        Raises:
            RegionError: if the region lies outside the image or is too large for memory.
        """
        slide = self.slide(which)
        box = self._cells(slide, location or (0.0, 0.0), size)
        if box.shape.count * self.settings.encoder.dimension * 4 > MAX_BYTES:
            raise RegionError(f"{box.w} x {box.h} embeddings will not fit in memory; ask for smaller regions")
        return self._read(slide.key, EMBEDDINGS, box.slices, np.float32)

    def layout(
        self, which: str, location: Pair | None = None, size: Pair | None = None, outside: Outside = "edge"
    ) -> EmbeddingGrid:
        """The same as a layout, a condition of `InfBrushPipeline`: more like this region.

        Cells without tissue get the embedding of the nearest one that has one: no embedding means glass.

        Args:
            which: key or name of the image.
            location: of the region, see `grid`.
            size: of the region, see `grid`.
            outside: what the layout has beyond the region, see `EmbeddingGrid`.

        Raises:
            ConditionError: if the region has no tissue at all.
            RegionError: as `grid`.
        """
        from scipy import ndimage

        values = self.grid(which, location, size)
        missing = ~np.isfinite(values[..., 0])
        if missing.all():
            raise ConditionError(f"the region of {self.slide(which).name} has no tile with tissue; choose another one")
        if missing.any():
            nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
            values = values[tuple(nearest)]
        return EmbeddingGrid(values, self.settings.cell, outside)

    def mean(self, which: str, location: Pair, size: Pair) -> NDArray[np.float32] | None:
        """Mean embedding of a region, float32 (D,), cells by the area that they share with it.

        Of length 1 if the encoder's are. None if no cell in the region has tissue: which is a condition too.

        Raises:
            RegionError: if the region is empty or lies outside the image.
        """
        slide, cell = self.slide(which), self.settings.cell
        _check_pair(location, size)
        rows, down = _overlap(location[1], size[1], cell, slide.rows)
        columns, right = _overlap(location[0], size[0], cell, slide.columns)
        if not (len(down) and len(right)):
            raise RegionError(f"the region at {location} of size {size} lies outside {slide.name}")
        values = self._read(slide.key, EMBEDDINGS, (rows, columns), np.float64)
        weight = np.outer(down, right) * self.present(slide.key)[rows, columns]
        if not weight.sum() > 0:
            return None
        mean: NDArray[np.float64] = np.einsum("ij,ijd->d", weight, np.nan_to_num(values)) / weight.sum()
        if self.settings.encoder.unit_length:
            mean /= max(float(np.linalg.norm(mean)), 1e-12)
        return mean.astype(np.float32)

    def sample(self, seed: int, n: int, label: str | None = None) -> NDArray[np.float32]:
        """Embeddings of tiles drawn at random from all images, float32 (n, D): conditions as the data has them.

        Every tile with tissue is as likely as any other, and none is drawn twice while there are enough.

        Args:
            seed: the same gives the same.
            n: how many.
            label: only from images of this class.

        Raises:
            ConditionError: if the class is not known, or the store is empty.
            ConfigError: if the seed or the number is negative.
        """
        if seed < 0 or n < 0:
            raise ConfigError(f"seed and number of samples must not be negative, not {seed} and {n}")
        wanted = None if label is None else match_class(label, self.classes, f"the sample from '{self.path}'")
        slides = [slide for slide in self.slides if wanted is None or slide.label == wanted]
        ends = np.cumsum([slide.embedded for slide in slides])
        if not len(ends):
            raise ConditionError(f"'{self.path}' holds no images to draw from")
        total = int(ends[-1])
        drawn = np.random.default_rng(seed).choice(total, n, replace=n > total)
        out = np.empty((n, self.settings.encoder.dimension), np.float32)
        belongs = np.searchsorted(ends, drawn, side="right")
        for number in np.unique(belongs):
            rows = np.flatnonzero(belongs == number)
            array, present = self._array(slides[number].key, EMBEDDINGS), self.present(slides[number].key)
            with self._guarded():
                cells = np.argwhere(present)[drawn[rows] - ends[number] + slides[number].embedded]
                out[rows] = _gathered(array, cells)
        return out

    @cached_property
    def _root(self) -> Any:
        from infbrush_wsi.sources.contained import open_contained

        try:
            root = open_contained(str(self.path), zarr_format=3, use_consolidated=False)
        except Exception as error:
            # Damaged JSON and unknown formats come as errors of several libraries.
            raise ConditionError(
                f"there is no store of embeddings at '{self.path}'; make it with infbrush embed"
            ) from error
        with self._guarded():
            known = KEY in root.attrs and SLIDES in root
        if not known:
            raise ConditionError(f"'{self.path}' holds no embeddings; make it with infbrush embed")
        formats.EMBEDDINGS.check(root.attrs[KEY], where=f"'{self.path}'", error=ConditionError)
        return root

    def _array(self, key: str, name: str) -> Any:
        """An array of a slide, of the shape that the slide has.

        Raises:
            ConditionError: if it is not there, or another one.
        """
        slide, wide = self._by_key[key], (self.settings.encoder.dimension,) if name == EMBEDDINGS else ()
        with self._guarded():
            array = self._root[f"{SLIDES}/{key}/{name}"]
            check_chunks(array, str(self.path))
            if array.shape != (slide.rows, slide.columns, *wide):
                raise ValueError(f"{key}/{name} has the shape {array.shape}, not {(slide.rows, slide.columns, *wide)}")
        return array

    def _read(self, key: str, name: str, window: Any, dtype: Any) -> NDArray[Any]:
        """Values of a window of an array of a slide."""
        array = self._array(key, name)
        with self._guarded():
            return np.asarray(array[window], dtype)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Damaged JSON, arrays that are not there and damaged chunks come as errors of several libraries."""
        try:
            yield
        except InfbrushError:
            raise
        except Exception as error:
            raise ConditionError(
                f"the store of embeddings '{self.path}' is damaged ({type(error).__name__}: {error}); embed the images "
                "again"
            ) from error

    def _cells(self, slide: StoredSlide, location: Pair, size: Pair | None) -> Box:
        cell = self.settings.cell
        _check_pair(location, size or (cell, cell))
        x0, y0 = (math.floor(value / cell + 0.5) for value in location)
        # What is left of the image ends with its last cells, of which it may have a part only.
        w, h = (slide.columns - x0, slide.rows - y0)
        if size is not None:
            w, h = (max(1, math.floor(value / cell + 0.5)) for value in size)
        box = Box(x0, y0, w, h).clip(Shape(slide.rows, slide.columns))
        if box.empty:
            raise RegionError(f"the region at {location} of size {size} lies outside {slide.name}")
        return box


def _reopened(path: Path, partial: bool) -> EmbeddingStore:
    return EmbeddingStore(path, partial=partial)


def _gathered(array: Any, cells: NDArray[np.int64]) -> NDArray[np.float32]:
    """Values at some cells (n, 2) of a stored array (rows, columns, D), float32 (n, D); each block is read once."""
    out = np.empty((len(cells), array.shape[2]), np.float32)
    blocks, which = np.unique(cells // BLOCK, axis=0, return_inverse=True)
    for number, (row, column) in enumerate(blocks * BLOCK):
        inside = np.flatnonzero(which.ravel() == number)
        values = array[row : row + BLOCK, column : column + BLOCK]
        out[inside] = values[cells[inside, 0] - row, cells[inside, 1] - column]
    return out


def _check_pair(location: Pair, size: Pair) -> None:
    if not all(math.isfinite(value) for value in (*location, *size)) or min(size) <= 0:
        raise RegionError(f"a region needs a finite location and a positive size, not {location} and {size}")


def _overlap(start: float, length: float, cell: float, count: int) -> tuple[slice, NDArray[np.float64]]:
    """The cells along one axis that an interval touches, and how much of each."""
    first = max(0, math.floor(start / cell))
    last = min(count, math.ceil((start + length) / cell))
    edges = np.clip(np.arange(first, max(first, last) + 1) * cell, start, start + length)
    return slice(first, max(first, last)), np.diff(edges)
