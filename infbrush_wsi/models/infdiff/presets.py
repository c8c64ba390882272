"""Sizes of ∞-Diff's networks: its denoiser is `InfBrushDenoiser` without what ∞-Brush added."""

from __future__ import annotations

from typing import Any

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.infbrush.presets import PRESETS as INFBRUSH_PRESETS
from infbrush_wsi.models.infbrush.presets import fitted

WITHOUT = {"cano": "off", "self_attention": False, "cross_attention": False}
"""What makes ∞-Diff's denoiser of ∞-Brush's: nothing but time and z, by modulation (§1.7)."""

_PAPER: dict[str, Any] = {
    "width": 64,
    "blocks": 3,
    "kernel_size": 7,
    "grid_blocks": 2,
    "embedding_width": 256,
    "position": "none",
    "transfer": "knn",
    "dropout": 0.1,
}
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": INFBRUSH_PRESETS["tiny"] | {"latent_dim": 64},
    "small": INFBRUSH_PRESETS["small"] | {"latent_dim": 256},
    "paper-128": _PAPER
    | {
        "grid_side": 64,
        "grid_width": 64,
        "grid_multipliers": (1, 2, 4, 8),
        "grid_attention_from": 2,
        "latent_dim": 256,
    },
    "paper-256": _PAPER
    | {
        "grid_side": 128,
        "grid_width": 128,
        "grid_multipliers": (1, 2, 4, 8, 8),
        "grid_attention_from": 3,
        "latent_dim": 1024,
    },
}
"""'tiny' trains on two CPU cores; 'small' wants a GPU; 'paper-128' and 'paper-256' are the published settings for
windows of 128 and 256 pixels (§1.11). Each level of the grid's U-Net is as wide as its own multiplier says, in the
published code as the one above; that makes 58 M parameters of 44 M, and 371 M of 322 M."""

ENCODER_ARGUMENTS = (
    "channels", "width", "blocks", "kernel_size", "grid_pitch", "grid_side", "grid_width", "grid_multipliers",
    "grid_blocks", "grid_attention_from", "transfer", "dropout", "latent_dim",
)  # fmt: skip


def preset(name: str, *, window: int, **changes: Any) -> dict[str, Any]:
    """Keyword arguments of the denoiser, an `InfBrushDenoiser`, for a preset of ∞-Diff.

    Args:
        name: a key of `PRESETS`.
        window: side of the training window in pixels.
        **changes: arguments to override; ``latent_dim=0`` gives the unconditional model.

    Raises:
        ConfigError: for another name, or a window with less than one pixel per node.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset of infdiff is called {name!r}; choose one of {', '.join(PRESETS)}")
    return fitted(name, PRESETS[name] | WITHOUT | changes, window)


def encoder_preset(denoiser: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `InfDiffEncoder` for a denoiser's: of the same sizes, as published."""
    return {name: denoiser[name] for name in ENCODER_ARGUMENTS if name in denoiser}


LATENT_PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"hidden": 256, "layers": 6},
    "small": {"hidden": 1024, "layers": 8},
    "paper-128": {"hidden": 2048, "layers": 10},
    "paper-256": {"hidden": 2048, "layers": 10},
}
"""Sizes of the latent diffusion's network for each preset (published: 2048 wide, 10 layers, 20 for churches)."""


def latent_preset(name: str, latent_dim: int, **changes: Any) -> dict[str, Any]:
    """Keyword arguments of `LatentDenoiser` for a preset.

    Args:
        name: a key of `LATENT_PRESETS`.
        latent_dim: width of z.
        **changes: arguments to override.

    Raises:
        ConfigError: for another name.
    """
    if name not in LATENT_PRESETS:
        raise ConfigError(f"no preset of infdiff-latent is called {name!r}; choose one of {', '.join(LATENT_PRESETS)}")
    return LATENT_PRESETS[name] | {"latent_dim": latent_dim} | changes
