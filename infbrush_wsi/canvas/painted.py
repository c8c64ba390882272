"""The layout of a canvas, written beside its pixels as a label image."""

from __future__ import annotations

from pathlib import Path

from infbrush_wsi.conditioning.layout import Layout, label_map
from infbrush_wsi.domain import Lattice
from infbrush_wsi.writers.label_image import cells_lattice, write_label_image


def write_layout(layout: Layout, store: Path, image: Lattice) -> None:
    """Write the classes of a layout into ``labels/layout`` of an OME-Zarr store.

    Raises:
        OutputError: if it cannot be written; the store stays as it was.
    """
    labels = label_map(layout)
    write_label_image(
        store,
        labels.read,
        lattice=cells_lattice(image, layout.cell),
        names=labels.names,
        dtype=labels.dtype,
        provenance=layout.provenance(),
        overwrite=True,
    )
