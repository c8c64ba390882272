"""Whether an OME-Zarr image is what it says: metadata, physical size, levels, pixels, provenance."""

from infbrush_wsi.validation.finding import Finding, Validation
from infbrush_wsi.validation.run import validate_store

__all__ = ["Finding", "Validation", "validate_store"]
