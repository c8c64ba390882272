"""Data sets over many sources: what is in them, what was left out and why."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from infbrush_wsi.errors import DatasetError, InfbrushError, MissingExtraError, OutputError, RegionError
from infbrush_wsi.sources.fingerprint import fingerprint
from infbrush_wsi.sources.labels import LabelTable, read_table
from infbrush_wsi.sources.registry import is_remote, local_path, open_source, readable_suffixes

MANIFEST_VERSION = 1
SHOWN_REASONS = 5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One source of a data set.

    Attributes:
        path: file, directory or URL.
        label: its class, None in an unlabelled data set.
        group: slide or patient; items of one group never part in a split.
        mpp: micrometres per pixel, where the file does not say it.
    """

    path: str
    label: str | None = None
    group: str | None = None
    mpp: float | None = None


@dataclass(frozen=True)
class Skipped:
    """A path that is not in the data set, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Collection:
    """Sources with labels and groups.

    Attributes:
        items: in a fixed order.
        skipped: what was found and left out.
    """

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = field(default=())

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels that occur, sorted."""
        return tuple(sorted({item.label for item in self.items if item.label is not None}))

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that occur, sorted."""
        return tuple(sorted({item.group or item.path for item in self.items}))

    def check(
        self,
        spacing: float | None = None,
        min_shape: tuple[int, int] = (1, 1),
        channels: int | None = None,
        bands: Sequence[int] | None = None,
    ) -> Collection:
        """Open every source and drop those that cannot be used.

        Args:
            spacing: pixel size at which they will be read, in the unit of each source (micrometres for slides);
                None takes them as they are.
            min_shape: least (h, w) in pixels at that size.
            channels: number of channels that all must have; None takes that of the first usable source.
            bands: 1-based bands that will be read.

        Returns:
            The usable items; the others are added to `skipped` with the reason.

        Raises:
            DatasetError: if nothing is left.
            MissingExtraError: if a library that reads some of them is not installed.
        """
        kept: list[Item] = []
        skipped = list(self.skipped)
        for item in self.items:
            try:
                found = _usable(item, spacing, min_shape, channels, bands)
            except MissingExtraError:
                raise
            except InfbrushError as error:
                log.info("skipped %s: %s", item.path, error)
                skipped.append(Skipped(item.path, str(error)))
            else:
                channels = found if channels is None else channels
                kept.append(item)
        _require_items(kept, skipped)
        return Collection(tuple(kept), tuple(skipped))

    def manifest(self) -> dict[str, Any]:
        """What the data set is made of, as JSON: items with fingerprints, counts, and what was skipped and why.

        Raises:
            OSError: if a file has gone.
        """
        return {
            "version": MANIFEST_VERSION,
            "classes": list(self.classes),
            "counts": dict(sorted(Counter(str(item.label) for item in self.items).items())),
            "items": [{**asdict(item), "fingerprint": fingerprint(item.path)} for item in self.items],
            "skipped": [asdict(entry) for entry in self.skipped],
        }

    def write_manifest(self, path: str | Path) -> None:
        """Write the manifest as a JSON file, whole or not at all.

        Raises:
            OutputError: if it cannot be written.
        """
        target = Path(path)
        temporary = target.with_name(f"{target.name}.part")
        try:
            temporary.write_text(json.dumps(self.manifest(), indent=2) + "\n", encoding="utf-8")
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"the manifest {target} cannot be written: {error}") from error


def collect(
    sources: Sequence[str | Path],
    *,
    labels: Literal["folder", "none"] | str | Path = "none",
    mpp: float | None = None,
    group_pattern: str | None = None,
) -> Collection:
    r"""Find the sources of a data set; nothing is opened yet (see :meth:`Collection.check`).

    Args:
        sources: files, URLs, OME-Zarr directories, and folders, which are walked with all their sub-folders.
        labels: 'folder' takes the name of the folder that holds a file as its class (BACH, ImageFolder); 'none';
            or a CSV file with the columns path, label and, if wanted, group and mpp. Paths in it are relative to the
            CSV, or to one of the folders in `sources`; files that it does not list are skipped.
        mpp: micrometres per pixel of sources that the table gives none for.
        group_pattern: regular expression searched in the file name; its first group (or the whole match) is the
            slide or patient, for example ``r"^([^_]+)_"`` for BreakHis tiles named patient_index. Without it, and
            without a column, the file name without its suffix is the group.

    Raises:
        DatasetError: if nothing is found, or the table or the pattern is wrong.
    """
    skipped: list[Skipped] = []
    roots = [Path(local_path(source)) for source in sources if not is_remote(str(local_path(source)))]
    table = None if str(labels) in ("folder", "none") else read_table(Path(labels), roots)
    found = [path for source in sources for path in _walk(local_path(source), skipped)]
    if table is not None:
        listed = set(found)
        found += [path for path in table.existing() if path not in listed]
        skipped += [Skipped(path, "listed in the table, but there is no such file") for path in table.missing()]
    items = []
    for path in dict.fromkeys(found):
        item = _item(path, str(labels), table, roots, mpp, group_pattern)
        items.append(item) if isinstance(item, Item) else skipped.append(item)
    _require_items(items, skipped, sources)
    return Collection(tuple(items), tuple(skipped))


def _item(
    path: str, labels: str, table: LabelTable | None, roots: Sequence[Path], mpp: float | None, pattern: str | None
) -> Item | Skipped:
    group = _group(path, pattern)
    if table is not None:
        row = table.row(path)
        if row is None:
            return Skipped(path, "not listed in the label table")
        return Item(path, row.label, row.group or group, mpp if row.mpp is None else row.mpp)
    if labels == "none":
        return Item(path, None, group, mpp)
    parent = Path(path).parent
    if any(root.is_dir() and parent == root for root in roots):
        return Skipped(path, "not in a class folder: it lies directly in the folder given")
    return Item(path, parent.name, group, mpp)


def _group(path: str, pattern: str | None) -> str:
    name = path.rstrip("/").rpartition("/")[2]
    if pattern is None:
        return Path(name).stem
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise DatasetError(f"the group pattern {pattern!r} is no regular expression: {error}") from error
    if match is None:
        raise DatasetError(f"the group pattern {pattern!r} matches nothing in {name!r}, so its group is unknown")
    return str(match.group(1) if match.re.groups else match.group(0))


def _walk(source: str, skipped: list[Skipped], above: tuple[str, ...] = ()) -> list[str]:
    """Sources below a folder, sorted; a file or URL is itself. `above` are the real folders on the way there."""
    path = Path(source)
    if is_remote(source) or path.is_file() or _is_zarr(path):
        return [source]
    if not path.is_dir():
        raise DatasetError(f"there is nothing at {source}")
    found: list[str] = []
    suffixes, here = readable_suffixes(), os.path.realpath(path)
    if here in above:
        skipped.append(Skipped(source, "a link to a folder that it lies in"))
        return []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            found += [str(entry)] if _is_zarr(entry) else _walk(str(entry), skipped, (*above, here))
        elif entry.suffix.lower() in suffixes:
            found.append(str(entry))
    return _one_dicom(found, path, skipped)


def _one_dicom(found: list[str], folder: Path, skipped: list[Skipped]) -> list[str]:
    """A DICOM slide is a folder of files, any of which opens all of it: keep the first."""
    series = [path for path in found if path.lower().endswith(".dcm") and Path(path).parent == folder]
    skipped += [Skipped(path, f"another file of the DICOM slide {series[0]}") for path in series[1:]]
    return [path for path in found if path not in series[1:]]


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and path.suffix.lower() == ".zarr"


def _usable(
    item: Item,
    spacing: float | None,
    min_shape: tuple[int, int],
    channels: int | None,
    bands: Sequence[int] | None,
) -> int:
    """Number of channels of a source that can be used; raises the reason if it cannot."""
    mpp = item.mpp
    with open_source(item.path, mpp=mpp, bands=bands) as source:
        shape = source.lattice.shape if spacing is None else source.at(spacing).shape
        if shape.h < min_shape[0] or shape.w < min_shape[1]:
            raise RegionError(
                f"{shape.h} x {shape.w} pixels (h x w) at this pixel size, fewer than {min_shape[0]} x {min_shape[1]}"
            )
        if channels is not None and source.channels != channels:
            raise DatasetError(
                f"{source.channels} channels ({', '.join(source.channel_names)}), where the data set has {channels}"
            )
        if not source.mask(512)[0].any():
            raise DatasetError("nothing but background (no tissue, or no valid pixel)")
        return source.channels


def _require_items(items: Sequence[Item], skipped: Sequence[Skipped], sources: Sequence[str | Path] = ()) -> None:
    if items:
        return
    reasons = "".join(f"\n  {entry.path}: {entry.reason}" for entry in skipped[:SHOWN_REASONS])
    more = f"\n  and {len(skipped) - SHOWN_REASONS} more" if len(skipped) > SHOWN_REASONS else ""
    looked = f" ({len(skipped)} skipped){reasons}{more}"
    if not skipped:
        where = f": nothing in {', '.join(map(str, sources))} can be read" if sources else ""
        looked = f"{where}; known are {', '.join(readable_suffixes())}"
    raise DatasetError(f"the data set is empty{looked}")
