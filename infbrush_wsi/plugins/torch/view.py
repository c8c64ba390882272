"""One level of an image, or an image at one pixel size, that is read by windows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Lattice
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.plugins.pyramid import Pixels, pyramid_of
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.registry import open_source

if TYPE_CHECKING:
    from infbrush_wsi.canvas import Canvas


class View(Protocol):
    """What patches are cut from."""

    @property
    def lattice(self) -> Lattice:
        """Its pixels in physical space."""
        ...

    def read(self, box: Box) -> NDArray[np.uint8]:
        """A window inside the image, uint8 (box.h, box.w, C)."""
        ...


@dataclass(frozen=True)
class LevelView:
    """A level of a pyramid.

    Attributes:
        pixels: of the level.
        lattice: of the level.
    """

    pixels: Pixels
    lattice: Lattice

    def read(self, box: Box) -> NDArray[np.uint8]:
        """A window inside the level, uint8 (box.h, box.w, C)."""
        return self.pixels[box.slices]


def view_of(image: Canvas | Source, level: int, mpp: float | None) -> View:
    """A level of an image, or the image at `mpp`.

    Raises:
        RegionError: if there is no such level, or the pixel size is not positive.
        MissingMppError: if the image's own pixel size is not known.
        ConfigError: if both are asked for, or a canvas at another pixel size than its own.
    """
    if mpp is None:
        pyramid = pyramid_of(image)
        return LevelView(pyramid.pixels[pyramid.check_level(level)], pyramid.lattices[level])
    if level:
        raise ConfigError(f"patches are of level {level} or of {mpp:g} micrometres per pixel, not both")
    if not isinstance(image, Source):
        raise ConfigError("a canvas has the pixel size that it was made with: leave out mpp, or make it with another")
    return image.at_mpp(mpp)


def opened(image: Canvas | Source | str | os.PathLike[str]) -> Canvas | Source:
    """The image itself, opened if it is a path.

    Raises:
        SourceError: one of its kinds, if a path cannot be opened.
    """
    return open_source(os.fspath(image)) if isinstance(image, str | os.PathLike) else image
