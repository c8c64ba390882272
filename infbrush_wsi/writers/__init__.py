"""Writing images as multi-resolution files with physical pixel sizes."""

from infbrush_wsi.writers.image import ImageMeta
from infbrush_wsi.writers.ome_zarr import write_ome_zarr
from infbrush_wsi.writers.resuming import partial_folder

__all__ = ["ImageMeta", "partial_folder", "write_ome_zarr"]
