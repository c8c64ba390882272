"""What the single files of a DICOM slide say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infbrush_wsi._optional import require
from infbrush_wsi.errors import UnsupportedSourceError
from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.validation.provenance import CHECK
from infbrush_wsi.writers.description import from_description
from infbrush_wsi.writers.provenance import RECORD_FILE

FILES = "files"
KIND = "image type"
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class of the VL Whole Slide Microscopy Image Storage (DICOM PS3.4, annex B.5)."""


def read_headers(files: Sequence[Path]) -> tuple[dict[Path, Any], list[Finding]]:
    """Headers of the files that are parts of a slide, and what is wrong with the others.

    Raises:
        UnsupportedSourceError: if there is none.
    """
    pydicom = require("pydicom", extra="dicom", purpose="validate DICOM")
    headers, findings = {}, []
    for file in files:
        if not file.is_file():
            findings.append(Finding(FILES, "error", f"{file.name} is no file but a folder, a device or a pipe"))
            continue
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        except Exception as error:
            # pydicom meets damaged files with many kinds of errors.
            findings.append(Finding(FILES, "error", f"{file.name} is no DICOM file: {' '.join(str(error).split())}"))
            continue
        if header.get("SOPClassUID") == SLIDE:
            headers[file] = header
        else:
            findings.append(Finding(FILES, "warning", f"{file.name} is no whole slide image, and was left out"))
    if not headers:
        lack = "; ".join(finding.text for finding in findings) or "there is no .dcm file"
        raise UnsupportedSourceError(f"no DICOM whole slide image was found: {lack}")
    return headers, findings


def check_kinds(headers: Mapping[Path, Any], record: Mapping[str, Any] | None) -> Iterator[Finding]:
    """A synthetic image must not say that a scanner has seen it."""
    kinds = {file.name: str([*header.get("ImageType", ()), "?"][0]) for file, header in headers.items()}
    original = [name for name, kind in kinds.items() if kind == "ORIGINAL"]
    if original and (record or {}).get("synthetic") is True:
        yield Finding(KIND, "error", f"{original[0]} says ORIGINAL, as if a scanner had made it; the record: synthetic")
    else:
        yield Finding(KIND, "ok", ", ".join(sorted(set(kinds.values()))))


def check_records(headers: Mapping[Path, Any], record: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Whether the comments of the files say the same as the record beside them."""
    for file, header in headers.items():
        inside = from_description(str(header.get("ImageComments", "")))
        if inside is None:
            continue
        if record is None:
            yield Finding(CHECK, "warning", f"{RECORD_FILE} is not there, though {file.name} has a record")
            return
        if inside != record:
            yield Finding(CHECK, "error", f"the record in {file.name} is not that of {RECORD_FILE}")
            return
