"""Opening a written OME-Zarr with other people's libraries, and comparing what they see with what was rendered."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.report.content import Check
from infbrush_wsi.sources.registry import open_source


def check_store(path: Path, pixels: NDArray[np.uint8], mpp: float | None) -> list[Check]:
    """All checks of one store.

    Args:
        path: an OME-Zarr 0.4.
        pixels: what was rendered, uint8 (h, w, C).
        mpp: that it must say.
    """
    openers: dict[str, Callable[[Path], tuple[NDArray[np.uint8], float | None]]] = {
        "ome-zarr": _by_ome_zarr,
        "tiatoolbox": _by_tiatoolbox,
        "infbrush-wsi": _by_open_source,
    }
    return [_checked(path, library, opener, pixels, mpp) for library, opener in openers.items()]


def _checked(
    path: Path,
    library: str,
    opener: Callable[[Path], tuple[NDArray[np.uint8], float | None]],
    pixels: NDArray[np.uint8],
    mpp: float | None,
) -> Check:
    what = f"shape, pixel size and pixels as {library} reads them"
    try:
        label = f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return Check(path.name, what, f"{library} is not installed", None)
    try:
        with _quiet():
            found, found_mpp = opener(path)
    except Exception as error:
        # The report shows whatever other libraries say: a failure to open is a result.
        return Check(path.name, what, f"{label}: {type(error).__name__}: {error}", False)
    h, w, _ = found.shape
    same_mpp = mpp == found_mpp or (mpp is not None and found_mpp is not None and abs(found_mpp - mpp) < 1e-6 * mpp)
    different = "shapes differ" if found.shape != pixels.shape else f"{int((found != pixels).sum())} values differ"
    passed = bool(same_mpp and found.shape == pixels.shape and np.array_equal(found, pixels))
    size = "pixel size unknown" if found_mpp is None else f"{found_mpp:g} µm/px"
    return Check(path.name, what, f"{label}: {w} x {h}, {size}, {different}", passed)


def _by_ome_zarr(path: Path) -> tuple[NDArray[np.uint8], float | None]:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    node = next(iter(Reader(parse_url(str(path), mode="r"))()))
    pixels = np.moveaxis(np.asarray(node.data[0]), 0, -1)
    scale = next(t["scale"] for t in node.metadata["coordinateTransformations"][0] if t["type"] == "scale")
    units = {axis.get("unit") for axis in node.metadata["axes"] if axis["name"] in "yx"}
    return pixels, float(scale[-1]) if units == {"micrometer"} else None


def _by_tiatoolbox(path: Path) -> tuple[NDArray[np.uint8], float | None]:
    from tiatoolbox.wsicore.wsireader import WSIReader

    reader: Any = WSIReader.open(path)
    w, h = (int(side) for side in reader.info.slide_dimensions)
    pixels = reader.read_bounds((0, 0, w, h), resolution=0, units="level")
    mpp = reader.info.mpp
    return np.asarray(pixels), None if mpp is None else float(np.mean(mpp))


def _by_open_source(path: Path) -> tuple[NDArray[np.uint8], float | None]:
    with open_source(path) as source:
        h, w = source.level_shapes[0]
        return source.read_region((0, 0), 0, (w, h)), source.mpp


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the readers' log: they tell every level, and at length that there is no objective power."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
