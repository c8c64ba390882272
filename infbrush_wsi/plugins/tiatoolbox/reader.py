"""Canvases, OME-Zarr stores and slides as a reader of TIAToolbox."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.plugins.pyramid import Pyramid, pyramid_of
from infbrush_wsi.plugins.tiatoolbox.host import common_power, wsimeta, wsireader
from infbrush_wsi.plugins.tiatoolbox.rgb import RgbPixels
from infbrush_wsi.sources.base import Source

if TYPE_CHECKING:
    from infbrush_wsi.canvas import Canvas

_host = wsireader()

VIRTUAL: WeakValueDictionary[str, PyramidWSIReader] = WeakValueDictionary()
"""Readers of canvases by the path that they go by: engines open readers anew by their path."""

COARSEST_SCANNED = 12.0
"""Micrometres per pixel beyond which an objective power means nothing: 10 divided by it is below 1."""


class PyramidWSIReader(_host.WSIReader):  # type: ignore[misc,name-defined]
    """A `WSIReader` over the levels of a pyramid; every level is used, and pixels are computed when they are read.

    Args:
        pyramid: the image; its first three bands are shown.
        mpp: micrometres per pixel (x, y) in place of the image's.
        power: objective power in place of the image's, or of what follows from its pixel size.
        post_proc: what TIAToolbox does with each region that is read; None: nothing.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        *,
        mpp: float | tuple[float, float] | None = None,
        power: float | None = None,
        post_proc: str | Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    ) -> None:
        local = pyramid.path is not None and Path(pyramid.path).exists()
        super().__init__(pyramid.path if local else np.empty((0,)), post_proc, mpp=mpp, power=power)
        self.pyramid = pyramid
        self.level_arrays = {level: RgbPixels(pixels) for level, pixels in enumerate(pyramid.pixels)}
        self._delegate = _host.TIFFWSIReaderDelegate(self, self.level_arrays)

    def _info(self) -> Any:
        sizes = [lattice.shape.size for lattice in self.pyramid.lattices]
        mpp = self.pyramid.mpp
        power = self.pyramid.objective_power
        if power is None and mpp is not None and max(mpp) <= COARSEST_SCANNED:
            power = common_power(float(np.mean(mpp)))
        return wsimeta().WSIMeta(
            slide_dimensions=(sizes[0].w, sizes[0].h),
            axes="YXS",
            level_dimensions=[(size.w, size.h) for size in sizes],
            level_count=len(sizes),
            level_downsamples=self.pyramid.downsamples,
            mpp=mpp,
            objective_power=power,
            vendor="infbrush-wsi",
            raw=dict(self.pyramid.provenance),
            file_path=self.input_path,
        )

    def read_rect(self, *args: Any, **kwargs: Any) -> NDArray[np.uint8]:
        """As `WSIReader.read_rect`: uint8 (h, w, 3)."""
        region: NDArray[np.uint8] = self._delegate.read_rect(*args, **kwargs)
        return region

    def read_bounds(self, *args: Any, **kwargs: Any) -> NDArray[np.uint8]:
        """As `WSIReader.read_bounds`: uint8 (h, w, 3)."""
        region: NDArray[np.uint8] = self._delegate.read_bounds(*args, **kwargs)
        return region


def wsi_reader(
    image: Canvas | Source | str | os.PathLike[str],
    *,
    mpp: float | tuple[float, float] | None = None,
    power: float | None = None,
    post_proc: str | Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> PyramidWSIReader:
    """A reader of TIAToolbox for a canvas, a source or a path.

    Args:
        image: what to read. OME-Zarr of either version and layout is read at all of its levels; a window of a canvas
            is computed when it is read.
        mpp: micrometres per pixel, or (x, y), if the image does not say it.
        power: objective power; None: the file's, or what follows from the pixel size.
        post_proc: see `PyramidWSIReader`.

    Raises:
        SourceError: one of its kinds, if a path cannot be opened.
        MissingExtraError: without TIAToolbox.
    """
    from infbrush_wsi.canvas import Canvas

    reader = PyramidWSIReader(pyramid_of(image), mpp=mpp, power=power, post_proc=post_proc)
    if isinstance(image, Canvas):
        # There is no such file: what engines write is named after it, and `register` finds the reader by it.
        reader.input_path = Path(f"canvas-{image.token[:16]}.zarr")
        VIRTUAL[reader.input_path.name] = reader
    return reader
