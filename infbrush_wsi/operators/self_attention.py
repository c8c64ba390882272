"""Self-attention operator: normalised linear attention of the points to themselves (∞-Brush §2.2, after CANO)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.barrier import Barrier, Program
from infbrush_wsi.operators.linear_attention import answers, head_softmax, key_value_sums, split_heads
from infbrush_wsi.operators.partial import SumPartial
from infbrush_wsi.operators.pointwise import blockwise_residual, linear, modulated_norm
from infbrush_wsi.points.support import Support


class SelfAttentionOperator(nn.Module):
    """``x += W_o (q + q S / (q · n))`` with S, n summed over all points of the image, weighted by their area.

    Args:
        channels: width of the points, divisible by `heads`.
        heads: number of heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ConfigError(f"self-attention: {channels} channels cannot be cut into {heads} heads")
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.maps = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def program(self, x: Tensor, support: Support) -> Program:
        """Run on (B, N, C) points; yields one barrier."""
        channels = x.shape[-1]
        query_weight = self.maps.weight[:channels]
        query_bias = self.maps.bias[:channels]
        total = yield Barrier(partial(self._sums, x, support), lambda found: found.tensors)
        known = [s.expand(x.shape[0], *s.shape[1:]) for s in total]
        chain = partial(_answers, heads=self.heads)
        shared = (self.norm.weight, self.norm.bias, query_weight, query_bias)
        return blockwise_residual(chain, x, known, shared, self.out)

    def _sums(self, x: Tensor, support: Support) -> SumPartial:
        normed = modulated_norm(x, self.norm.weight, self.norm.bias)
        first = x.shape[-1]  # the maps to keys and values follow the one to queries
        key, value = linear(normed, self.maps.weight[first:], self.maps.bias[first:]).chunk(2, dim=-1)
        return SumPartial(key_value_sums(head_softmax(key, self.heads), split_heads(value, self.heads), support.area))


def _answers(x: Tensor, s: Tensor, n: Tensor, scale: Tensor, shift: Tensor, *query: Tensor, heads: int) -> Tensor:
    return answers(modulated_norm(x, scale, shift), s, n, *query, heads=heads)
