"""Normalised linear attention (GNOT; ∞-Brush §2.2): all that distant tokens exchange are d x d sums.

``q_i = softmax(W_q x_i)``, ``k_j = softmax(W_k y_j)`` over the features of a head, ``v_j = W_v y_j``;
``S = Σ_j a_j k_j ⊗ v_j``, ``n = Σ_j a_j k_j``, ``out_i = q_i S / (q_i · n)``. The sums come first, so the cost is
linear in the number of tokens, and they add over tiles. They are kept in float32 (float64 for float64 input), under
mixed precision too, and are streamed: block after block of a fixed number of tokens, in their order.

Features stand before tokens here, (B, heads, d, N): the softmax over eight adjacent values is five times slower than
over columns, and both products are then ordinary matrix products.
"""

from __future__ import annotations

import torch
from torch import Tensor

from infbrush_wsi.operators.pointwise import linear

STREAM = 8192
"""Tokens of one block of the sums; fixed, so that the order of additions does not depend on the machine."""

Sums = tuple[Tensor, Tensor]


def head_softmax(x: Tensor, heads: int) -> Tensor:
    """Softmax over the features of each head: (B, N, C) → (B, heads, d, N), at least float32."""
    return split_heads(x, heads).contiguous().softmax(dim=2)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, C) → (B, heads, d, N), at least float32."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x.reshape(*x.shape[:2], heads, -1).permute(0, 2, 3, 1)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, d, N) → (B, N, C)."""
    return x.flatten(1, 2).transpose(1, 2)


def key_value_sums(key: Tensor, value: Tensor, area: Tensor | None = None) -> Sums:
    """``S`` (B, heads, d, d) and ``n`` (B, heads, d).

    Args:
        key: (B, heads, d, N) after the softmax.
        value: (B, heads, d, N).
        area: (B or 1, N) weight of each token; None: one each.
    """
    if area is not None:
        key = key * area[:, None, None, :]
    with torch.autocast(key.device.type, enabled=False):
        s, n = _products(key[..., :STREAM], value[..., :STREAM])
        for start in range(STREAM, key.shape[-1], STREAM):
            more, count = _products(key[..., start : start + STREAM], value[..., start : start + STREAM])
            s, n = s + more, n + count
    return s, n


def _products(key: Tensor, value: Tensor) -> Sums:
    return torch.matmul(key, value.transpose(-1, -2)), key.sum(dim=-1)


def attend(query: Tensor, sums: Sums) -> Tensor:
    """``q S / (q · n)``: (B, heads, d, N)."""
    s, n = sums
    with torch.autocast(query.device.type, enabled=False):
        weight = torch.matmul(n.unsqueeze(-2), query)
        return torch.matmul(s.transpose(-1, -2), query) / weight.clamp_min(1e-12)


def answers(x: Tensor, *tensors: Tensor, heads: int) -> Tensor:
    """``q + Σ_l q S_l / (q · n_l)`` of points that have been normed: the chain of layers from points to output map.

    Args:
        x: (B, N, C).
        *tensors: S and n of each set, then weight and bias of the query map.
        heads: number of heads.

    Returns:
        (B, N, C).
    """
    *sums, weight, bias = tensors
    query = head_softmax(linear(x, weight, bias), heads)
    total = query
    for s, n in zip(sums[::2], sums[1::2], strict=True):
        total = total + attend(query, (s, n))
    return join_heads(total).to(x.dtype)
