"""The denoiser of latents: diffusers' U-Net with this package's conditions (INFD §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffusers import UNet2DModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.embedder import ConditionEmbedder
from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError

TIME_WIDTHS = 4
"""Width of the time vector in widths of the finest level, as in diffusers."""


class LatentDenoiser(ModelMixin, ConfigMixin):
    """Predicts the diffusion target of a noisy latent.

    Args:
        channels: of the latent.
        width: channels at the finest level.
        multipliers: of each level.
        blocks: residual blocks a level.
        attention_from: first level with self-attention.
        head: channels of an attention head.
        groups: of the normalisation.
        classes: names of the classes, in order of their index; empty: none.
        embedding_dim: width of external embeddings; 0: none.
        condition_tokens: tokens of a class.
        dropout: in residual blocks.

    Raises:
        ConfigError: for widths that do not fit groups or heads.
    """

    config_name = "config.json"  # type: ignore[assignment]
    if TYPE_CHECKING:
        config: Any  # the constructor's arguments, as attributes

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: int = 4,
        width: int = 32,
        multipliers: tuple[int, ...] = (1, 2),
        blocks: int = 1,
        attention_from: int = 1,
        head: int = 16,
        groups: int = 8,
        classes: tuple[str, ...] = (),
        embedding_dim: int = 0,
        condition_tokens: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        widths = tuple(width * factor for factor in multipliers)
        if not widths or any(w % groups or w % head for w in widths):
            raise ConfigError(f"the widths {widths} of the U-Net must be multiples of groups={groups} and head={head}")
        attends = [level >= attention_from for level in range(len(widths))]
        self.condition = ConditionEmbedder(TIME_WIDTHS * width, condition_tokens, len(classes), embedding_dim)
        self.unet: Any = UNet2DModel(
            in_channels=channels,
            out_channels=channels,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
            block_out_channels=widths,
            layers_per_block=blocks,
            attention_head_dim=head,
            norm_num_groups=groups,
            dropout=dropout,
            class_embed_type="identity",
        )

    @property
    def multiple(self) -> int:
        """What sides of a latent must be multiples of."""
        return int(2 ** (len(self.config.multipliers) - 1))

    def forward(self, latent: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
        """The prediction (B, c, h, w) for noisy latents (B, c, h, w) at time steps (B,)."""
        vector, _ = self.condition(condition)
        predicted: Tensor = self.unet(latent, timestep, class_labels=vector).sample
        return predicted

    def at_points(self, values: Tensor, shape: Shape, timestep: Tensor, condition: ConditionBatch) -> Tensor:
        """The same on (B, h w, c), as the diffusion process and its samplers hold values."""
        return to_points(self(to_lattice(values, shape), timestep, condition))


def to_points(latent: Tensor) -> Tensor:
    """(B, c, h, w) → (B, h w, c)."""
    return latent.flatten(2).transpose(1, 2)


def to_lattice(values: Tensor, shape: Shape) -> Tensor:
    """(B, h w, c) → (B, c, h, w)."""
    return values.transpose(1, 2).reshape(len(values), -1, *shape.as_tuple())
