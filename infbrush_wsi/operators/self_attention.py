"""Self-attention operator: normalised linear attention of the points to themselves (∞-Brush §2.2, after CANO)."""

from __future__ import annotations

from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.barrier import Barrier, Program
from infbrush_wsi.operators.linear_attention import attend, feature_softmax, key_value_sums, split_heads
from infbrush_wsi.operators.partial import SumPartial
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
        query, key, value = self.maps(self.norm(x)).chunk(3, dim=-1)
        query = feature_softmax(query, self.heads)
        sums = key_value_sums(feature_softmax(key, self.heads), split_heads(value, self.heads), support.area)
        total = yield Barrier(SumPartial(sums), lambda partial: partial.tensors)
        out = query + attend(query, total)
        return x + self.out(out.reshape(x.shape).to(x.dtype))  # type: ignore[no-any-return]
