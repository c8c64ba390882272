"""What inpainting and super-resolution share: a model on the lattice of a real image, checked, and the record."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi.canvas.filler import Filler, FillSettings
from infbrush_wsi.canvas.inpainting import Patch, patched
from infbrush_wsi.canvas.spec import FINEST_RATIO
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, CheckpointError, MissingMppError, RegionError
from infbrush_wsi.pipelines.base import DenoiserPipeline
from infbrush_wsi.pipelines.call import provenance_of
from infbrush_wsi.pipelines.registry import open_pipeline
from infbrush_wsi.sources import Source, open_source
from infbrush_wsi.sources.lazy import LazyRegion

SQUARE_WITHIN = 0.02
"""Share by which the sides of a pixel may differ."""
SAME_RATIO = 0.02
"""Share by which pixels may differ from those of training and count as the same: nothing looks another size for it,
while kernels resized by so little leave a pattern of the grid's period."""


@dataclass(frozen=True)
class ReconstructedImage:
    """Pixels that a model has made where something real is known, with their place and their record.

    Attributes:
        lattice: pixels in physical space.
        channel_names: bands.
        provenance: what is written into outputs: synthetic, model, source, settings.
        real: the region of the real image under it, where its other pixels are; None: all pixels were made.
        patches: what was made, in pixels of the real image's level.
    """

    lattice: Lattice
    channel_names: tuple[str, ...]
    provenance: dict[str, Any]
    real: LazyRegion | None
    patches: tuple[Patch, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, C)."""
        return (*self.lattice.shape.as_tuple(), len(self.channel_names))

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        rows, columns = (range(*part.indices(side)) for part, side in zip(key[:2], self.shape[:2], strict=True))
        window = (slice(rows.start, rows.stop), slice(columns.start, columns.stop))
        if self.real is None:
            pixels = self.patches[0].pixels[window]
        else:
            corner = self.real.box
            box = Box(corner.x0 + columns.start, corner.y0 + rows.start, len(columns), len(rows))
            pixels = patched(self.real[(*window, slice(None))], box, self.patches)
        return pixels[(slice(None), slice(None), *key[2:])]

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All of it, uint8 (h, w, C)."""
        return self[:, :]

    def to_dask(self, chunk: int = 1024) -> Any:
        """As a dask array (h, w, C) that reads what it is asked for."""
        import dask.array as da

        chunks = (min(chunk, self.shape[0]), min(chunk, self.shape[1]), self.shape[2])
        return da.from_array(self, chunks=chunks, asarray=True, fancy=False, meta=np.empty((0, 0, 0), np.uint8))


def opened(source: Source | str | Path) -> Source:
    """The source, opened if it is a path."""
    return source if isinstance(source, Source) else open_source(source)


def open_denoiser(directory: str | Path, device: Any = None) -> DenoiserPipeline:
    """Load a model that can be held to what is known of an image: one of ∞-Brush or ∞-Diff.

    Args:
        directory: of the model, or the name of one that comes with the package.
        device: see `pipelines.registry.open_pipeline`.

    Raises:
        CheckpointError: if it is not a complete, undamaged model directory of such a system.
    """
    pipe = open_pipeline(directory, device)
    if not isinstance(pipe, DenoiserPipeline):
        raise CheckpointError(
            f"the model in {directory} is of the system {pipe.info.system!r}, which is not made to fit real pixels; "
            "inpaint and upscale take models of infbrush and infdiff"
        )
    return pipe


def finer(lattice: Lattice, factor: int) -> Lattice:
    """The same extent with cells `factor` times as small."""
    shape = Shape(lattice.shape.h * factor, lattice.shape.w * factor)
    return Lattice(shape, lattice.transform @ Affine.scale(1.0 / factor), lattice.unit, lattice.crs)


def filler_for(
    pipe: DenoiserPipeline, source: Source, lattice: Lattice, condition: Any, settings: FillSettings
) -> Filler:
    """The model on a lattice of real pixels.

    Args:
        pipe: the model.
        source: whose bands and unit must be the model's.
        lattice: on which pixels are made.
        condition: as the pipeline takes it, but no layout.
        settings: of the generation.

    Raises:
        BandMismatchError: if the source has other bands than the model.
        MissingMppError: if its pixel size is unknown.
        RegionError: if its pixels are not square, measured in another unit, or too fine or coarse for the model.
        ConditionError: for a condition that the model does not know.
    """
    info = pipe.info
    if source.channels != len(info.channel_names):
        raise BandMismatchError(
            f"{source.path} has the bands {', '.join(source.channel_names)}, the model makes "
            f"{', '.join(info.channel_names)}; choose bands"
        )
    _check_pixels(source.path, lattice, info.unit)
    base, ratio = pipe.trained_spacing(lattice)
    ratio = _plain_ratio(ratio)
    coarsest = float(pipe.denoiser.config.grid_pitch)
    if not 1.0 / coarsest <= ratio <= FINEST_RATIO:
        raise RegionError(
            f"the pixels to be made measure {lattice.spacing.x:.4g} {lattice.unit}; this model makes them from "
            f"{base / FINEST_RATIO:.4g} to {base * coarsest:.4g}: choose another level or factor"
        )
    batch = pipe.condition_batch(condition)
    magnification = math.log2(base / min(info.spacing))
    return Filler(pipe.denoiser, pipe.process, batch, info.sigma, ratio, magnification, settings)


def _plain_ratio(ratio: float) -> float:
    """A power of two, if it is one but for the accuracy of pixel sizes: a scanner's 0.499 µm is the 0.5 of training."""
    plain = 2.0 ** round(math.log2(ratio))
    return plain if abs(ratio / plain - 1.0) < SAME_RATIO else ratio


def _check_pixels(path: str, lattice: Lattice, unit: str) -> None:
    spacing = lattice.spacing
    if lattice.unit == "pixel" and unit != "pixel":
        raise MissingMppError(f"{path} does not say its physical pixel size: give it with open_source(path, mpp=...)")
    if lattice.unit != unit:
        raise RegionError(f"{path} is measured in {lattice.unit}, the model in {unit}; use a model of such images")
    if abs(spacing.x / spacing.y - 1.0) > SQUARE_WITHIN:
        raise RegionError(f"the pixels of {path} are not square ({spacing.x:g} x {spacing.y:g} {lattice.unit})")


def record_of(
    pipe: DenoiserPipeline, task: str, part: LazyRegion, condition: Any, settings: FillSettings, **more: Any
) -> dict[str, Any]:
    """The record of a reconstruction.

    Args:
        pipe: the model.
        task: 'inpaint' or 'upscale'.
        part: the real region.
        condition: as given; of an embedding it is only said that it is one.
        settings: of the generation.
        more: what else determines the pixels.
    """
    box = part.box
    source = {
        "fingerprint": part.source.fingerprint,
        "reader": part.source.name,
        "region": [box.x0, box.y0, box.w, box.h],
        "level": part.level,
        "mpp": part.mpp,
    }
    return {
        "synthetic": True,
        **provenance_of(pipe.bundle),
        "task": task,
        "source": source,
        "condition": condition if isinstance(condition, str | None) else "embedding",
        **asdict(settings),
        **more,
    }
