"""What the run was made with."""

from __future__ import annotations

import os
import platform
from importlib import metadata

LIBRARIES = (
    "infbrush-wsi", "torch", "diffusers", "numpy", "numba", "zarr", "dask", "ome-zarr", "tiatoolbox",
    "openslide-python", "tifffile", "rasterio",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Library or machine part → version."""
    found = {"Python": platform.python_version(), "machine": f"{platform.machine()}, {_cores()} cores"}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
