"""The encoder of ∞-Diff's diffusion autoencoder (§1.9): an image, sampled anywhere, becomes one vector z."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.infbrush.choices import check_choices, check_sizes
from infbrush_wsi.models.infdiff.block import PlainPointBlock
from infbrush_wsi.operators.barrier import Barrier, Program, run_whole
from infbrush_wsi.operators.grid_descent import GridDescent
from infbrush_wsi.operators.grid_transfer import NEAREST_REACH, Transfer, points_to_grid
from infbrush_wsi.operators.partial import GridPartial
from infbrush_wsi.operators.pointwise import linear
from infbrush_wsi.points.support import Support


class InfDiffEncoder(ModelMixin, ConfigMixin):
    """Lift → `blocks` sparse blocks → grid → the way down of a U-Net → mean over the nodes → z.

    It reads T x_0, which does not depend on the pixel size at which an image is sampled, at any set of points; its only
    global sum is the grid, so that a large image may be encoded in tiles with the same result.

    Args:
        channels: bands of the image.
        width: nf, channels of the point layers.
        blocks: point layers before the grid.
        kernel_size: k of the sparse convolution in training pixels.
        grid_pitch: side of a grid cell in training pixels.
        grid_side: nodes per side of the training window's grid.
        grid_width: W, channels at the finest level of the grid's network.
        grid_multipliers: channel multipliers of its levels.
        grid_blocks: its residual blocks per level.
        grid_attention_from: its first level with self-attention.
        transfer: 'splat' or 'knn', see `points.transfer`.
        dropout: in attention levels.
        latent_dim: width of z.

    Attributes:
        recomputed_layers: how many point layers run again in the backward pass, as in `InfBrushDenoiser`.

    Raises:
        ConfigError: for sizes of which no network can be made.
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
        transfer: Transfer = "splat",
        dropout: float = 0.0,
        latent_dim: int = 64,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        check_sizes(kernel_size, grid_pitch, blocks)
        check_choices(transfer=transfer)
        if latent_dim < 1:
            raise ConfigError(f"latent_dim must be at least 1, not {latent_dim}")
        self.recomputed_layers = 0
        self.lift = nn.Linear(channels, width)
        self.down = nn.ModuleList(PlainPointBlock(width, kernel_size) for _ in range(blocks))
        self.to_grid = nn.Linear(width, grid_width)
        self.uno = GridDescent(
            grid_width, tuple(grid_multipliers), grid_blocks, None, None, grid_attention_from, grid_side, dropout
        )
        self.pool = nn.Linear(self.uno.widths[-1], latent_dim)
        self.head = nn.Linear(latent_dim, latent_dim)
        self.uno.arrange()

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> InfDiffEncoder:
        """Load a saved network, as any diffusers model."""
        net: InfDiffEncoder = super().from_pretrained(*arguments, **options)
        net.uno.arrange()
        return net

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.lift.weight.device

    def reach(self, ratio: float = 1.0) -> int:
        """How far the grid looks away in pixels: the halo with which tiles of an image are exact.

        Args:
            ratio: pixels of the lattice per training pixel.
        """
        per_block: int = self.down[0].conv.reach(ratio)  # type: ignore[union-attr,operator]
        return per_block * len(self.down) + (NEAREST_REACH if self.config.transfer == "knn" else 0)

    def forward(self, x: Tensor, support: Support) -> Tensor:
        """Encode where the support is the whole image.

        Args:
            x: (B, N, channels) T x_0 at the points, in [-1, 1].
            support: where the points are.

        Returns:
            (B, latent_dim).
        """
        return run_whole(self.program(x, support))

    def program(self, x: Tensor, support: Support) -> Program:
        """The same as a generator that stops at its one global sum, the grid; see `operators.barrier`."""
        h = linear(x, self.lift.weight, self.lift.bias)
        for i, block in enumerate(self.down):
            h = block(h, support, save_memory=i < self.recomputed_layers)
        latent: Tensor = yield Barrier(partial(points_to_grid, h, support, self.config.transfer), self._coarse)
        return latent

    def _coarse(self, total: GridPartial) -> Tensor:
        nodes = self.to_grid(total.mean().permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        bottleneck, _ = self.uno.descend(nodes)
        # The published order is a 1x1 convolution and then the mean; they commute.
        return self.head(self.pool(bottleneck.mean(dim=(2, 3))))  # type: ignore[no-any-return]
