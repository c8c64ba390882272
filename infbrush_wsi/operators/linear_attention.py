"""Normalised linear attention (GNOT; ∞-Brush §2.2): all that distant tokens exchange are d x d sums.

``q_i = softmax(W_q x_i)``, ``k_j = softmax(W_k y_j)`` over the features of a head, ``v_j = W_v y_j``;
``S = Σ_j a_j k_j ⊗ v_j``, ``n = Σ_j a_j k_j``, ``out_i = q_i S / (q_i · n)``. The sums come first, so the cost is
linear in the number of tokens, and they add over tiles. They are kept in float32 (float64 for float64 input), under
mixed precision too.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, C) → (B, N, heads, C / heads)."""
    return x.reshape(*x.shape[:2], heads, -1)


def feature_softmax(x: Tensor, heads: int) -> Tensor:
    """Softmax over the features of each head: (B, N, C) → (B, N, heads, d), at least float32.

    Tokens are moved last for it: torch's softmax over eight adjacent values is five times slower than over columns.
    """
    columns = _at_least_single(split_heads(x, heads)).permute(0, 2, 3, 1).contiguous()
    return columns.softmax(dim=2).permute(0, 3, 1, 2)


def key_value_sums(key: Tensor, value: Tensor, area: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``S`` (B, heads, d, d) and ``n`` (B, heads, d).

    Args:
        key: (B, N, heads, d) after the softmax.
        value: (B, N, heads, d).
        area: (B or 1, N) weight of each token; None: one each.
    """
    value = _at_least_single(value)
    if area is not None:
        key = key * area[:, :, None, None]
    with torch.autocast(key.device.type, enabled=False):
        return torch.einsum("bnhd,bnhe->bhde", key, value), key.sum(dim=1)


def attend(query: Tensor, sums: tuple[Tensor, Tensor]) -> Tensor:
    """``q S / (q · n)``: (B, N, heads, d)."""
    s, n = sums
    with torch.autocast(query.device.type, enabled=False):
        weight = torch.einsum("bnhd,bhd->bnh", query, n)
        return torch.einsum("bnhd,bhde->bnhe", query, s) / weight.clamp_min(1e-12).unsqueeze(-1)


def _at_least_single(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
