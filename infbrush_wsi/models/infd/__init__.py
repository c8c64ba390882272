"""Image Neural Field Diffusion: an autoencoder whose decoder ends in a renderer, and diffusion of its latents."""

from infbrush_wsi.models.infd.autoencoder import FieldAutoencoder
from infbrush_wsi.models.infd.latent_denoiser import LatentDenoiser
from infbrush_wsi.models.infd.presets import PRESETS, preset

__all__ = ["PRESETS", "FieldAutoencoder", "LatentDenoiser", "preset"]
