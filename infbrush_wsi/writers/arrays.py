"""Zarr arrays as OME-Zarr and xarray want them, in both versions of Zarr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Shape
from infbrush_wsi.writers.layout import AXES, StoreLayout

if TYPE_CHECKING:
    import zarr


def create_level(
    root: zarr.Group,
    store: StoreLayout,
    number: int,
    shape: tuple[int, int, int],
    attributes: Mapping[str, Any],
) -> zarr.Array[Any]:
    """An empty uint8 array for level `number`, shape (c, h, w), with chunks of all channels and at most `chunk` a side.

    Every chunk is stored, even one of zeros: a chunk that is not on disk is then a chunk that was not written.
    """
    c, h, w = shape
    chunk, unit = store.chunk_shape(Shape(h, w)), store.unit_shape(Shape(h, w))
    # xarray takes a v2 fill value for "missing" and would turn black pixels into NaN.
    fill_value = None if store.zarr_format == 2 and store.layout == "nested" else 0
    return create_array(
        root,
        store,
        store.level_path(number),
        shape=shape,
        dtype="uint8",
        chunks=(c, *chunk.as_tuple()),
        shards=None if store.shard is None else (c, *unit.as_tuple()),
        dimensions=AXES,
        attributes=attributes,
        fill_value=fill_value,
    )


def create_variable(
    root: zarr.Group,
    store: StoreLayout,
    path: str,
    values: NDArray[Any],
    dimensions: Sequence[str],
    attributes: Mapping[str, Any],
) -> None:
    """A small array in one chunk, filled: a coordinate or a grid mapping."""
    array = create_array(
        root,
        store,
        path,
        shape=values.shape,
        dtype=values.dtype.str if store.zarr_format == 2 else values.dtype.name,
        chunks=values.shape,
        dimensions=dimensions,
        attributes=attributes,
        fill_value=None if store.zarr_format == 2 else np.zeros((), values.dtype)[()],
    )
    array[...] = values


def create_array(
    root: zarr.Group,
    store: StoreLayout,
    path: str,
    *,
    shape: tuple[int, ...],
    dtype: str,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None = None,
    dimensions: Sequence[str],
    attributes: Mapping[str, Any],
    fill_value: Any,
) -> zarr.Array[Any]:
    """An empty array (no values yet) in the form that its version of Zarr and the readers of it want."""
    if store.zarr_format == 2:
        from numcodecs import Blosc

        # Blosc is what every reader of Zarr v2 decodes, Bio-Formats' included.
        versioned: dict[str, Any] = {"compressors": Blosc(cname="zstd", clevel=3, shuffle=Blosc.NOSHUFFLE)}
        attributes = {**attributes, "_ARRAY_DIMENSIONS": list(dimensions)}
    else:
        versioned = {"dimension_names": list(dimensions)}
    return root.create_array(
        path,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        fill_value=fill_value,
        attributes=dict(attributes),
        chunk_key_encoding={"name": "v2" if store.zarr_format == 2 else "default", "separator": "/"},
        config={"write_empty_chunks": True},
        **versioned,
    )
