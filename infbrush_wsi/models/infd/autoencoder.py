"""The autoencoder of INFD: diffusers' encoder and decoder, and CLIF in place of the decoder's last layer (INFD §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from diffusers import AutoencoderKL, VQModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.clif import Clif, Norm
from infbrush_wsi.operators.query import Query

Bottleneck = Literal["kl", "vq"]
KINDS: dict[str, Any] = {"kl": AutoencoderKL, "vq": VQModel}
HEAD = ("conv_norm_out", "conv_act", "conv_out")


class FieldAutoencoder(ModelMixin, ConfigMixin):
    """Image → latent → feature map → pixels at any positions and scale.

    The feature map has a feature for each pixel of the encoder's input. It is made in one piece (diffusers' blocks
    normalise over it); pixels are rendered from it window by window.

    Args:
        bottleneck: 'kl' (diffusers' AutoencoderKL) or 'vq' (VQModel: latents are quantised when decoded, published).
        networks: arguments of that class; `in_channels` are the bands.
        width: channels of the renderer's convolutions.
        blocks: its residual blocks.
        norm: its normalisation, see `Clif`.

    Raises:
        ConfigError: for another bottleneck, or arguments that diffusers refuses.
    """

    config_name = "config.json"  # type: ignore[assignment]
    if TYPE_CHECKING:
        config: Any  # the constructor's arguments, as attributes

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        bottleneck: Bottleneck = "kl",
        networks: dict[str, Any] | None = None,
        width: int = 32,
        blocks: int = 1,
        norm: Norm = "channel",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if bottleneck not in KINDS:
            raise ConfigError(f"the bottleneck must be 'kl' or 'vq', not {bottleneck!r}")
        given = dict(networks or {})
        if given.get("norm_type", "group") != "group":
            raise ConfigError("an autoencoder with spatial norms ends in a layer that cannot be left out")
        try:
            self.coder: Any = KINDS[bottleneck](**given)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"diffusers cannot make the autoencoder: {error}") from error
        for layer in HEAD:
            setattr(self.coder.decoder, layer, nn.Identity())
        widths = self.coder.config.block_out_channels
        self.renderer = Clif(widths[0], width, blocks, self.coder.config.in_channels, norm)

    @classmethod
    def around(cls, coder: Any, *, width: int = 256, blocks: int = 2, norm: Norm = "channel") -> FieldAutoencoder:
        """A given autoencoder with a fresh renderer.

        Args:
            coder: diffusers' AutoencoderKL or VQModel with its weights.
            width: see the class.
            blocks: see the class.
            norm: see the class.

        Raises:
            ConfigError: for an autoencoder of another class.
        """
        kinds = [name for name, kind in KINDS.items() if isinstance(coder, kind)]
        if not kinds:
            raise ConfigError(f"an autoencoder must be diffusers' AutoencoderKL or VQModel, not {type(coder).__name__}")
        networks = {key: value for key, value in coder.config.items() if not key.startswith("_")}
        made: FieldAutoencoder = cls(kinds[0], networks, width, blocks, norm)
        wanted = made.coder.state_dict()
        made.coder.load_state_dict({name: value for name, value in coder.state_dict().items() if name in wanted})
        return made

    @property
    def channels(self) -> int:
        """Bands of the image."""
        return int(self.coder.config.in_channels)

    @property
    def latent_channels(self) -> int:
        """Channels of the latent."""
        coder = self.coder.config
        return int((coder.get("vq_embed_dim") or coder.latent_channels) if self.quantised else coder.latent_channels)

    @property
    def downsampling(self) -> int:
        """Pixels of the encoder's input along a side of a latent cell."""
        return int(2 ** (len(self.coder.config.block_out_channels) - 1))

    @property
    def quantised(self) -> bool:
        """Whether latents are quantised when they are decoded."""
        return bool(self.config.bottleneck == "vq")

    def encode(self, image: Tensor) -> Tensor:
        """The latent that is diffused: the mean of the posterior ('kl'), or what is not quantised yet ('vq').

        Args:
            image: (B, C, H, W) in [-1, 1], sides multiples of `downsampling`.

        Returns:
            (B, c, H / downsampling, W / downsampling).
        """
        encoded = self.coder.encode(image)
        latent: Tensor = encoded.latents if self.quantised else encoded.latent_dist.mode()
        return latent

    def features(self, latent: Tensor) -> Tensor:
        """The feature map of a latent (B, c, h, w): (B, F, h downsampling, w downsampling)."""
        return self._decoded(latent)[0]

    def render(self, features: Tensor, query: Query) -> Tensor:
        """Windows of the picture, (B, C, h, w), about [-1, 1]; see `Clif`."""
        found: Tensor = self.renderer(features, query)
        return found

    def forward(self, image: Tensor, query: Query) -> tuple[Tensor, Tensor]:
        """What training asks for.

        Args:
            image: (B, C, H, W) in [-1, 1].
            query: B windows, coordinates in pixels of `image`.

        Returns:
            the windows (B, C, h, w), and the bottleneck's own loss (B,): mean KL divergence, or the commitment.
        """
        if self.quantised:
            features, own = self._decoded(self.encode(image))
        else:
            posterior = self.coder.encode(image).latent_dist
            latent = posterior.sample()
            features, own = self._decoded(latent)[0], posterior.kl() / latent[0].numel()
        return self.render(features, query), own

    def _decoded(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        decoded = self.coder.decode(latent)
        own = decoded.commit_loss if self.quantised else torch.zeros((), device=latent.device)
        return decoded.sample, own.expand(len(latent))
