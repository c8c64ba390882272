"""Label images inside OME-Zarr stores, versions 0.4 and 0.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.layout.raster import MAX_PIXELS
from infbrush_wsi.domain import MICROMETERS_PER_UNIT, XY
from infbrush_wsi.errors import ConditionError, SourceError
from infbrush_wsi.sources.ome_geometry import axes_of, check_planes, levels_of_multiscale
from infbrush_wsi.sources.plausible import check_chunks

SMALL_UNITS = ("millimeter", "centimeter")
CLASS = "class"
"""Property that holds a label's name, as this package writes it."""


@dataclass(frozen=True)
class LabelZarr:
    """A label image.

    Attributes:
        values: of its finest level, whole numbers (h, w).
        pixel: sides of a pixel in micrometres, or in the unit of its axes if that is a metre or more, or a degree; None
            if they have none.
        corner: of the first pixel.
        names: of the values; None if it gives none.
    """

    values: NDArray[Any]
    pixel: XY | None
    corner: XY
    names: Mapping[int, str] | None


def open_label_zarr(path: str) -> LabelZarr:
    """Read a label image.

    Raises:
        ConditionError: if there is none at the path, or it is damaged or too large.
    """
    from infbrush_wsi.sources.contained import open_contained

    try:
        group = open_contained(path)
        ome: Mapping[str, Any] = group.attrs.asdict()
        ome = ome.get("ome", ome)
        if "image-label" not in ome:
            raise ConditionError(f"{path} is no OME-Zarr label image; give the path of one, such as {path}/labels/NAME")
        multiscale = ome["multiscales"][0]
        arrays: list[Any] = [group[dataset["path"]] for dataset in multiscale["datasets"]]
        axes = axes_of(multiscale, path)
        check_planes([array.shape for array in arrays], axes, path)
        check_chunks(arrays[0], path)
        values = _plane(path, arrays[0], (axes.y, axes.x))
        lattice = levels_of_multiscale(multiscale, axes, [array.shape for array in arrays], None)[0].lattice
        names = _names(ome["image-label"].get("properties") or ())
    except ConditionError:
        raise
    except SourceError as error:
        raise ConditionError(f"the label image {path} cannot be used: {error}") from error
    except Exception as error:
        # Damaged JSON, missing arrays and damaged chunks come as errors of several libraries.
        raise ConditionError(f"the label image {path} cannot be read: {error!r}") from error
    if lattice.unit == "pixel":
        return LabelZarr(values, None, XY(0.0, 0.0), names)
    # Slides are measured in micrometres, whatever their file prefers; rasters in the unit of their CRS.
    factor = MICROMETERS_PER_UNIT[lattice.unit] if lattice.unit in SMALL_UNITS else 1.0
    size, corner = lattice.spacing, lattice.transform
    return LabelZarr(values, XY(factor * size.x, factor * size.y), XY(factor * corner.c, factor * corner.f), names)


def _plane(path: str, array: Any, axes: tuple[int, int]) -> NDArray[Any]:
    if array.dtype.kind not in "iu":
        raise ConditionError(f"{path} is no label image: it holds {array.dtype} values")
    if array.shape[axes[0]] * array.shape[axes[1]] > MAX_PIXELS:
        raise ConditionError(f"{path} has the shape {array.shape}; a layout has at most {MAX_PIXELS} pixels")
    index: Sequence[Any] = [slice(None) if axis in axes else 0 for axis in range(array.ndim)]
    values = np.asarray(array[tuple(index)])
    return values if axes[0] < axes[1] else values.T


def _names(properties: Sequence[Mapping[str, Any]]) -> Mapping[int, str] | None:
    named = {int(entry["label-value"]): str(entry[CLASS]) for entry in properties if entry.get(CLASS)}
    return named or None
