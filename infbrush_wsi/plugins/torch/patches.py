"""Patches of one image as a data set of PyTorch."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from infbrush_wsi.conditioning.layout.labels import label_map, label_numbers
from infbrush_wsi.domain import Box, Lattice, Shape, centres
from infbrush_wsi.errors import ConfigError, DatasetError, RegionError
from infbrush_wsi.plugins.torch.view import opened, view_of
from infbrush_wsi.sources.base import Source

if TYPE_CHECKING:
    from infbrush_wsi.canvas import Canvas
    from infbrush_wsi.conditioning.layout import Layout

MASK_SIDE = 2048
"""Longer side of the tissue mask in pixels."""


class PatchDataset(Dataset[dict[str, Any]]):
    """Patches of a slide, a raster, a written image or a canvas, row by row.

    They cover the whole image: the last ones of a row and of a column are moved inwards, so that all have one size.
    Items are dictionaries with the keys of torchgeo's data sets, which torch's own collation stacks:

    * ``image``: float32 (C, h, w), values from 0 to 255.
    * ``bounds``: float64 (xmin, ymin, xmax, ymax) in the unit of the image's lattice (µm, or that of the CRS).
    * ``crs``: text of the coordinate reference system, if there is one.
    * ``label``: int64, if one is given.
    * ``mask``: int64 (h, w), if a layout is given: the labels of its label image, 0 where it has no condition.

    It holds no open file, and is cheap to send to the workers of a `torch.utils.data.DataLoader`. A patch of a canvas
    is computed when it is asked for, in each process anew; write large canvases first.

    Args:
        image: a canvas, a source, or the path of anything that `open_source` opens.
        size: side of the patches in pixels, or (w, h).
        stride: distance of the patches in pixels, or (x, y); None: their size.
        level: of the pyramid.
        mpp: micrometres per pixel to which a source is resampled, in place of a level.
        tissue: smallest share of a patch that is tissue (of a raster: valid), from 0 to 1; for sources.
        label: class index of all patches.
        layout: what is where, from the image's top left corner.
        transforms: of the dictionary, as in torchgeo.

    Raises:
        SourceError: one of its kinds, if a path cannot be opened.
        RegionError: if the image is smaller than a patch, or there is no such level.
        ConfigError: if a setting cannot be.
        DatasetError: if no patch has so much tissue.
    """

    def __init__(
        self,
        image: Canvas | Source | str | os.PathLike[str],
        size: int | tuple[int, int] = 256,
        *,
        stride: int | tuple[int, int] | None = None,
        level: int = 0,
        mpp: float | None = None,
        tissue: float = 0.0,
        label: int | None = None,
        layout: Layout | None = None,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        source = opened(image)
        self._view = view_of(source, level, mpp)
        self.channel_names = source.channel_names
        self.label, self.layout, self.transforms = label, layout, transforms
        w, h = _pair(size, "size")
        step_x, step_y = (w, h) if stride is None else _pair(stride, "stride")
        shape = self.lattice.shape
        if w > shape.w or h > shape.h:
            raise RegionError(f"the image has {shape.w} x {shape.h} pixels, fewer than a patch of {w} x {h}")
        rows, columns = _starts(shape.h, h, step_y), _starts(shape.w, w, step_x)
        boxes = tuple(Box(x, y, w, h) for y in rows for x in columns)
        self.boxes = _on_tissue(boxes, self.lattice, source, tissue) if tissue else boxes

    @property
    def lattice(self) -> Lattice:
        """The pixels that patches are cut from, in physical space."""
        return self._view.lattice

    @property
    def crs(self) -> str | None:
        """WKT or authority string; None for slides."""
        return self.lattice.crs

    @property
    def mask_names(self) -> Mapping[int, str]:
        """Classes of the masks' values; empty without a layout."""
        return {} if self.layout is None else label_map(self.layout).names

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        at = operator.index(index)
        if not -len(self) <= at < len(self):
            raise IndexError(f"the data set has {len(self)} patches, there is no number {index}")
        box = self.boxes[at]
        pixels = np.ascontiguousarray(self._view.read(box).transpose(2, 0, 1))
        item: dict[str, Any] = {"image": torch.from_numpy(pixels).float(), "bounds": _bounds(self.lattice, box)}
        if self.crs is not None:
            item["crs"] = self.crs
        if self.label is not None:
            item["label"] = torch.tensor(self.label, dtype=torch.int64)
        if self.layout is not None:
            item["mask"] = torch.from_numpy(_mask(self.layout, self.lattice, box))
        return item if self.transforms is None else self.transforms(item)


def _pair(value: int | tuple[int, int], what: str) -> tuple[int, int]:
    try:
        x, y = (operator.index(side) for side in (value if isinstance(value, tuple | list) else (value, value)))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the {what} of patches is whole pixels, one number or (x, y), not {value!r}") from error
    if min(x, y) < 1:
        raise ConfigError(f"the {what} of patches must be at least one pixel, not {value!r}")
    return x, y


def _starts(count: int, side: int, stride: int) -> list[int]:
    """Where patches begin on an axis of `count` pixels, so that every pixel is in one if the stride allows it."""
    starts = list(range(0, count - side + 1, stride))
    return starts if starts[-1] + side >= count else [*starts, count - side]


def _bounds(lattice: Lattice, box: Box) -> torch.Tensor:
    corners = [lattice.transform @ (x, y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)]
    points = np.array(corners, dtype=np.float64)
    return torch.from_numpy(np.concatenate([points.min(axis=0), points.max(axis=0)]))


def _mask(layout: Layout, lattice: Lattice, box: Box) -> NDArray[np.int64]:
    """The label that weighs most at the centre of each pixel."""
    y = centres(box.y0, box.h) * lattice.spacing.y
    x = centres(box.x0, box.w) * lattice.spacing.x
    present, weights = layout.weights(y, x)
    labels: NDArray[np.int64] = label_numbers(layout)[present[weights.argmax(axis=-1)]].astype(np.int64)
    return labels


def _on_tissue(boxes: tuple[Box, ...], lattice: Lattice, image: Canvas | Source, share: float) -> tuple[Box, ...]:
    if not isinstance(image, Source) or not 0 < share <= 1:
        raise ConfigError(
            f"tissue is a share from 0 to 1, for slides and rasters; not {share!r} of {type(image).__name__}"
        )
    mask, coarse = image.mask(MASK_SIDE)
    to_mask = ~coarse.transform @ lattice.transform
    kept = tuple(box for box in boxes if mask[_cells(to_mask, box, coarse.shape)].mean() >= share)
    if not kept:
        raise DatasetError(
            f"none of the {len(boxes)} patches of {image.path} is tissue by {share:g}; ask for less, or for smaller "
            f"patches"
        )
    return kept


def _cells(to_mask: Any, box: Box, shape: Shape) -> tuple[slice, slice]:
    """(rows, columns) of a mask that a box touches, at least one."""
    (x0, y0), (x1, y1) = to_mask @ (box.x0, box.y0), to_mask @ (box.x1, box.y1)
    left, top = min(int(x0 + 1e-6), shape.w - 1), min(int(y0 + 1e-6), shape.h - 1)
    return slice(top, max(top + 1, int(np.ceil(y1 - 1e-6)))), slice(left, max(left + 1, int(np.ceil(x1 - 1e-6))))
