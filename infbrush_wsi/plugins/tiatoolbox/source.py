"""Slides that TIAToolbox reads and we do not, such as folders of DICOM files, as sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi.domain import XY, Box, Lattice, Shape
from infbrush_wsi.errors import CorruptSourceError, UnsupportedSourceError
from infbrush_wsi.plugins.tiatoolbox.host import wsireader
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.handles import POOL
from infbrush_wsi.sources.level import levels_of
from infbrush_wsi.sources.options import OpenOptions, resolve_bands, to_uint8

NAMES = ("red", "green", "blue")


class TiatoolboxSource(Source):
    """A slide through ``WSIReader.open``, three 8-bit bands.

    It is asked last, and only for folders of DICOM files. For anything else name it:
    ``open_source(path, reader="tiatoolbox")``.
    """

    name = "tiatoolbox"
    extra = "tiatoolbox"
    priority = 90

    @classmethod
    def can_open(cls, path: str) -> bool:
        """Whether it is a folder of DICOM files; TIAToolbox is not imported for it."""
        local = Path(path)
        return local.is_dir() and any(file.suffix.lower() == ".dcm" for file in local.iterdir())

    @classmethod
    def open(cls, path: str, options: OpenOptions) -> TiatoolboxSource:
        """Read the header.

        Raises:
            CorruptSourceError: if TIAToolbox cannot open it.
            UnsupportedSourceError: if its pixels are not three 8-bit bands.
            BandMismatchError: if a band other than 1 to 3 is asked for.
            MissingExtraError: without TIAToolbox.
        """
        reader = _open(path)
        info = _info(reader, path)
        indexes = resolve_bands(NAMES, options.bands, path)
        shapes, native = _levels(info)
        mpp = options.mpp or (None if info.mpp is None else XY(*(float(value) for value in info.mpp)))
        transform = Affine.scale(mpp.x, mpp.y) if mpp else Affine.identity()
        lattice = Lattice(shapes[0], transform, "micrometer" if mpp else "pixel")
        power = {} if info.objective_power is None else {"objective_power": float(info.objective_power)}
        source = cls(
            path,
            channel_names=[NAMES[index] for index in indexes],
            levels=levels_of(
                lattice, shapes, [_whole(factor, shapes[0], s) for factor, s in zip(native, shapes, strict=True)]
            ),
            background=255,
            metadata={"reader": cls.name, "vendor": info.vendor, **power},
            options=options,
            mask_kind="tissue",
        )
        source._indexes, source._native = indexes, native
        source.read_box(Box(0, 0, 1, 1))
        return source

    _indexes: tuple[int, ...]
    _native: tuple[float, ...]

    def close(self) -> None:
        """Let go of the open files."""
        super().close()
        POOL.drop((self.name, self.path))

    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        # TIAToolbox divides by its own factor, such as 1.996 where 2 was meant.
        factor = self._native[level]
        at = (round(box.x0 * factor), round(box.y0 * factor))
        try:
            with POOL.lend((self.name, self.path), lambda: _open(self.path)) as reader:
                pixels = np.asarray(reader.read_rect(at, (box.w, box.h), resolution=level, units="level"))
        except CorruptSourceError:
            raise
        except Exception as error:
            # Its readers stand on many libraries, each with errors of its own.
            raise CorruptSourceError(f"{self.path} is damaged at level {level}, {box}: {error}") from error
        if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
            raise UnsupportedSourceError(f"{self.path} holds {pixels.dtype} {pixels.shape}, not three 8-bit bands")
        return to_uint8(pixels[..., list(self._indexes)], self.options.scale)


def _open(path: str) -> Any:
    reader = wsireader().WSIReader
    try:
        return reader.open(path, post_proc=None)
    except Exception as error:
        # As in _read.
        raise CorruptSourceError(f"TIAToolbox cannot open {path}: {error}") from error


def _info(reader: Any, path: str) -> Any:
    try:
        return reader.info
    except Exception as error:
        raise CorruptSourceError(f"TIAToolbox finds no metadata in {path}: {error}") from error


def _levels(info: Any) -> tuple[list[Shape], tuple[float, ...]]:
    """Sizes and downsamples of the levels that TIAToolbox can read: of OME-Zarr it knows only the first."""
    count = min(len(info.level_dimensions), len(info.level_downsamples))
    shapes = [Shape(int(h), int(w)) for w, h in info.level_dimensions[:count]]
    return shapes, tuple(float(factor) for factor in info.level_downsamples[:count])


def _whole(factor: float, base: Shape, shape: Shape) -> float:
    """The whole factor that was meant: TIAToolbox divides the sizes, which are rounded."""
    whole = round(factor)
    meant = abs(base.w / whole - shape.w) < 1 and abs(base.h / whole - shape.h) < 1
    return float(whole) if meant else factor
