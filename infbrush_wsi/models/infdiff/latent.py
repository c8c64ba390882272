"""The network of the latent diffusion: an MLP that sees its input again in every layer (∞-Diff §1.9, DiffAE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError

FEWEST_LAYERS = 2


class LatentDenoiser(ModelMixin, ConfigMixin):
    """Predicts the noise in standardised latents (MLPSkipNet).

    ``h_1 = L_1(u)``, ``h_k = L_k([h_(k-1), u])`` with ``L = GELU(LN(Linear(.) (1 + Linear(GELU(t)))))``, and a last
    linear layer of ``[h, u]``.

    Args:
        latent_dim: width of z.
        hidden: width of the hidden layers.
        layers: number of linear layers, the last included.
        time_width: width of the time embedding.
        beta: of the latents' diffusion, the same in all of its 1000 steps.

    Attributes:
        mean: (latent_dim,) of the encoded training set, set by `standardise`.
        std: (latent_dim,) of it.

    Raises:
        ConfigError: for sizes of which no network can be made.
    """

    config_name = "config.json"  # type: ignore[assignment]
    if TYPE_CHECKING:
        config: Any  # the constructor's arguments, as attributes
        mean: Tensor
        std: Tensor

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, latent_dim: int = 64, hidden: int = 256, layers: int = 6, time_width: int = 128, beta: float = 0.008
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if min(latent_dim, hidden, time_width) < 1 or layers < FEWEST_LAYERS or not 0 < beta < 1:
            raise ConfigError(
                "a latent network needs positive widths, at least two layers and 0 < beta < 1, not "
                f"latent_dim={latent_dim}, hidden={hidden}, layers={layers}, time_width={time_width}, beta={beta}"
            )
        self.time_features = Timesteps(time_width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(time_width, time_width, act_fn="gelu")
        inputs = [latent_dim] + [hidden + latent_dim] * (layers - 2)
        self.body = nn.ModuleList(_TimedLayer(width, hidden, time_width) for width in inputs)
        self.head = nn.Linear(hidden + latent_dim, latent_dim)
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("std", torch.ones(latent_dim))

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Take note of the moments, (latent_dim,) each, of the latents that are trained on.

        The published code leaves the mean out: a workaround for a fault elsewhere in it.
        """
        self.mean.copy_(mean)
        self.std.copy_(std)

    def to_unit(self, latent: Tensor) -> Tensor:
        """Z (B, latent_dim) with zero mean and unit variance."""
        return (latent - self.mean) / self.std

    def from_unit(self, unit: Tensor) -> Tensor:
        """The inverse of `to_unit`."""
        return unit * self.std + self.mean

    def forward(self, unit: Tensor, timestep: Tensor) -> Tensor:
        """Noisy standardised latents (B, latent_dim), (B,) in [0, 1000) → the noise in them."""
        time = F.gelu(self.time_embedding(self.time_features(timestep).to(unit.dtype)))
        first, *others = self.body
        h = first(unit, time)
        for layer in others:
            h = layer(torch.cat([h, unit], dim=-1), time)
        return self.head(torch.cat([h, unit], dim=-1))  # type: ignore[no-any-return]


class _TimedLayer(nn.Module):
    """``GELU(LN(Linear(x) (1 + Linear(t))))``."""

    def __init__(self, inputs: int, outputs: int, time_width: int) -> None:
        super().__init__()
        self.linear, self.scale = nn.Linear(inputs, outputs), nn.Linear(time_width, outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return F.gelu(self.norm(self.linear(x) * (1 + self.scale(time))))
