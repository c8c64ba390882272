"""A label image beside the pixels of an OME-Zarr store, written chunk by chunk."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi import __version__
from infbrush_wsi.domain import Box, Lattice, Shape, tiles
from infbrush_wsi.errors import ConfigError, OutputError, RegionError
from infbrush_wsi.writers.arrays import create_array
from infbrush_wsi.writers.label_metadata import AXES, ImagePlace, label_attributes, label_transformations
from infbrush_wsi.writers.layout import StoreLayout, Version
from infbrush_wsi.writers.provenance import KEY
from infbrush_wsi.writers.pyramid import check_complete, level_shapes
from infbrush_wsi.writers.staging import staged

if TYPE_CHECKING:
    import zarr

LabelType = Literal["uint8", "uint16", "int32"]
Read = Callable[[Box], NDArray[np.integer[Any]]]
"""Labels of a window of the label image: whole numbers (box.h, box.w)."""


def cells_lattice(image: Lattice, cell: float) -> Lattice:
    """Square pixels of `cell` units from the image's corner on; the last ones may reach over its edge.

    Raises:
        RegionError: if `cell` is not positive and finite.
    """
    if not 0 < cell < float("inf"):
        raise RegionError(f"a label pixel must have a positive side, not {cell!r}")
    x, y = cell / image.spacing.x, cell / image.spacing.y
    # What rounding leaves over makes no further pixel.
    shape = Shape(max(1, int(np.ceil(image.shape.h / y - 1e-6))), max(1, int(np.ceil(image.shape.w / x - 1e-6))))
    return Lattice(shape, image.transform @ Affine.scale(x, y), image.unit, image.crs)


def write_label_image(
    store: str | os.PathLike[str],
    read: Read,
    *,
    lattice: Lattice,
    names: Mapping[int, str],
    colours: Mapping[int, Sequence[int]] | None = None,
    dtype: LabelType = "uint8",
    name: str = "layout",
    chunk: int = 512,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write labels into ``labels/<name>`` of a store that `write_ome_zarr` made, in its version of OME-Zarr.

    Memory is bounded by the chunk. There are as many levels as the image has, as the specification of OME-Zarr wants;
    coarser ones take every second pixel. The label image appears, and is listed, only
    when it is complete; if anything fails, the store is as it was.

    Args:
        store: the image's store, complete.
        read: gives the labels of a window of `lattice`; 0 means unlabelled.
        lattice: pixels of the label image in the same physical space as the image's lattice, with the same axes; they
            may be much larger than the image's, see `cells_lattice`.
        names: of the labels, written as the property ``class``.
        colours: (red, green, blue, alpha) of the named labels, 0 to 255; by default hues far apart.
        dtype: of the stored labels.
        name: of the label image.
        chunk: side of a chunk in pixels.
        provenance: what made the labels (plain JSON), kept in the attribute ``infbrush_wsi``.
        overwrite: replace a label image of that name, once the new one is complete.

    Returns:
        The path of the label image.

    Raises:
        OutputError: if the store is no image of this package, or writing fails.
        OutputExistsError: if there is a label image of that name and it may not be replaced.
        ConfigError: if the name, the type or a colour cannot be written.
        RegionError: if the lattice is not aligned with the image.
    """
    _check(name, dtype, names)
    root, place, version, count = _image(Path(store))
    form = StoreLayout(version, "flat", chunk)
    shapes = level_shapes(lattice.shape, count, chunk)[:count]
    attributes = label_attributes(form, name, place, label_transformations(place, lattice, len(shapes)), names, colours)
    attributes[KEY] = {"package_version": __version__, **_plain(provenance)}
    target = Path(store) / "labels" / name
    with _listed(root, form, target), staged(target, overwrite=overwrite) as partial:
        _write(partial, form, shapes, dtype, attributes, read)
    return target


def _check(name: str, dtype: str, names: Mapping[int, str]) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ConfigError(f"a label image may be called by letters, digits, '_', '-' and '.', not {name!r}")
    if dtype not in get_args(LabelType):
        raise ConfigError(f"labels are stored as {', '.join(get_args(LabelType))}, not {dtype!r}")
    largest = int(np.iinfo(dtype).max)
    if not all(0 <= value <= largest for value in names):
        raise ConfigError(f"a label named is not between 0 and {largest}, what {dtype} holds")


def _plain(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(provenance or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"provenance must be plain JSON (text, numbers, lists, mappings): {error}") from error
    return plain


def _image(store: Path) -> tuple[zarr.Group, ImagePlace, Version, int]:
    """The store's root, where its image lies, its version of OME-Zarr, and how many levels it has."""
    import zarr

    try:
        # What stands in the files, not in a consolidated copy of them.
        root = zarr.open_group(str(store), mode="r+", use_consolidated=False)
        attributes: dict[str, Any] = root.attrs.asdict()
        version: Version = "0.4" if root.metadata.zarr_format == 2 else "0.5"
        multiscale = attributes.get("ome", attributes)["multiscales"][0]
        return root, ImagePlace.of(multiscale, attributes[KEY]), version, len(multiscale["datasets"])
    except Exception as error:
        # Missing and damaged metadata come as errors of several libraries.
        raise OutputError(
            f"'{store}' is no OME-Zarr image that write_ome_zarr has written, so no labels are put into it ({error!r})"
        ) from error


@contextmanager
def _listed(root: zarr.Group, form: StoreLayout, target: Path) -> Iterator[None]:
    """Name the label image in the group of labels once the block has ended well; no group stays that was not there."""
    folder = target.parent
    made = not folder.exists()
    try:
        group = root.require_group(folder.name)
        yield
        _add_name(root, group, form, target)
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _add_name(root: zarr.Group, group: zarr.Group, form: StoreLayout, target: Path) -> None:
    import zarr

    if form.version == "0.4":
        group.attrs["labels"] = _with(group.attrs.get("labels"), target.name)
        if (target.parents[1] / ".zmetadata").is_file():
            zarr.consolidate_metadata(root.store, zarr_format=2)
        return
    ome: Any = group.attrs.get("ome") or {}
    group.attrs["ome"] = {**ome, "version": form.version, "labels": _with(ome.get("labels"), target.name)}


def _with(names: Any, name: str) -> list[str]:
    listed = [str(each) for each in names or ()]
    return listed if name in listed else [*listed, name]


def _write(
    folder: Path, form: StoreLayout, shapes: Sequence[Shape], dtype: LabelType, attributes: dict[str, Any], read: Read
) -> None:
    import zarr

    group = zarr.create_group(str(folder), zarr_format=form.zarr_format, attributes=attributes)
    arrays = [_create_labels(group, form, number, shape, dtype) for number, shape in enumerate(shapes)]
    for box in tiles(shapes[0], form.chunk):
        arrays[0][box.slices] = _fitting(read(box), box, dtype)
    for finer, coarser, shape in zip(arrays, arrays[1:], shapes[1:], strict=False):
        for box in tiles(shape, form.chunk):
            rows, columns = (slice(2 * side.start, 2 * side.stop) for side in box.slices)
            coarser[box.slices] = np.asarray(finer[rows, columns])[::2, ::2]
    check_complete(arrays)


def _create_labels(
    group: zarr.Group, form: StoreLayout, number: int, shape: Shape, dtype: LabelType
) -> zarr.Array[Any]:
    return create_array(
        group,
        form,
        form.level_path(number),
        shape=shape.as_tuple(),
        dtype=np.dtype(dtype).str if form.zarr_format == 2 else dtype,
        chunks=(min(form.chunk, shape.h), min(form.chunk, shape.w)),
        dimensions=AXES,
        attributes={},
        fill_value=0,
    )


def _fitting(labels: NDArray[np.integer[Any]], box: Box, dtype: LabelType) -> NDArray[np.integer[Any]]:
    values = np.asarray(labels)
    if values.shape != box.shape.as_tuple() or values.dtype.kind not in "iu":
        raise OutputError(
            f"the labels of {box} are {values.dtype} of shape {values.shape}, not whole numbers of its shape"
        )
    if values.min() < 0 or values.max() > np.iinfo(dtype).max:
        raise OutputError(
            f"the labels of {box} reach from {values.min()} to {values.max()}, which {dtype} does not hold"
        )
    return values
