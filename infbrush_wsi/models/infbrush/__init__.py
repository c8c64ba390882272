"""∞-Brush: conditional diffusion in function space with a cross-attention neural operator."""

from infbrush_wsi.models.infbrush.denoiser import InfBrushDenoiser
from infbrush_wsi.models.infbrush.presets import PRESETS, preset

__all__ = ["PRESETS", "InfBrushDenoiser", "preset"]
