"""The score network of Multilevel Diffusion: one of three bodies, with embeddings of time and condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.embedder import ConditionEmbedder
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.multilevel.cno import CnoBody
from infbrush_wsi.models.multilevel.fno import FourierBody
from infbrush_wsi.models.multilevel.unet import GROUPS, UNetBody

Kind = Literal["fno", "unet", "cno"]
TIME_FREQUENCIES = 256
TIMESTEPS = 1000


class MultilevelDenoiser(ModelMixin, ConfigMixin):
    """Predicts the diffusion target on a lattice over the training window's domain.

    Args:
        kind: 'fno', 'unet' or 'cno'.
        channels: bands of the image.
        width: channels of the (finest) layers.
        modes: of the FNO's spectral convolutions.
        layers: of the FNO; blocks a level of the others.
        multipliers: channels of each level of U-Net and CNO.
        embedding_width: of time and condition; the U-Net fixes it to four times its width; 0 for an FNO that is told
            time by a channel only, as published.
        classes: names of the classes, in order of their index; empty: none.
        embedding_dim: width of external embeddings; 0: none.
        local: the CNO's activations use short windowed-sinc filters instead of Fourier series.

    Raises:
        ConfigError: if the arguments do not go together.
    """

    config_name = "config.json"  # type: ignore[assignment]
    if TYPE_CHECKING:
        config: Any  # the constructor's arguments, as attributes

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        kind: Kind = "cno",
        channels: int = 3,
        width: int = 32,
        modes: int = 14,
        layers: int = 1,
        multipliers: tuple[int, ...] = (1, 2, 2),
        embedding_width: int = 128,
        classes: tuple[str, ...] = (),
        embedding_dim: int = 0,
        local: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        _check(kind, width, layers, embedding_width, bool(classes) or embedding_dim > 0)
        if kind == "unet":
            embedding_width = UNetBody.embedding_width(width)
        self.body: nn.Module
        if kind == "fno":
            self.body = FourierBody(channels, width, modes, layers, embedding_width)
        elif kind == "unet":
            self.body = UNetBody(channels, width, multipliers, layers)
        else:
            self.body = CnoBody(channels, width, multipliers, layers, embedding_width, local=local)
        conditional = embedding_width > 0
        self.time_features = Timesteps(TIME_FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        # The U-Net embeds time itself.
        timed = conditional and kind != "unet"
        self.time_embedding = TimestepEmbedding(TIME_FREQUENCIES, embedding_width, act_fn="gelu") if timed else None
        embedder = ConditionEmbedder(embedding_width, 1, len(classes), embedding_dim)
        self.condition = embedder if conditional and (classes or embedding_dim) else None
        self.vector_width = embedding_width

    def forward(self, x: Tensor, timestep: Tensor, condition: ConditionBatch | None = None) -> Tensor:
        """The prediction on a lattice.

        Args:
            x: (B, C, H, W) noisy values, scaled as the process asks.
            timestep: (B,) whole numbers from 0 to 999.
            condition: of the B images; None: none.

        Returns:
            (B, C, H, W) float32.
        """
        kind = self.config.kind
        embedding = torch.zeros(len(x), self.vector_width, device=x.device, dtype=x.dtype)
        if self.time_embedding is not None:
            embedding = self.time_embedding(self.time_features(timestep).to(x.dtype))
        if self.condition is not None:
            given = ConditionBatch.none(len(x)).to(x.device) if condition is None else condition
            embedding = embedding + self.condition(given)[0]
        if kind == "unet":
            out = self.body(x, timestep, embedding)
        elif kind == "fno":
            out = self.body(x, (timestep.to(x.dtype) + 1) / TIMESTEPS, embedding)
        else:
            out = self.body(x, embedding)
        return out.float()  # type: ignore[no-any-return]


def _check(kind: str, width: int, layers: int, embedding_width: int, conditional: bool) -> None:
    if kind not in get_args(Kind):
        raise ConfigError(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
    if width < 1 or layers < 1:
        raise ConfigError(f"width and layers must be positive, not {width} and {layers}")
    if kind == "unet" and width % GROUPS:
        raise ConfigError(f"a U-Net's width must be a multiple of {GROUPS}, not {width}")
    if embedding_width == 0 and (conditional or kind == "cno"):
        raise ConfigError("embedding_width=0 is for an FNO without classes or embeddings")
