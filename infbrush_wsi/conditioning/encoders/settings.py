"""What a store of embeddings was made with, and what it knows of each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from infbrush_wsi.conditioning.encoders.record import EncoderRecord
from infbrush_wsi.errors import ConditionError, OutputExistsError

KEY = "infbrush_embeddings"
"""Attribute of the root that makes a Zarr group a store of embeddings; the version is its value."""
Dtype = Literal["float32", "float16"]


@dataclass(frozen=True)
class StoreSettings:
    """What all embeddings of a store share.

    Attributes:
        encoder: that made them.
        spacing: pixel size of the tiles in `unit`.
        unit: of lengths: 'micrometer' for slides, that of the CRS for rasters.
        tile: side of a tile in pixels.
        stride: distance of tiles in pixels.
        min_tissue: least share of tissue (or valid pixels) in a tile that is embedded.
        dtype: in which embeddings are stored.
        bands: 1-based bands of the sources; None: all.
    """

    encoder: EncoderRecord
    spacing: float
    unit: str
    tile: int
    stride: int
    min_tissue: float
    dtype: Dtype = "float32"
    bands: tuple[int, ...] | None = None

    @property
    def cell(self) -> float:
        """Side of a cell of the grid in `unit`."""
        return self.spacing * self.stride

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        bands = None if self.bands is None else list(self.bands)
        return asdict(self) | {"encoder": self.encoder.to_dict(), "bands": bands}

    @classmethod
    def from_dict(cls, values: Any, where: str) -> StoreSettings:
        """From `to_dict`'s output.

        Raises:
            ConditionError: if they are damaged.
        """
        found: StoreSettings = _validated(cls, values, where, encoder=EncoderRecord.from_dict)
        return found

    def check_same(self, wanted: StoreSettings, path: object) -> None:
        """Refuse to add embeddings of other settings.

        Raises:
            OutputExistsError: naming each setting that differs.
        """
        old, new = self.to_dict(), wanted.to_dict()
        different = [f"{key} {old[key]}, not {new[key]}" for key in old if key != "encoder" and old[key] != new[key]]
        if self.encoder != wanted.encoder:
            different.append(f"the encoder {self.encoder.name} ({self.encoder.sha256[:12]}...), not "
                             f"{wanted.encoder.name} ({wanted.encoder.sha256[:12]}...)")  # fmt: skip
        if different:
            raise OutputExistsError(
                f"'{path}' holds embeddings made with other settings: {'; '.join(different)}. Use the same, or choose "
                "another name"
            )


@dataclass(frozen=True)
class StoredSlide:
    """An image whose embeddings are stored.

    Attributes:
        key: fingerprint of its pixels; the same for copies and under other names.
        name: of its file.
        label: its class, or None.
        group: slide or patient, or None.
        rows: of cells.
        columns: of cells.
        width: of the image in the store's unit.
        height: of the image in the store's unit.
        transform: six numbers (a, b, c, d, e, f) from cells (column, row) to the image's own physical coordinates.
        crs: of these, or None.
        embedded: cells with an embedding.
    """

    key: str
    name: str
    label: str | None
    group: str | None
    rows: int
    columns: int
    width: float
    height: float
    transform: tuple[float, float, float, float, float, float]
    crs: str | None
    embedded: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"transform": list(self.transform)}

    @classmethod
    def from_dict(cls, values: Any, where: str) -> StoredSlide:
        """From `to_dict`'s output.

        Raises:
            ConditionError: if they are damaged.
        """
        found: StoredSlide = _validated(cls, values, where)
        return found


def _validated(kind: Any, values: Any, where: str, **parts: Any) -> Any:
    known = {field.name for field in fields(kind)}
    try:
        if not isinstance(values, Mapping) or set(values) != known:
            raise ValueError(f"its fields should be {', '.join(sorted(known))}")
        return TypeAdapter(kind).validate_python({**values, **{key: read(values[key]) for key, read in parts.items()}})
    except (ValidationError, ValueError, TypeError) as error:
        raise ConditionError(
            f"the store of embeddings '{where}' is damaged ({error}); embed the images again"
        ) from error
