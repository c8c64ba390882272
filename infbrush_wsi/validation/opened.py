"""An image as the checks see it: its levels and where they say that they are, and of a store its attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.domain import XY, Shape
from infbrush_wsi.errors import CorruptSourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.sources.plausible import check_chunks
from infbrush_wsi.validation.finding import CAN_BE

if TYPE_CHECKING:
    import zarr

MOST_CHUNKS = 1 << 24
"""Of a level; they are counted one by one."""
FILES = ("zarr.json", ".zgroup", ".zattrs")


@dataclass(frozen=True)
class StoredLevel:
    """A level of a pyramid.

    Attributes:
        path: of its array in the store, or what else it is called.
        array: of any axes, or of two with pixels (h, w, c); indexed by slices.
        rows: which axis is y.
        columns: which axis is x.
        scale: physical size of a pixel.
        translation: physical place of the centre of the first pixel.
    """

    path: str
    array: Any
    rows: int
    columns: int
    scale: XY
    translation: XY

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        return Shape(self.array.shape[self.rows], self.array.shape[self.columns])


@dataclass(frozen=True)
class Pyramid:
    """The levels of an image.

    Attributes:
        levels: finest first.
        unit: of the axes y and x; None where they have none, or two.
    """

    levels: tuple[StoredLevel, ...]
    unit: str | None


@dataclass(frozen=True)
class OpenedStore(Pyramid):
    """An OME-Zarr image.

    Attributes:
        path: of the store.
        group: its root.
        version: of OME-Zarr, '0.4' or '0.5'.
        multiscale: the first pyramid's metadata.
    """

    path: str
    group: zarr.Group
    version: str
    multiscale: Mapping[str, Any]


def open_group(path: str) -> zarr.Group:
    """The root of a store, of which nothing is known yet.

    Raises:
        SourceNotFoundError: if there is nothing.
        UnsupportedSourceError: if it is no Zarr group.
        CorruptSourceError: if its metadata cannot be read.
    """
    from infbrush_wsi.sources.contained import open_contained

    if "://" not in path:
        if not Path(path).exists():
            raise SourceNotFoundError(f"there is nothing at {path}")
        if not any((Path(path) / name).is_file() for name in FILES):
            raise UnsupportedSourceError(f"{path} is no Zarr group; {CAN_BE}")
    try:
        return open_contained(path)
    except CorruptSourceError:
        raise
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is no Zarr group at {path}") from error
    except Exception as error:
        # Damaged JSON, unknown formats and failing connections come as errors of several libraries.
        raise CorruptSourceError(f"the Zarr metadata of {path} cannot be read: {error}") from error


def ome_attributes(group: zarr.Group) -> tuple[str, Mapping[str, Any]]:
    """Version and attributes of OME-Zarr; 0.5 has them under 'ome'."""
    attributes = dict(group.attrs)
    found = attributes.get("ome")
    return ("0.5", found) if isinstance(found, Mapping) else ("0.4", attributes)


def read_store(path: str, group: zarr.Group) -> OpenedStore:
    """Levels and their places.

    Raises:
        CorruptSourceError: naming what the metadata lack, or which array is not there.
    """
    version, attributes = ome_attributes(group)
    try:
        multiscale: Mapping[str, Any] = attributes["multiscales"][0]
        axes = [str(axis["name"]) for axis in multiscale["axes"]]
        rows, columns = axes.index("y"), axes.index("x")
        units = {multiscale["axes"][axis].get("unit") for axis in (rows, columns)}
        levels = tuple(_level(group, dataset, rows, columns) for dataset in multiscale["datasets"])
        if not levels:
            raise ValueError("there are no datasets")
    except KeyError as error:
        raise CorruptSourceError(f"{path}: {error.args[0]} is not there") from error
    except (IndexError, TypeError, ValueError, AttributeError) as error:
        raise CorruptSourceError(f"{path}: the multiscales metadata cannot be understood: {error}") from error
    return OpenedStore(levels, units.pop() if len(units) == 1 else None, path, group, version, multiscale)


def _level(group: zarr.Group, dataset: Mapping[str, Any], rows: int, columns: int) -> StoredLevel:
    path = str(dataset["path"])
    array: Any = group[path]
    if not hasattr(array, "shape"):
        raise ValueError(f"{path} is a group, not an array")
    check_chunks(array, path)
    blocks = math.prod(-(-side // length) for side, length in zip(array.shape, array.chunks, strict=True))
    if blocks > MOST_CHUNKS:
        raise ValueError(f"{path} declares the shape {array.shape} in {blocks} chunks, more than {MOST_CHUNKS}")
    parts = {part["type"]: part for part in dataset["coordinateTransformations"]}
    scale = [float(value) for value in parts["scale"]["scale"]]
    shift = [float(value) for value in parts.get("translation", {}).get("translation", [0.0] * len(scale))]
    if not len(scale) == len(shift) == array.ndim:
        raise ValueError(f"{path} has {array.ndim} axes, its scale {len(scale)} and its translation {len(shift)}")
    place = XY(scale[columns], scale[rows]), XY(shift[columns], shift[rows])
    return StoredLevel(path, array, rows, columns, *place)
