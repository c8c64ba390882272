"""Synthetic images as a labelled folder: a folder for each class, a table, and a record of how they were made."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from infbrush_wsi.augment.making import Progress, make_all
from infbrush_wsi.augment.selection import Selection, everything
from infbrush_wsi.augment.synthetic import SyntheticDataset
from infbrush_wsi.errors import OutputError, OutputExistsError
from infbrush_wsi.writers.files import staged_file
from infbrush_wsi.writers.lock import sole_writer

TABLE, DROPPED = "images.csv", "dropped.csv"
Select = Callable[[SyntheticDataset], Selection]


def write_folder(
    dataset: SyntheticDataset, out: str | Path, *, select: Select | None = None, progress: Progress | None = None
) -> Selection:
    """Write ``CLASS/CLASS_000000.png``, ... and the tables ``images.csv`` and ``dropped.csv``.

    A call that was stopped goes on where it was when it is made again. ``images.csv`` (path, label, seed) comes last
    and is what `infbrush train --labels` and `sources.collect` read; folders for classes are what torchvision's
    ``ImageFolder`` reads.

    Args:
        dataset: grey or RGB images.
        out: the folder, new or begun by the same call.
        select: called with the data set, which reads from the folder; what it drops is removed from there.
        progress: called with (images done, images in all).

    Returns:
        What was kept.

    Raises:
        OutputExistsError: if the folder is complete.
        OutputError: if it holds other files, another process writes there, or it cannot be written.
        ConfigError: for images that are neither grey nor RGB.
    """
    folder = Path(out)
    if (folder / TABLE).exists():
        raise OutputExistsError(f"'{folder}' holds a complete set of images; choose another folder")
    lock = folder.absolute().with_name(f".{folder.name}.writing")
    with sole_writer(lock):
        try:
            return _write(dataset.cached(folder), folder, select, progress)
        finally:
            shutil.rmtree(lock, ignore_errors=True)


def _write(dataset: SyntheticDataset, folder: Path, select: Select | None, progress: Progress | None) -> Selection:
    make_all(dataset, dataset.pixels, progress)
    chosen = everything(dataset) if select is None else select(dataset)
    gone = [(dataset.entry(each.index), each) for each in chosen.dropped]
    if gone:
        rows = [(f"{entry.name}.png", entry.label, entry.seed, each.reason, each.value) for entry, each in gone]
        _table(folder / DROPPED, ("path", "label", "seed", "reason", "value"), rows)
    try:
        for entry, _ in gone:
            (folder / f"{entry.name}.png").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove a dropped image from '{folder}': {error}") from error
    kept = [dataset.entry(index) for index in chosen.kept]
    _table(folder / TABLE, ("path", "label", "seed"), [(f"{e.name}.png", e.label, e.seed) for e in kept])
    return chosen


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with staged_file(path, overwrite=True) as draft:
        draft.write_text(text.getvalue())
