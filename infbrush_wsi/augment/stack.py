"""Synthetic images as one Zarr store: images, labels and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi import __version__
from infbrush_wsi.augment.making import Progress, make_all
from infbrush_wsi.augment.selection import Selection, everything
from infbrush_wsi.augment.synthetic import SyntheticDataset
from infbrush_wsi.writers.provenance import KEY
from infbrush_wsi.writers.staging import staged


def write_stack(
    chosen: SyntheticDataset | Selection, out: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> Path:
    """Write arrays ``images`` (N, h, w, C) uint8, ``labels`` (N,) int64 and ``seeds`` (N,) int64, Zarr v3.

    The attributes name the classes and how the images were made. Any number of bands. The store appears when it is
    complete; a call that was stopped begins anew.

    Args:
        chosen: images to write.
        out: the store.
        overwrite: replace a store of that name.
        progress: called with (images done, images in all).

    Raises:
        OutputExistsError, OutputError: if it exists or cannot be written; nothing is left.
    """
    import zarr

    selection = everything(chosen)
    dataset, kept = selection.dataset, selection.kept
    w, h = dataset.synthesis.size
    with staged(Path(out), overwrite=overwrite) as partial:
        group = zarr.create_group(str(partial), attributes=_attributes(dataset))
        shape = (h, w, len(dataset.channel_names))
        images = group.create_array("images", shape=(len(kept), *shape), chunks=(1, *shape), dtype="uint8")

        def keep(at: int) -> None:
            images[at] = dataset.pixels(kept[at])

        make_all(range(len(kept)), keep, progress)
        entries = [dataset.entry(index) for index in kept]
        group.create_array("labels", data=np.array([dataset.class_to_idx[e.label] for e in entries], np.int64))
        group.create_array("seeds", data=np.array([e.seed for e in entries], np.int64))
    return Path(out)


def _attributes(dataset: SyntheticDataset) -> dict[str, Any]:
    return {
        "classes": list(dataset.classes),
        "channel_names": list(dataset.channel_names),
        "mpp": dataset.mpp,
        KEY: {"package_version": __version__, **dataset.record},
    }
