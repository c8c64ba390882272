"""Which networks a model directory of ∞-Diff holds."""

from __future__ import annotations

from typing import Any

from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.infdiff.encoder import InfDiffEncoder
from infbrush_wsi.models.infdiff.latent import LatentDenoiser

NETWORKS: dict[str, Any] = {"denoiser": InfBrushDenoiser, "encoder": InfDiffEncoder, "latent": LatentDenoiser}
OPTIONAL = ("encoder", "latent")
"""The unconditional model has neither; the autoencoder gets its latent diffusion in a second run."""
