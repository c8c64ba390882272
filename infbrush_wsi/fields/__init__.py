"""Functions on the plane: counter-based Gaussian noise, the mollifier of mollified diffusion, and its inverse.

Importing this package imports numba and scipy; ``import infbrush_wsi`` does not import it.
"""

from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.fields.wiener import WienerInverse

__all__ = ["Mollifier", "NoiseField", "WienerInverse"]
