"""Procedural test data that needs no download: H&E-like tissue and aerial photographs, as arrays and as files.

Beside them, sets of functions with known laws: a Gaussian mixture, reaction and diffusion, digits.
"""

from infbrush_wsi.phantom.aerial import BAND_NAMES, aerial_image
from infbrush_wsi.phantom.architecture import CLASSES, TissueClass
from infbrush_wsi.phantom.digits import digit_images
from infbrush_wsi.phantom.files import write_phantom_collection, write_phantom_raster, write_phantom_slide
from infbrush_wsi.phantom.gaussian_mixture import GaussianMixture
from infbrush_wsi.phantom.hne import hne_image
from infbrush_wsi.phantom.reaction_diffusion import ReactionDiffusion

__all__ = [
    "BAND_NAMES",
    "CLASSES",
    "GaussianMixture",
    "ReactionDiffusion",
    "TissueClass",
    "aerial_image",
    "digit_images",
    "hne_image",
    "write_phantom_collection",
    "write_phantom_raster",
    "write_phantom_slide",
]
