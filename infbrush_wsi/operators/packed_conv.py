"""A convolution that keeps its weight packed as oneDNN reads it, while nothing is trained.

oneDNN reorders a weight in every call. On the coarse levels of a U-Net the weight is many times as large as the image,
and much of the time goes there; on the fine ones it is still worth having.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Key = tuple[int, int, tuple[int, ...]]


class PackedConv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, faster without gradients; it needs as much memory again for the weights."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, D, H', W')."""
        if choose_convolution(x, self.weight)[0] == "torch":
            return super().forward(x)
        shape = [list(self.stride), list(self.dilation)]
        packed = _packed(self, x)
        return torch.ops.mkldnn._convolution_pointwise.default(  # type: ignore[no-any-return]
            x, packed, self.bias, list(self.padding), *shape, self.groups, "none", [], ""
        )


def choose_convolution(x: Tensor, weight: Tensor) -> tuple[str, str]:
    """'packed' or 'torch', and the reason."""
    if torch.is_grad_enabled():
        return "torch", "gradients are wanted, the weight may change with every call"
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return "torch", f"values are {x.dtype} on {x.device}; weights are packed for float32 on the CPU"
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return "torch", "compiled graphs and autocast choose their own convolution"
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")):
        return "torch", "this torch cannot pack weights"
    return "packed", "no gradients, float32 on the CPU"


_CACHE: WeakKeyDictionary[nn.Module, tuple[Key, Any]] = WeakKeyDictionary()


def _packed(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """The packed weight, made anew when the weight or the shape of the image changes."""
    weight = conv.weight
    key = (weight.data_ptr(), weight._version, tuple(x.shape))
    known = _CACHE.get(conv)
    if known is None or known[0] != key:
        arguments = [list(conv.padding), list(conv.stride), list(conv.dilation)]
        packed = torch.ops.mkldnn._reorder_convolution_weight.default(
            weight.detach(), *arguments, conv.groups, list(x.shape)
        )
        known = _CACHE[conv] = (key, packed)
    return known[1]  # type: ignore[no-any-return]
