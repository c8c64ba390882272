"""What of an unfinished write can be kept: the units whose bytes are those in the journal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.writers.journal import checksum, read_journal
from infbrush_wsi.writers.sink import unit_file
from infbrush_wsi.writers.staging import is_staged
from infbrush_wsi.writers.units import Unit, UnitGrid

if TYPE_CHECKING:
    import zarr

THREADS = 8
TEMPORARY = ".partial"
"""How the names of the files end that zarr renames when they are complete; a killed process leaves them."""


def keep_finished(journal: Path, arrays: Sequence[zarr.Array[Any]], grids: Sequence[UnitGrid]) -> set[Unit]:
    """Find the units that are complete, and remove the files of all others.

    They are removed because writing a part of a shard, or a chunk at an edge, reads what is there.

    Args:
        journal: folder of the journal's files.
        arrays: of all levels, finest first.
        grids: of the same levels.
    """
    noted = read_journal(journal)

    def complete(unit: Unit) -> bool:
        file = unit_file(arrays[unit.level], unit)
        try:
            return checksum(file) in noted[unit]
        except FileNotFoundError:
            return False

    units = [unit for grid in grids for unit in grid.units()]
    candidates = [unit for unit in units if unit in noted]
    with ThreadPoolExecutor(THREADS) as pool:
        kept = {unit for unit, good in zip(candidates, pool.map(complete, candidates), strict=True) if good}
    for unit in units:
        if unit not in kept:
            unit_file(arrays[unit.level], unit).unlink(missing_ok=True)
    return kept


def remove_temporary(store: Path) -> None:
    """Remove the files that killed processes had not yet renamed, and the folders of label images."""
    for folder, folders, names in os.walk(store):
        for name in names:
            if name.endswith(TEMPORARY):
                (Path(folder) / name).unlink(missing_ok=True)
        for name in [name for name in folders if is_staged(name)]:
            folders.remove(name)
            shutil.rmtree(Path(folder) / name, ignore_errors=True)
