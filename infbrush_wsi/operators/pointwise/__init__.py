"""Layers that act on each point by itself, fast on CPUs: linear, modulated norm, and chains of them in blocks."""

from infbrush_wsi.operators.pointwise.chain import blockwise, blockwise_residual
from infbrush_wsi.operators.pointwise.norm import affine, modulated_norm
from infbrush_wsi.operators.pointwise.product import linear, linear_add, linear_gelu

__all__ = ["affine", "blockwise", "blockwise_residual", "linear", "linear_add", "linear_gelu", "modulated_norm"]
