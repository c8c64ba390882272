"""Which OME-Zarr is written: version, names of the arrays inside, size of chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

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
    """

    version: Version = "0.5"
    layout: Layout = "flat"
    chunk: int = 512

    def __post_init__(self) -> None:
        if self.version not in get_args(Version):
            raise ConfigError(f"OME-Zarr version {self.version!r} cannot be written; choose '0.4' or '0.5'")
        if self.layout not in get_args(Layout):
            raise ConfigError(f"OME-Zarr layout {self.layout!r} is not known; choose 'flat' or 'nested'")
        if self.chunk < 1:
            raise ConfigError(f"chunks need a side of at least one pixel, not {self.chunk}")

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """Version of Zarr below this version of OME-Zarr."""
        return 2 if self.version == "0.4" else 3

    def level_path(self, number: int) -> str:
        """Path of a level's array in the store."""
        return f"{number}/image" if self.layout == "nested" else str(number)
