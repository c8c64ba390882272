"""Synthetic images for the training of classifiers: data sets, mixing with real ones, filters, labelled folders.

The names below are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._lazy import lazy_names

if TYPE_CHECKING:
    from infbrush_wsi.augment.confidence import confident
    from infbrush_wsi.augment.copies import without_copies
    from infbrush_wsi.augment.folder import write_folder
    from infbrush_wsi.augment.judge import Judge, Judging
    from infbrush_wsi.augment.mixed import MixedDataset
    from infbrush_wsi.augment.selection import Dropped, Selection
    from infbrush_wsi.augment.stack import write_stack
    from infbrush_wsi.augment.synthesis import Synthesis
    from infbrush_wsi.augment.synthetic import SyntheticDataset

__all__ = [
    "Dropped",
    "Judge",
    "Judging",
    "MixedDataset",
    "Selection",
    "Synthesis",
    "SyntheticDataset",
    "confident",
    "without_copies",
    "write_folder",
    "write_stack",
]

_EXPORTS = {
    "Dropped": "infbrush_wsi.augment.selection",
    "Judge": "infbrush_wsi.augment.judge",
    "Judging": "infbrush_wsi.augment.judge",
    "MixedDataset": "infbrush_wsi.augment.mixed",
    "Selection": "infbrush_wsi.augment.selection",
    "Synthesis": "infbrush_wsi.augment.synthesis",
    "SyntheticDataset": "infbrush_wsi.augment.synthetic",
    "confident": "infbrush_wsi.augment.confidence",
    "without_copies": "infbrush_wsi.augment.copies",
    "write_folder": "infbrush_wsi.augment.folder",
    "write_stack": "infbrush_wsi.augment.stack",
}

__getattr__, __dir__ = lazy_names(__name__, _EXPORTS)
