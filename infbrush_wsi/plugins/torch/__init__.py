"""PyTorch: patches of images as data sets, with the keys that torchgeo's data sets have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.plugins.torch.patches import PatchDataset

__all__ = ["PatchDataset"]

_EXPORTS = {"PatchDataset": "infbrush_wsi.plugins.torch.patches"}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
