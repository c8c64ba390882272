"""Letting `WSIReader.open` open every OME-Zarr by our reader, on request.

TIAToolbox has no place where readers are registered, and its engines open slides anew by their paths. So the one
function that opens OME-Zarr is replaced while this is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infbrush_wsi.plugins.tiatoolbox.host import wsireader
from infbrush_wsi.plugins.tiatoolbox.reader import VIRTUAL, PyramidWSIReader, wsi_reader

_ORIGINAL: list[Any] = []


def register() -> None:
    """Let TIAToolbox open OME-Zarr of both versions and all layouts, at all levels, and canvases in its engines.

    A canvas is found by the path of a reader that `wsi_reader` has made and that is still there, in this process and
    in those forked from it. Registering twice is harmless.

    Raises:
        MissingExtraError: without TIAToolbox.
    """
    host = wsireader().WSIReader
    if not _ORIGINAL:
        _ORIGINAL.append(host.__dict__["try_ngff"])
        host.try_ngff = staticmethod(_open)


def unregister() -> None:
    """Give TIAToolbox its own OME-Zarr reader back; harmless if it has it."""
    if _ORIGINAL:
        wsireader().WSIReader.try_ngff = _ORIGINAL.pop()


@contextmanager
def registered() -> Iterator[None]:
    """`register` for the block; it stays registered afterwards if it was before."""
    before = bool(_ORIGINAL)
    register()
    try:
        yield
    finally:
        if not before:
            unregister()


def _open(
    input_path: str | Path, last_suffix: str, mpp: Any = None, power: float | None = None, **_: Any
) -> PyramidWSIReader | None:
    if last_suffix != ".zarr":
        return None
    virtual = VIRTUAL.get(Path(input_path).name)
    if virtual is not None and not Path(input_path).exists():
        return virtual
    return wsi_reader(str(input_path), mpp=None if mpp is None else tuple(mpp), power=power)
