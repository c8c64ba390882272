"""The ∞-Brush denoiser: sparse point layers around a U-Net on a grid, conditioned by CANO and modulation."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.embedder import ConditionEmbedder
from infbrush_wsi.conditioning.latent import LatentInput
from infbrush_wsi.models.infbrush.block import PointBlock
from infbrush_wsi.models.infbrush.choices import CanoKind, check_choices, check_sizes
from infbrush_wsi.operators.barrier import Barrier, Program, run_whole
from infbrush_wsi.operators.cano import CrossAttentionNeuralOperator
from infbrush_wsi.operators.embedding import Position, PositionFeatures
from infbrush_wsi.operators.grid_transfer import NEAREST_REACH, Transfer, grid_to_points, points_to_grid
from infbrush_wsi.operators.partial import GridPartial
from infbrush_wsi.operators.pointwise import linear
from infbrush_wsi.operators.self_attention import SelfAttentionOperator
from infbrush_wsi.operators.uno import GridUNet
from infbrush_wsi.points.support import Support

TIME_FREQUENCIES = 256


class InfBrushDenoiser(ModelMixin, ConfigMixin):
    """Predicts the diffusion target at any set of points of a noisy function (∞-Brush §2.3).

    Layers: lift → `blocks` x (sparse block, CANO, [self-attention]) → grid → U-Net → points → the same upwards with
    skips → head. It is saved and loaded like any diffusers model (`save_pretrained`, `from_pretrained`).

    Args:
        channels: bands of the image.
        width: nf, channels of the point layers.
        blocks: point layers before the grid, and again after it.
        kernel_size: k of the sparse convolution in training pixels.
        grid_pitch: side of a grid cell in training pixels.
        grid_side: nodes per side of the training window's grid (attention windows follow from it).
        grid_width: W, channels at the finest level of the U-Net.
        grid_multipliers: channel multipliers of its levels.
        grid_blocks: its residual blocks per level.
        grid_attention_from: its first level with self-attention.
        embedding_width: width of the time and condition vectors and of condition tokens.
        classes: names of the classes, in order of their index; empty: none.
        embedding_dim: width of external embeddings; 0: none.
        condition_tokens: tokens of a class.
        cano: 'sets': cross-attention to the condition tokens; 'paper': also to one time token and to the
            coordinates, as published; 'off': none.
        cano_heads: heads of CANO and of the self-attention operator.
        self_attention: add the self-attention operator to every point layer (a global barrier each).
        position: which coordinate features enter the points, see `PositionFeatures`.
        transfer: 'splat' or 'knn', see `points.transfer`.
        magnification: whether the network is told the pixel size relative to `mpp` (training at several).
        dropout: in attention levels of the U-Net.
        cross_attention: whether the bottleneck of the U-Net attends to the condition tokens.
        latent_dim: width of a latent z that scales every block (∞-Diff's diffusion autoencoder), given in the place of
            an embedding; 0: none.

    Attributes:
        recomputed_layers: how many point layers keep nothing for the backward pass and run again in it (the first
            ones; zero at first). It changes memory and time, not the result.
    """

    config_name = "config.json"  # type: ignore[assignment]
    if TYPE_CHECKING:
        config: Any  # the constructor's arguments, as attributes

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: int = 3,
        width: int = 32,
        blocks: int = 2,
        kernel_size: int = 7,
        grid_pitch: float = 4.0,
        grid_side: int = 32,
        grid_width: int = 32,
        grid_multipliers: tuple[int, ...] = (1, 2, 4),
        grid_blocks: int = 1,
        grid_attention_from: int = 2,
        embedding_width: int = 128,
        classes: tuple[str, ...] = (),
        embedding_dim: int = 0,
        condition_tokens: int = 4,
        cano: CanoKind = "sets",
        cano_heads: int = 4,
        self_attention: bool = False,
        position: Position = "cell",
        transfer: Transfer = "splat",
        magnification: bool = False,
        dropout: float = 0.0,
        cross_attention: bool = True,
        latent_dim: int = 0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        check_sizes(kernel_size, grid_pitch, blocks, embedding_dim, latent_dim)
        check_choices(cano=cano, position=position, transfer=transfer)
        self.recomputed_layers = 0
        self.time_features = Timesteps(TIME_FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(TIME_FREQUENCIES, embedding_width, act_fn="gelu")
        self.magnification_embedding = TimestepEmbedding(TIME_FREQUENCIES, embedding_width) if magnification else None
        self.condition = ConditionEmbedder(embedding_width, condition_tokens, len(classes), embedding_dim)
        self.latent = LatentInput(latent_dim) if latent_dim else None
        self.position_features = PositionFeatures(position)
        self.lift = nn.Linear(channels + self.position_features.width, width)
        sizes = (width, kernel_size, embedding_width)
        self.down = nn.ModuleList(PointBlock(*sizes, latent=latent_dim) for _ in range(blocks))
        self.up = nn.ModuleList(PointBlock(*sizes, skip=True, latent=latent_dim) for _ in range(blocks))
        cano_sets = self._cano_sets(cano, embedding_width)
        points = frozenset({"coordinates"} & set(cano_sets))
        self.cano_layers = _layers(
            2 * blocks, cano_sets, lambda: CrossAttentionNeuralOperator(width, cano_heads, cano_sets, points)
        )
        self.attention_layers = _layers(2 * blocks, self_attention, lambda: SelfAttentionOperator(width, cano_heads))
        self.to_grid = nn.Linear(width, grid_width)
        self.uno = GridUNet(
            grid_width,
            tuple(grid_multipliers),
            grid_blocks,
            embedding_width,
            embedding_width if cross_attention else None,
            grid_attention_from,
            grid_side,
            dropout,
            latent_dim,
        )
        self.from_grid = nn.Linear(grid_width, width)
        self.head = nn.Linear(width, channels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _cano_sets(self, kind: CanoKind, embedding_width: int) -> dict[str, int]:
        if kind == "off":
            return {}
        sets = {"condition": embedding_width}
        if kind == "paper":
            sets |= {"time": embedding_width}
            if self.position_features.width:
                sets |= {"coordinates": self.position_features.width}
        return sets

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> InfBrushDenoiser:
        """Load a saved network, as any diffusers model."""
        net: InfBrushDenoiser = super().from_pretrained(*arguments, **options)
        net.uno.arrange()
        return net

    @property
    def device(self) -> torch.device:
        """Where the parameters are (the base class searches all modules for hooks, at every step of every tile)."""
        return self.lift.weight.device

    @property
    def point_layers(self) -> int:
        """Number of point layers, before and after the grid."""
        return len(self.down) + len(self.up)

    def compile_layers(self, **options: Any) -> None:
        """Compile the point layers and the grid's U-Net in place (`torch.compile` with `options`)."""
        for layer in (*self.down, *self.up, self.uno):
            layer.compile(**options)

    def barrier_reach(self, ratio: float = 1.0) -> list[int]:
        """How far each global sum looks away in pixels, in order, and last how far the output does.

        This is the halo with which tiles of an image, evaluated apart, are exact.

        Args:
            ratio: pixels of the lattice per training pixel.
        """
        per_block = self.down[0].conv.reach(ratio)  # type: ignore[union-attr,operator]
        blocks = len(self.down)
        per_layer = int(self.config.self_attention) + int("coordinates" in self._cano_sets(self.config.cano, 1))
        before = [per_block * (i + 1) for i in range(blocks) for _ in range(per_layer)]
        after = [per_block * (blocks + i + 1) for i in range(blocks) for _ in range(per_layer)]
        nearest = NEAREST_REACH if self.config.transfer == "knn" else 0
        return [*before, per_block * blocks + nearest, *after, 2 * per_block * blocks]

    def forward(
        self,
        x: Tensor,
        support: Support,
        timestep: Tensor,
        condition: ConditionBatch,
        log_magnification: Tensor | None = None,
    ) -> Tensor:
        """Evaluate the network where the support is the whole image.

        Args:
            x: (B, N, channels) scaled noisy values at the points.
            support: where the points are.
            timestep: (B,) in [0, 1000).
            condition: of the B images.
            log_magnification: (B,) log2 of the pixel size over the base pixel size; None: zero.

        Returns:
            (B, N, channels), the prediction in units of its standard deviation.
        """
        return run_whole(self.program(x, support, timestep, condition, log_magnification))

    def program(
        self,
        x: Tensor,
        support: Support,
        timestep: Tensor,
        condition: ConditionBatch,
        log_magnification: Tensor | None = None,
    ) -> Program:
        """The same as a generator that stops at every global sum, see `operators.barrier`."""
        latent, condition = (None, condition) if self.latent is None else self.latent(condition)
        embedding, tokens = self._embed(timestep, condition, log_magnification)
        position = self.position_features(support) if self.position_features.width else None
        sets = {"condition": tokens, "time": embedding.unsqueeze(1)}
        if position is not None:
            position = position.expand(x.shape[0], -1, -1).to(x.dtype)
            sets["coordinates"] = position
        h = linear(x if position is None else torch.cat([x, position], dim=-1), self.lift.weight, self.lift.bias)
        skips = []
        for i, block in enumerate(self.down):
            h = block(h, support, embedding, save_memory=i < self.recomputed_layers, latent=latent)
            h = yield from self._exchange(i, h, sets, support)
            skips.append(h)
        # The linear maps to and from the grid commute with weighted means, and there are fewer nodes than points.
        spread = partial(points_to_grid, h, support, self.config.transfer)
        grid = yield Barrier(spread, self._coarse(embedding, tokens, latent))
        h = grid_to_points(grid, support).to(h.dtype)
        for i, block in enumerate(self.up):
            layer = len(self.down) + i
            h = block(h, support, embedding, skips.pop(), layer < self.recomputed_layers, latent)
            h = yield from self._exchange(layer, h, sets, support)
        return self.head(h)  # type: ignore[no-any-return]

    def _embed(
        self, timestep: Tensor, condition: ConditionBatch, log_magnification: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        dtype = self.lift.weight.dtype
        vector, tokens = self.condition(condition)
        embedding = self.time_embedding(self.time_features(timestep).to(dtype)) + vector
        if self.magnification_embedding is not None:
            size = torch.zeros_like(timestep) if log_magnification is None else log_magnification
            embedding = embedding + self.magnification_embedding(self.time_features(100.0 * size).to(dtype))
        return embedding, tokens

    def _exchange(
        self, i: int, h: Tensor, sets: dict[str, Tensor], support: Support
    ) -> Generator[Barrier, Any, Tensor]:
        cano, attention = self.cano_layers[i], self.attention_layers[i]
        if isinstance(cano, CrossAttentionNeuralOperator):
            h = yield from cano.program(h, sets, support)
        if isinstance(attention, SelfAttentionOperator):
            h = yield from attention.program(h, support)
        return h

    def _coarse(self, embedding: Tensor, tokens: Tensor, latent: Tensor | None) -> Any:
        def finish(total: GridPartial) -> Tensor:
            nodes = self.to_grid(total.mean().permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            grid = self.uno(nodes, embedding, tokens, latent)
            return self.from_grid(grid.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]

        return finish


def _layers(count: int, wanted: object, make: Callable[[], nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(make() if wanted else nn.Identity() for _ in range(count))
