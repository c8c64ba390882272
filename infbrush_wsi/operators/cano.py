"""Cross-attention neural operator (CANO): points ask several condition sets at once (∞-Brush, eq. of §2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.barrier import Barrier, Program
from infbrush_wsi.operators.linear_attention import answers, head_softmax, key_value_sums, split_heads
from infbrush_wsi.operators.partial import SumPartial
from infbrush_wsi.operators.pointwise import blockwise_residual, modulated_norm
from infbrush_wsi.points.support import Support


class CrossAttentionNeuralOperator(nn.Module):
    """``x += W_o (q + Σ_l q S_l / (q · n_l))`` with one key and value map for each condition set l.

    A set of one token contributes a constant (its value); only sets with several tokens are truly attended. Sets that
    live on the points themselves (coordinates) are summed over all points, which is a barrier.

    Args:
        channels: width of the points, divisible by `heads`.
        heads: number of heads.
        sets: width of the tokens of each condition set, by name.
        point_sets: names of those sets whose tokens are the points' own.
    """

    def __init__(
        self, channels: int, heads: int, sets: Mapping[str, int], point_sets: frozenset[str] = frozenset()
    ) -> None:
        super().__init__()
        if channels % heads:
            raise ConfigError(f"CANO: {channels} channels cannot be cut into {heads} heads")
        self.heads = heads
        self.point_sets = point_sets
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.set_norms = nn.ModuleDict({name: nn.LayerNorm(width) for name, width in sets.items()})
        self.keys_values = nn.ModuleDict({name: nn.Linear(width, 2 * channels) for name, width in sets.items()})
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def program(self, x: Tensor, tokens: Mapping[str, Tensor], support: Support) -> Program:
        """Run on (B, N, C) points; `tokens` holds (B, L, width) for each set, (B, N, width) for point sets.

        Yields:
            one barrier for each point set.
        """
        known: list[Tensor] = []
        for name in self.keys_values:
            measure = partial(self._sums, name, tokens[name], support)
            if name in self.point_sets:
                sums = yield Barrier(measure, _tensors)
            else:
                sums = measure().tensors
            known += [s.expand(x.shape[0], *s.shape[1:]) for s in sums]
        chain = partial(_answers, heads=self.heads, sums=len(known))
        shared = (self.norm.weight, self.norm.bias, self.query.weight, self.query.bias)
        return blockwise_residual(chain, x, known, shared, self.out)

    def _sums(self, name: str, tokens: Tensor, support: Support) -> SumPartial:
        key, value = self.keys_values[name](self.set_norms[name](tokens)).chunk(2, dim=-1)
        area = support.area if name in self.point_sets else None
        return SumPartial(key_value_sums(head_softmax(key, self.heads), split_heads(value, self.heads), area))


def _answers(x: Tensor, *tensors: Tensor, heads: int, sums: int) -> Tensor:
    scale, shift, *query = tensors[sums:]
    return answers(modulated_norm(x, scale, shift), *tensors[:sums], *query, heads=heads)


def _tensors(total: SumPartial) -> tuple[Tensor, ...]:
    return total.tensors
