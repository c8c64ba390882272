"""∞-Diff: a diffusion autoencoder in function space (Bond-Taylor and Willcocks, ICLR 2024)."""

from infbrush_wsi.models.infdiff.autoencoder import InfDiffAutoencoder
from infbrush_wsi.models.infdiff.encoder import InfDiffEncoder
from infbrush_wsi.models.infdiff.latent import LatentDenoiser
from infbrush_wsi.models.infdiff.presets import PRESETS, encoder_preset, latent_preset, preset

__all__ = [
    "PRESETS",
    "InfDiffAutoencoder",
    "InfDiffEncoder",
    "LatentDenoiser",
    "encoder_preset",
    "latent_preset",
    "preset",
]
