"""Procedural test data that needs no download: H&E-like tissue and aerial photographs, as arrays and as files."""

from infbrush_wsi.phantom.aerial import BAND_NAMES, aerial_image
from infbrush_wsi.phantom.architecture import CLASSES, TissueClass
from infbrush_wsi.phantom.files import write_phantom_collection, write_phantom_raster, write_phantom_slide
from infbrush_wsi.phantom.hne import hne_image

__all__ = [
    "BAND_NAMES",
    "CLASSES",
    "TissueClass",
    "aerial_image",
    "hne_image",
    "write_phantom_collection",
    "write_phantom_raster",
    "write_phantom_slide",
]
