"""OME-Zarr pyramids, written straight through zarr-python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.domain import Lattice
from infbrush_wsi.errors import ConfigError, OutputError
from infbrush_wsi.writers.finished import keep_finished, remove_temporary
from infbrush_wsi.writers.image import ImageMeta, name_channels
from infbrush_wsi.writers.journal import Journal
from infbrush_wsi.writers.layout import Layout, StoreLayout, Version
from infbrush_wsi.writers.one_pass import PyramidPass
from infbrush_wsi.writers.provenance import provenance_record
from infbrush_wsi.writers.pyramid import check_complete, check_levels, level_shapes
from infbrush_wsi.writers.request import Begun
from infbrush_wsi.writers.resuming import Draft, resumable
from infbrush_wsi.writers.sink import Progress
from infbrush_wsi.writers.staging import staged
from infbrush_wsi.writers.store import StorePlan
from infbrush_wsi.writers.units import Unit

if TYPE_CHECKING:
    import dask.array as da


def write_ome_zarr(
    levels: Sequence[da.Array | None],
    path: str | os.PathLike[str],
    *,
    lattice: Lattice,
    version: Version = "0.5",
    layout: Layout = "flat",
    name: str,
    channel_names: Sequence[str] | None = None,
    chunk: int = 512,
    provenance: Mapping[str, Any] | None = None,
    shard: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    fingerprint: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    finish: Callable[[Path], None] | None = None,
) -> Path:
    """Write lazy levels as an OME-Zarr image with physical pixel sizes.

    Memory is bounded by chunks, not by the image. The store appears under its name only when it is complete; if
    anything fails, or the run is interrupted, nothing is left, or with `resume` what is needed to go on.

    With `resume`, finished chunks and a journal of their checksums stay in a hidden folder beside the path
    (`partial_folder`) until the store is complete. The same call goes on from there, after a full disk, an error, an
    interrupt or a killed process, and gives the same bytes as a call that was not interrupted. Chunks that are missing
    or whose bytes are not those in the journal are computed again.

    Args:
        levels: dask arrays (h, w, c), uint8, finest first. If there is only one, coarser levels are made by 2 x 2 means
            until both sides fit in a chunk (ten levels at most); if there are more, exactly those are written, and
            level k must have ``ceil(side / 2**k)`` pixels a side, or is None and made of the next finer one.
        path: the store to make, in an existing folder; let its name end in ``.ome.zarr``.
        lattice: pixel grid of level 0: shape, physical transform, unit, CRS.
        version: "0.5" (Zarr v3) or "0.4" (Zarr v2; with the flat layout TIAToolbox opens it by itself).
        layout: "flat" for slides, "nested" for rasters (xarray and rioxarray then find coordinates and CRS).
        name: a title, shown by viewers.
        channel_names: one a channel; by default Red, Green, Blue, Band 4, ...
        chunk: side of a chunk in pixels; all channels of a pixel are in one chunk.
        provenance: what made the pixels (plain JSON), kept in the root attribute ``infbrush_wsi``. The image is marked
            synthetic unless this says ``{"synthetic": False}``.
        shard: side of a shard in chunks, for version "0.5": so many chunks in a row and column lie in one file, which
            one task writes. None: every chunk is a file, which all readers understand.
        overwrite: replace an existing Zarr store, once the new one is complete. With `resume`, also discard an
            unfinished write of other pixels or in another form.
        resume: keep what is finished if the write fails, and go on from what an earlier call has kept.
        fingerprint: for `resume`: stands for all that determines the pixels (weights, seed, condition, ...).
        progress: called with (files of pixels written, files in all), which are chunks, or shards; those of earlier
            calls are told at once. It is called from the threads that write, one call at a time; with
            dask.distributed, from the calling thread.
        finish: called with the complete store before it gets its name, to add to it (label images, say); again if the
            write was stopped during the call.

    Returns:
        The path of the store.

    Raises:
        RegionError: if a level's shape or type does not fit the lattice.
        BandMismatchError: if there are more or fewer names than channels.
        ConfigError: if version, layout, chunk, shard, provenance or CRS is not valid, or for want of a fingerprint.
        MissingExtraError: if a CRS is to be written and the 'geo' extra is not installed.
        OutputExistsError: if the path exists and may not be replaced.
        OutputError: if writing, or computing a block, fails; with `resume` also if another process writes there, or if
            what is there is of another fingerprint or other settings. Other errors carry a note on how to go on.
    """
    form = StoreLayout(version, layout, chunk, shard)
    channels = check_levels(levels, lattice)
    meta = ImageMeta(name, lattice, name_channels(channels, channel_names))
    record = provenance_record(meta, provenance)
    plan = StorePlan(meta, form, level_shapes(lattice.shape, len(levels), chunk))
    target = Path(path)
    if not resume:
        with staged(target, overwrite=overwrite) as partial:
            _write(levels, plan, partial.absolute(), record, None, progress)
            _finish(partial.absolute(), finish)
        return target
    if not fingerprint:
        raise ConfigError(
            "a write that can be resumed needs a fingerprint: a text that stands for what makes the pixels"
        )
    request = Begun.now(plan.settings([level is not None for level in levels]), fingerprint, record)
    with resumable(target, request, overwrite=overwrite) as draft:
        _write(levels, plan, draft.store, draft.begun.provenance, draft, progress)
        _finish(draft.store, finish)
    return target


def _write(
    levels: Sequence[da.Array | None],
    plan: StorePlan,
    store: Path,
    record: dict[str, Any],
    draft: Draft | None,
    callback: Callable[[int, int], None] | None,
) -> None:
    """Metadata with state "writing", the missing pixels, a count of the files, state "complete"."""
    grids, journal, done = plan.grids, None, set[Unit]()
    if draft is None or draft.fresh:
        arrays = plan.create(store, record)
    else:
        arrays = _reopen(plan, store, record)
        done = keep_finished(draft.folder, arrays, grids)
    if draft is not None:
        draft.begin()
        journal = Journal(draft.folder)
    progress = Progress(sum(grid.count for grid in grids), callback, len(done))
    try:
        PyramidPass(levels, arrays, grids, progress, journal).write(done)
    finally:
        progress.close()
    check_complete(arrays)
    remove_temporary(store)
    progress.finish()
    plan.complete(store, record)


def _finish(store: Path, finish: Callable[[Path], None] | None) -> None:
    if finish is not None:
        finish(store)


def _reopen(plan: StorePlan, store: Path, record: dict[str, Any]) -> list[Any]:
    try:
        plan.check_metadata(store, record)
        return plan.reopen(store)
    except Exception as error:
        # Zarr, JSON and file systems each fail in their own way on a damaged file.
        raise OutputError(
            f"the unfinished store '{store}' is damaged: {type(error).__name__}: {error}; remove the folder "
            f"'{store.parent}' to begin anew"
        ) from error
