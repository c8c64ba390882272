"""A real, very small model of Image Neural Field Diffusion with random weights."""

from __future__ import annotations

from typing import Any

LATENT, FEATURES = 3, 8


def small_autoencoder(seed: int = 0, bottleneck: str = "kl") -> Any:
    import torch

    from infbrush_wsi.models.infd import FieldAutoencoder

    torch.manual_seed(seed)
    networks = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (FEATURES, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "latent_channels": LATENT,
        "mid_block_add_attention": False,
    }
    return FieldAutoencoder(bottleneck, networks, 16, 1).eval()  # type: ignore[arg-type]


def small_bundle(seed: int = 0, *, denoiser: bool = True, **changes: Any) -> Any:
    """A model trained, if it were, on windows of 32 pixels of 2 µm, shown at 0.5 to 2 µm."""
    import torch

    from infbrush_wsi.models.bundle import ModelBundle
    from infbrush_wsi.models.infd import LatentDenoiser
    from infbrush_wsi.models.info import ModelInfo

    networks = {"autoencoder": small_autoencoder(seed)}
    if denoiser:
        torch.manual_seed(seed + 1)
        networks["denoiser"] = LatentDenoiser(LATENT, 16, (1, 2), 1, 1, 8, classes=("Benign", "Invasive")).eval()
    process = {"data_mean": [0.1, 0.0, -0.1], "data_std": 0.7, "noise_std": 0.7, "bounded": False}
    facts: dict[str, Any] = {
        "system": "infd",
        "spacing": (0.5, 1.0, 2.0),
        "unit": "micrometer",
        "window": 32,
        "channel_names": ("Red", "Green", "Blue"),
        "classes": ("Benign", "Invasive") if denoiser else (),
        "sigma": 0.0,
        "process": process if denoiser else {},
        "training": {"steps": 12, "images": 3},
    }
    return ModelBundle(networks, ModelInfo(**facts | changes), "0" * 64)
