"""What napari asks about every path that ends in .zarr."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from infbrush_wsi.plugins.stores import is_ours

if TYPE_CHECKING:
    from infbrush_wsi.plugins.napari.layers import LayerData

Path = str | os.PathLike[str]


def get_reader(path: Path | Sequence[Path]) -> Callable[[Path | Sequence[Path]], list[LayerData]] | None:
    """A reader, if all paths are OME-Zarr stores that this package has written; other stores are left to others."""
    return read if all(is_ours(each) for each in _paths(path)) else None


def read(path: Path | Sequence[Path]) -> list[LayerData]:
    """Layers of the stores: pixels, and the layouts that they were painted by.

    Raises:
        SourceError: one of its kinds, if a store cannot be opened.
    """
    from infbrush_wsi.plugins.napari.layers import image_layers, label_layers

    return [layer for each in _paths(path) for layer in (*image_layers(each), *label_layers(each))]


def _paths(path: Path | Sequence[Path]) -> list[Path]:
    return [path] if isinstance(path, str | os.PathLike) else list(path)
