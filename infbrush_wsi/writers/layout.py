"""Which OME-Zarr is written: version, names of the arrays inside, size of chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError

Version = Literal["0.4", "0.5"]
Layout = Literal["flat", "nested"]
AXES = ("c", "y", "x")
"""Order of the stored axes; OME-Zarr wants space axes last."""


@dataclass(frozen=True)
class StoreLayout:
    """The form of a store on disk.

    Attributes:
        version: of OME-Zarr; "0.4" is Zarr v2 and "0.5" is Zarr v3.
        layout: "flat" puts level k at "k", as slide viewers like it; "nested" puts it at "k/image" beside x, y and
            spatial_ref, so that xarray reads a DataTree with a coordinate reference system.
        chunk: side of a chunk in pixels; all channels are in one chunk.
        shard: side of a shard in chunks: so many chunks lie in one file. None: every chunk is a file. For
            version "0.5" only.
    """

    version: Version = "0.5"
    layout: Layout = "flat"
    chunk: int = 512
    shard: int | None = None

    def __post_init__(self) -> None:
        if self.version not in get_args(Version):
            raise ConfigError(f"OME-Zarr version {self.version!r} cannot be written; choose '0.4' or '0.5'")
        if self.layout not in get_args(Layout):
            raise ConfigError(f"OME-Zarr layout {self.layout!r} is not known; choose 'flat' or 'nested'")
        if self.chunk < 1:
            raise ConfigError(f"chunks need a side of at least one pixel, not {self.chunk}")
        if self.shard is not None and self.shard < 1:
            raise ConfigError(f"shards need a side of at least one chunk, not {self.shard}")
        if self.shard is not None and self.version == "0.4":
            raise ConfigError("OME-Zarr 0.4 (Zarr v2) knows no shards; choose version '0.5', or no shards")

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """Version of Zarr below this version of OME-Zarr."""
        return 2 if self.version == "0.4" else 3

    def chunk_shape(self, level: Shape) -> Shape:
        """Pixels of a chunk of a level: no chunk is larger than its level."""
        return Shape(min(self.chunk, level.h), min(self.chunk, level.w))

    def unit_shape(self, level: Shape) -> Shape:
        """Pixels of what one file of a level holds: a chunk, or a shard cut to the chunks that the level has."""
        chunk = self.chunk_shape(level)
        if self.shard is None:
            return chunk
        return Shape(
            min(self.shard, -(-level.h // chunk.h)) * chunk.h,
            min(self.shard, -(-level.w // chunk.w)) * chunk.w,
        )

    def level_path(self, number: int) -> str:
        """Path of a level's array in the store."""
        return f"{number}/image" if self.layout == "nested" else str(number)
