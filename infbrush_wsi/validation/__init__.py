"""Whether an image is what it says: OME-Zarr (metadata, size, levels, pixels, provenance) and GeoTIFF."""

from infbrush_wsi.validation.finding import Finding, Validation
from infbrush_wsi.validation.raster import validate_raster
from infbrush_wsi.validation.run import validate_store

__all__ = ["Finding", "Validation", "validate_raster", "validate_store"]
