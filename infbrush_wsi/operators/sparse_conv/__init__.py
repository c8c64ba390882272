"""Sparse depthwise convolution on scattered lattice points (∞-Diff §1.7) and its dense twin."""

from infbrush_wsi.operators.sparse_conv.layer import DepthwiseConv

__all__ = ["DepthwiseConv"]
