"""A store apart from its pixels: metadata and empty arrays, made, opened again, and marked complete."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from infbrush_wsi.domain import Shape
from infbrush_wsi.writers.arrays import create_level
from infbrush_wsi.writers.image import ImageMeta
from infbrush_wsi.writers.layout import StoreLayout
from infbrush_wsi.writers.metadata import ome_attributes
from infbrush_wsi.writers.provenance import KEY
from infbrush_wsi.writers.spatial import grid_mapping_attributes, write_spatial_variables
from infbrush_wsi.writers.units import UnitGrid

if TYPE_CHECKING:
    import zarr

Arrays = list[Any]
DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


@dataclass(frozen=True)
class StorePlan:
    """What a store will be.

    Attributes:
        meta: the image.
        layout: the form on disk.
        shapes: rows and columns of all levels, finest first.
    """

    meta: ImageMeta
    layout: StoreLayout
    shapes: list[Shape]

    @property
    def grids(self) -> list[UnitGrid]:
        """How the levels are cut into files."""
        return [UnitGrid(number, shape, self.layout.unit_shape(shape)) for number, shape in enumerate(self.shapes)]

    def settings(self, given: Sequence[bool]) -> dict[str, Any]:
        """All that determines the store but for its pixels and its provenance; `given` says which levels are."""
        return {
            "name": self.meta.name,
            "channels": list(self.meta.channel_names),
            **asdict(self.layout),
            "shapes": [list(shape.as_tuple()) for shape in self.shapes],
            "given levels": [bool(one) for one in given],
        }

    def create(self, folder: Path, record: dict[str, Any]) -> Arrays:
        """Make the store with all metadata, state "writing", and no pixels; gives the arrays of all levels."""
        import zarr

        root = zarr.create_group(
            str(folder),
            zarr_format=self.layout.zarr_format,
            attributes={**ome_attributes(self.meta, self.layout, len(self.shapes)), KEY: record},
        )
        return [self._create_level(root, number) for number in range(len(self.shapes))]

    def reopen(self, folder: Path) -> Arrays:
        """The arrays of all levels of a store that `create` has made."""
        import zarr

        root = self._root(folder)
        # As in `create_level`; the store does not remember it.
        with zarr.config.set({"array.write_empty_chunks": True}):
            return [root[self.layout.level_path(number)] for number in range(len(self.shapes))]

    def check_metadata(self, folder: Path, record: dict[str, Any]) -> None:
        """Compare the metadata of a store that `create` has made with those that it would make now.

        Raises:
            ValueError: naming the document that is another one.
            OSError: if one cannot be read.
        """
        with TemporaryDirectory(prefix="infbrush-metadata-") as made:
            self.create(Path(made), record)
            for path in sorted(Path(made).rglob("*")):
                name = path.relative_to(made)
                if path.name in DOCUMENTS and _document(path) != _document(folder / name):
                    raise ValueError(f"{name} is not what it was made as")

    def complete(self, folder: Path, record: dict[str, Any]) -> None:
        """Give the store the state "complete"."""
        import zarr

        root = self._root(folder)
        root.attrs[KEY] = {**record, "state": "complete"}
        if self.layout.zarr_format == 2 and self.layout.layout == "nested":
            # xarray and GDAL look for it and warn without; Zarr v3 has no such thing in its specification.
            zarr.consolidate_metadata(root.store, zarr_format=2)

    def _root(self, folder: Path) -> zarr.Group:
        import zarr

        # Not by consolidated metadata: a run that was killed at the very end may have left it.
        return zarr.open_group(str(folder), mode="r+", zarr_format=self.layout.zarr_format, use_consolidated=False)

    def _create_level(self, root: zarr.Group, number: int) -> zarr.Array[Any]:
        attributes: dict[str, Any] = {}
        if self.layout.layout == "nested":
            lattice = self.meta.level(number)
            write_spatial_variables(root, self.layout, number, lattice)
            attributes = {"long_name": list(self.meta.channel_names), **grid_mapping_attributes(lattice)}
        shape = (len(self.meta.channel_names), *self.shapes[number].as_tuple())
        return create_level(root, self.layout, number, shape, attributes)


def _document(path: Path) -> Any:
    """Metadata as they are on disk, but for the record, which tells how far the writing is."""
    found = json.loads(path.read_text(encoding="utf-8"))
    attributes = found if path.name == ".zattrs" else found.get("attributes", {})
    attributes.pop(KEY, None)
    return found
