"""Writing images as multi-resolution files with physical pixel sizes."""

from infbrush_wsi.writers.image import ImageMeta
from infbrush_wsi.writers.ome_zarr import write_ome_zarr

__all__ = ["ImageMeta", "write_ome_zarr"]
