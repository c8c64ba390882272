"""Label tables: CSV files that give class, group and pixel size of each source."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infbrush_wsi.errors import DatasetError

COLUMNS = ("path", "label", "group", "mpp")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; `group` and `mpp` are None where the table does not give them."""

    path: str
    label: str | None
    group: str | None
    mpp: float | None


class LabelTable:
    """Rows by the file that they speak of.

    Args:
        rows: by resolved path.
    """

    def __init__(self, rows: Mapping[Path, Row]) -> None:
        self._rows = rows

    def row(self, path: str) -> Row | None:
        """The row of a file, None if it is not listed."""
        return self._rows.get(Path(path).resolve())

    def existing(self) -> list[str]:
        """Listed paths that exist, in the order of the table."""
        return [row.path for path, row in self._rows.items() if path.exists()]

    def missing(self) -> list[str]:
        """Listed paths that do not exist."""
        return [row.path for path, row in self._rows.items() if not path.exists()]


def read_table(path: Path, roots: Sequence[Path]) -> LabelTable:
    """Read a CSV with the columns path, label[, group][, mpp].

    Args:
        path: the CSV file, UTF-8, with a header line.
        roots: folders that relative paths may start from, after the CSV's own.

    Raises:
        DatasetError: if the table cannot be read, lacks a column, or has a bad or contradictory line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            missing = {"path", "label"} - set(names)
            if missing:
                raise DatasetError(
                    f"the label table {path} lacks the column {' and '.join(sorted(missing))}; it has "
                    f"{', '.join(names) or 'no header'}, and should have path,label[,group][,mpp]"
                )
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"the label table {path} cannot be read: {error}") from error
    rows: dict[Path, Row] = {}
    for number, line in lines:
        where = f"line {number} of the label table {path}"
        row = _row(line, where, [path.parent, *roots])
        earlier = rows.setdefault(Path(row.path).resolve(), row)
        if earlier != row:
            raise DatasetError(f"{where} contradicts an earlier line for {row.path}")
    if not rows:
        raise DatasetError(f"the label table {path} has no lines below its header")
    return LabelTable(rows)


def _row(line: Mapping[str, str | None], where: str, roots: Sequence[Path]) -> Row:
    text = {name: (line.get(name) or "").strip() for name in COLUMNS}
    if not text["path"]:
        raise DatasetError(f"{where} has no path")
    candidates = [root / text["path"] for root in roots]
    path = next((candidate for candidate in candidates if candidate.exists()), candidates[0])
    mpp = None
    if text["mpp"]:
        try:
            mpp = float(text["mpp"])
        except ValueError:
            mpp = math.nan
        if not (math.isfinite(mpp) and mpp > 0):
            raise DatasetError(f"{where} has the mpp {text['mpp']!r}; micrometres per pixel must be positive")
    return Row(str(path), text["label"] or None, text["group"] or None, mpp)
