"""Sizes of the networks of INFD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infbrush_wsi.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """Arguments of the networks.

    Attributes:
        autoencoder: of `FieldAutoencoder`.
        denoiser: of `LatentDenoiser`.
        critic: of `PatchCritic`.
    """

    autoencoder: dict[str, Any]
    denoiser: dict[str, Any]
    critic: dict[str, Any]


def _coder(widths: tuple[int, ...], layers: int, groups: int, latent: int, **more: Any) -> dict[str, Any]:
    return {
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": widths,
        "layers_per_block": layers,
        "norm_num_groups": groups,
        "latent_channels": latent,
        **more,
    }


PRESETS = {
    "tiny": Preset(
        {"networks": _coder((16, 32, 32), 1, 8, 4, mid_block_add_attention=False), "width": 32, "blocks": 1},
        {"width": 32, "multipliers": (1, 2), "blocks": 1, "attention_from": 1, "head": 16},
        {"width": 16, "layers": 2},
    ),
    "small": Preset(
        {"networks": _coder((64, 128, 128), 1, 32, 4, mid_block_add_attention=False), "width": 128, "blocks": 2},
        {"width": 96, "multipliers": (1, 2, 3), "blocks": 2, "attention_from": 1, "head": 32, "groups": 32},
        {"width": 64, "layers": 3},
    ),
    "paper": Preset(
        {
            "bottleneck": "vq",
            "networks": _coder((128, 256, 512), 2, 32, 3, num_vq_embeddings=8192),
            "width": 256,
            "blocks": 2,
        },
        {"width": 224, "multipliers": (1, 2, 3, 4), "blocks": 2, "attention_from": 1, "head": 32, "groups": 32},
        {"width": 64, "layers": 3},
    ),
}
"""'tiny' trains on two CPU cores; 'small' wants a GPU; 'paper' has the published sizes (INFD §4): VQ-f4 with 8192
codes, a renderer of width 256, a U-Net of width 224."""


def preset(name: str) -> Preset:
    """The arguments of a preset.

    Raises:
        ConfigError: for another name.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
