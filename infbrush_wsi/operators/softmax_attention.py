"""Softmax attention with the implementation that suits the values."""

from __future__ import annotations

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

FLASH_WIDTH = 256
"""Largest width of a head that flash-attn takes."""


def softmax_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``softmax(q kᵀ / √d) v`` over the last two axes.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, M, d).
        value: (B, heads, M, d).

    Returns:
        (B, heads, N, d).
    """
    if choose_attention(query)[0] == "sdpa":
        return F.scaled_dot_product_attention(query, key, value)
    from flash_attn import flash_attn_func

    tokens_first = (t.transpose(1, 2) for t in (query, key, value))
    return flash_attn_func(*tokens_first).transpose(1, 2)  # type: ignore[no-any-return]


def choose_attention(query: Tensor) -> tuple[str, str]:
    """'flash_attn' or 'sdpa', and the reason."""
    if query.device.type != "cuda":
        return "sdpa", f"values are on {query.device}"
    if query.dtype not in (torch.float16, torch.bfloat16):
        return "sdpa", f"flash-attn knows float16 and bfloat16, values are {query.dtype}"
    if query.shape[-1] > FLASH_WIDTH or query.shape[-1] % 8:
        return "sdpa", f"flash-attn takes heads of up to {FLASH_WIDTH} features in eights, these have {query.shape[-1]}"
    if torch.compiler.is_compiling():
        return "sdpa", "compiled graphs have torch's own flash kernel"
    if find_spec("flash_attn") is None:
        return "sdpa", "flash-attn is not installed"
    return "flash_attn", f"{query.dtype} on a GPU, and flash-attn is installed"
