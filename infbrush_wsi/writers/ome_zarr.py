"""OME-Zarr pyramids, written straight through zarr-python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.writers.arrays import create_level
from infbrush_wsi.writers.image import ImageMeta, name_channels
from infbrush_wsi.writers.layout import Layout, StoreLayout, Version
from infbrush_wsi.writers.metadata import ome_attributes
from infbrush_wsi.writers.provenance import KEY, provenance_record
from infbrush_wsi.writers.pyramid import check_complete, check_levels, level_shapes, write_given, write_halved
from infbrush_wsi.writers.sink import Progress
from infbrush_wsi.writers.spatial import grid_mapping_attributes, write_spatial_variables
from infbrush_wsi.writers.staging import staged

if TYPE_CHECKING:
    import dask.array as da
    import zarr


def write_ome_zarr(
    levels: Sequence[da.Array],
    path: str | os.PathLike[str],
    *,
    lattice: Lattice,
    version: Version = "0.5",
    layout: Layout = "flat",
    name: str,
    channel_names: Sequence[str] | None = None,
    chunk: int = 512,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write lazy levels as an OME-Zarr image with physical pixel sizes.

    Memory is bounded by chunks, not by the image. The store appears under its name only when it is complete; if
    anything fails, or the run is interrupted, nothing is left.

    Args:
        levels: dask arrays (h, w, c), uint8, finest first. If there is only one, coarser levels are made by 2 x 2 means
            until both sides fit in a chunk (ten levels at most); if there are more, exactly those are written, and
            level k must have ``ceil(side / 2**k)`` pixels a side.
        path: the store to make, in an existing folder; let its name end in ``.ome.zarr``.
        lattice: pixel grid of level 0: shape, physical transform, unit, CRS.
        version: "0.5" (Zarr v3) or "0.4" (Zarr v2; with the flat layout TIAToolbox opens it by itself).
        layout: "flat" for slides, "nested" for rasters (xarray and rioxarray then find coordinates and CRS).
        name: a title, shown by viewers.
        channel_names: one a channel; by default Red, Green, Blue, Band 4, ...
        chunk: side of a chunk in pixels; all channels of a pixel are in one chunk.
        provenance: what made the pixels (plain JSON), kept in the root attribute ``infbrush_wsi``. The image is marked
            synthetic unless this says ``{"synthetic": False}``.
        overwrite: replace an existing Zarr store, once the new one is complete.
        progress: called with (chunks written, chunks in all), from the threads that write, one call at a time; with
            dask.distributed, once at the end.

    Returns:
        The path of the store.

    Raises:
        RegionError: if a level's shape or type does not fit the lattice.
        BandMismatchError: if there are more or fewer names than channels.
        ConfigError: if version, layout, chunk, provenance or CRS is not valid.
        MissingExtraError: if a CRS is to be written and the 'geo' extra is not installed.
        OutputExistsError: if the path exists and may not be replaced.
        OutputError: if writing, or computing a block, fails.
    """
    store = StoreLayout(version, layout, chunk)
    check_levels(levels, lattice)
    meta = ImageMeta(name, lattice, name_channels(levels[0].shape[2], channel_names))
    record = provenance_record(meta, provenance)
    target = Path(path)
    with staged(target, overwrite=overwrite) as partial:
        _write_store(levels, partial, meta, store, record, progress)
    return target


def _write_store(
    levels: Sequence[da.Array],
    folder: Path,
    meta: ImageMeta,
    store: StoreLayout,
    record: dict[str, Any],
    callback: Callable[[int, int], None] | None,
) -> None:
    """Metadata with state "writing", the given levels, the halved ones, a count of the chunks, state "complete"."""
    import zarr

    shapes = level_shapes(meta.lattice.shape, len(levels), store.chunk)
    root = zarr.create_group(
        str(folder),
        zarr_format=store.zarr_format,
        attributes={**ome_attributes(meta, store, len(shapes)), KEY: record},
    )
    arrays = [_create_level(root, store, meta, number, shape) for number, shape in enumerate(shapes)]
    progress = Progress(sum(array.nchunks for array in arrays), callback)
    try:
        write_given(levels, arrays[: len(levels)], progress)
        for finer, target in zip(arrays[len(levels) - 1 :], arrays[len(levels) :], strict=False):
            write_halved(finer, target, progress)
    finally:
        progress.close()
    check_complete(arrays)
    progress.finish()
    root.attrs[KEY] = {**record, "state": "complete"}
    if store.zarr_format == 2 and store.layout == "nested":
        # xarray and GDAL look for it and warn without; Zarr v3 has no such thing in its specification.
        zarr.consolidate_metadata(root.store, zarr_format=2)


def _create_level(root: zarr.Group, store: StoreLayout, meta: ImageMeta, number: int, shape: Shape) -> zarr.Array[Any]:
    attributes: dict[str, Any] = {}
    if store.layout == "nested":
        lattice = meta.level(number)
        write_spatial_variables(root, store, number, lattice)
        attributes = {"long_name": list(meta.channel_names), **grid_mapping_attributes(lattice)}
    return create_level(root, store, number, (len(meta.channel_names), *shape.as_tuple()), attributes)
