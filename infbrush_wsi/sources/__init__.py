"""Real pixels: slides, rasters, OME-Zarr and plain images behind one interface.

``open_source(path)`` finds the reader; ``source.at(spacing)`` gives the image at any pixel size; ``collect`` makes a
labelled data set of many sources.
"""

from infbrush_wsi.sources.array import ArraySource
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.collection import Collection, Item, Skipped, collect
from infbrush_wsi.sources.level import Level
from infbrush_wsi.sources.registry import open_source, readers
from infbrush_wsi.sources.split import split
from infbrush_wsi.sources.view import ResampledView

__all__ = [
    "ArraySource",
    "Collection",
    "Item",
    "Level",
    "ResampledView",
    "Skipped",
    "Source",
    "collect",
    "open_source",
    "readers",
    "split",
]
