"""Whether an image is what it says: OME-Zarr, GeoTIFF, DeepZoom and DICOM."""

from infbrush_wsi.validation.deepzoom import validate_deepzoom
from infbrush_wsi.validation.dicom import validate_dicom
from infbrush_wsi.validation.finding import Finding, Validation
from infbrush_wsi.validation.formats import validate_image
from infbrush_wsi.validation.raster import validate_raster
from infbrush_wsi.validation.run import validate_store

__all__ = [
    "Finding",
    "Validation",
    "validate_deepzoom",
    "validate_dicom",
    "validate_image",
    "validate_raster",
    "validate_store",
]
