"""Which settings of a denoiser there are, and which go together."""

from __future__ import annotations

from typing import Any, Literal, get_args

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.embedding import Position
from infbrush_wsi.operators.grid_transfer import Transfer

CanoKind = Literal["off", "sets", "paper"]
CHOICES: dict[str, Any] = {"cano": CanoKind, "position": Position, "transfer": Transfer}


def check_choices(**chosen: str) -> None:
    """Refuse other values of `CHOICES` than there are.

    Raises:
        ConfigError: naming those there are.
    """
    for name, value in chosen.items():
        known = get_args(CHOICES[name])
        if value not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def check_sizes(kernel_size: int, grid_pitch: float, blocks: int, embedding_dim: int = 0, latent_dim: int = 0) -> None:
    """Refuse sizes of which no network can be made.

    Raises:
        ConfigError: saying which.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ConfigError(f"kernel_size must be odd and positive, not {kernel_size}")
    if grid_pitch <= 0 or blocks < 1:
        raise ConfigError(f"grid_pitch must be positive and blocks at least 1, not {grid_pitch} and {blocks}")
    if embedding_dim and latent_dim:
        raise ConfigError("a denoiser takes embeddings or latents, not both: leave embedding_dim or latent_dim out")
