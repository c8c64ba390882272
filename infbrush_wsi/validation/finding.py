"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

CAN_BE = "OME-Zarr stores, GeoTIFFs, DeepZoom images (.dzi) and folders of DICOM files can be validated"
Grade = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at: 'metadata', 'physical size', ...
        grade: 'error': a reader would be misled or fail; 'warning': worth knowing.
        text: what was found.
    """

    check: str
    grade: Grade
    text: str


@dataclass(frozen=True)
class Validation:
    """All that was found in a store.

    Attributes:
        path: of the store.
        findings: in the order of the checks.
    """

    path: str
    findings: tuple[Finding, ...]

    @property
    def valid(self) -> bool:
        """Whether there is no error."""
        return all(finding.grade != "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"path": self.path, "valid": self.valid, "findings": [asdict(finding) for finding in self.findings]}
