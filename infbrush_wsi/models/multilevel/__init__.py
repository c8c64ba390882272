"""Score networks of Multilevel Diffusion on whole lattices: FNO, U-Net, and an alias-free convolutional operator."""

from infbrush_wsi.models.multilevel.denoiser import MultilevelDenoiser
from infbrush_wsi.models.multilevel.lattice import LatticeNetwork
from infbrush_wsi.models.multilevel.presets import PRESETS, preset

__all__ = ["PRESETS", "LatticeNetwork", "MultilevelDenoiser", "preset"]
