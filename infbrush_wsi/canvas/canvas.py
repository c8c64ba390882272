"""The canvas: a generated image that is rendered on first use and read like a slide."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.level_array import CHUNK, LevelArray, chunks_of
from infbrush_wsi.canvas.painted import write_layout
from infbrush_wsi.canvas.picture import pyramid_shapes, resized
from infbrush_wsi.canvas.reader import Progress, Reader
from infbrush_wsi.canvas.spec import ImageSpec, whole_pair
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import ConfigError, OutputError, RegionError
from infbrush_wsi.sources.base import MAX_REGION_PIXELS
from infbrush_wsi.sources.edges import read_filled
from infbrush_wsi.writers.scratch import scratch_folder

if TYPE_CHECKING:
    # Reading a rendered level in another process needs no torch.
    import dask.array
    import xarray

    from infbrush_wsi.canvas.plan import Plan
    from infbrush_wsi.canvas.proxy_error import ProxyError
    from infbrush_wsi.conditioning.layout import Layout

BACKGROUND = 255


class Canvas:
    """A generated image.

    Nothing is computed when it is made. Under the lazy engine a read computes the tiles that it touches; under the
    joint engine the first one renders the whole canvas into files. Reads follow OpenSlide: locations in level-0
    pixels, sizes in pixels of the level, (x, y) and (width, height) order.

    Args:
        spec: what the image is.
        reader: makes the engine for a folder of scratch files.
        sigma_px: standard deviation of the mollifier in level-0 pixels.
        channel_names: bands.
        workdir: folder for scratch files; None: a temporary one. What is made in it goes with the canvas.
        provenance: facts about the model that are written into outputs beside the specification.
        layout: which condition is where; None: the same everywhere.
        recipe: with which another process makes the same canvas: picklable, `open()` gives a canvas.
        progress: called with (tiles done, tiles in all) while rendering.
    """

    def __init__(
        self,
        spec: ImageSpec,
        reader: Callable[[Path], Reader],
        *,
        sigma_px: float,
        channel_names: tuple[str, ...],
        workdir: Path | None = None,
        provenance: Mapping[str, Any] | None = None,
        layout: Layout | None = None,
        recipe: Any = None,
        progress: Progress | None = None,
    ) -> None:
        self.spec = spec
        self.channel_names = channel_names
        self.layout, self.recipe = layout, recipe
        self.progress = progress
        self._sigma_px = sigma_px
        self._provenance = dict(provenance or {})
        self._folder = _scratch_folder(self, workdir)
        self.reader = reader(self._folder)

    @property
    def lattice(self) -> Lattice:
        """Pixels of level 0 in physical space."""
        return self.spec.lattice

    @property
    def mpp(self) -> float | None:
        """Micrometres per pixel of level 0."""
        return self.lattice.mpp

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of every level."""
        return tuple(shape.as_tuple() for shape in pyramid_shapes(self.spec.shape))

    @property
    def level_count(self) -> int:
        """Number of levels; each has half the resolution of the one before."""
        return len(self.level_shapes)

    @property
    def provenance(self) -> dict[str, Any]:
        """Model, seed, condition and sampler: what is written into every output."""
        return {"synthetic": True} | self._provenance | self.spec.provenance()

    @property
    def token(self) -> str:
        """Hash of all that determines the pixels."""
        spec = self.spec
        facts = [self.provenance, repr(spec.condition), repr(spec.lattice), self._sigma_px, self.channel_names]
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def rendered(self) -> bool:
        """Whether what every read needs is computed: all pixels (joint engine), the coarsest plan (lazy engine)."""
        return self.reader.rendered

    def render(self, progress: Progress | None = None) -> Canvas:
        """Compute now what the first read would have to wait for.

        Args:
            progress: called with (parts done, parts in all): steps of the sampler (lazy engine), or tiles.

        Returns:
            the canvas itself.

        Raises:
            OutputError: if the scratch disk is full; the room that was taken is given back.
        """
        self.reader.render(progress or self.progress)
        return self

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Pixels of a region.

        Args:
            location: (x, y) of its top left corner in level-0 pixels, may lie outside; the nearest pixel of `level`
                is taken.
            level: pyramid level.
            size: (width, height) in pixels of that level.

        Returns:
            uint8 (height, width, C); white outside the canvas.

        Raises:
            RegionError: for a level that does not exist, or a size that is not positive or beyond any memory.
        """
        shape = self._shape(level)
        (x, y), (w, h) = whole_pair(location, "location"), whole_pair(size, "size")
        if w < 1 or h < 1:
            raise RegionError(f"a region needs a positive width and height, not {size}")
        if w * h > MAX_REGION_PIXELS:
            raise RegionError(f"a region of {w} x {h} pixels will not fit in memory; read it in parts")
        scale = 2**level
        box = Box(math.floor(x / scale + 0.5), math.floor(y / scale + 0.5), w, h)
        white = (BACKGROUND,) * len(self.channel_names)
        return read_filled(lambda inside: self.reader.read(level, inside, self.progress), box, shape, white)

    def thumbnail(self, max_side: int) -> NDArray[np.uint8]:
        """The whole canvas with its longer side at most `max_side` pixels: uint8 (h, w, C).

        Raises:
            RegionError: if `max_side` is not positive.
        """
        if max_side < 1:
            raise RegionError(f"a thumbnail needs a positive size, not {max_side}")
        image = self.reader.overview(max_side, self.progress)
        scale = min(1.0, max_side / max(image.shape[:2]))
        return resized(image, Shape(*(max(1, round(side * scale)) for side in image.shape[:2])))

    def level_array(self, level: int = 0) -> LevelArray:
        """One level as a lazy array (h, w, C), see `LevelArray`.

        Raises:
            RegionError: for a level that does not exist.
        """
        return LevelArray(self, level, self._shape(level))

    def to_dask(self, level: int = 0, chunk: int = CHUNK) -> dask.array.Array:
        """One level as a dask array (h, w, C) of uint8; nothing is computed until it is.

        Args:
            level: of the pyramid.
            chunk: side of its blocks in pixels; the pixels do not depend on it.
        """
        import dask.array as da

        array = self.level_array(level)
        meta = np.empty((0, 0, 0), np.uint8)
        lazy: dask.array.Array = da.from_array(
            array, chunks=chunks_of(array.shape, chunk), asarray=True, fancy=False, meta=meta
        )
        return lazy

    def to_xarray(self, level: int = 0) -> xarray.DataArray:
        """One level as a lazy DataArray (y, x, band) with physical coordinates of the pixel centres."""
        from infbrush_wsi.canvas.labelled import labelled_level

        return labelled_level(self, level)

    def to_datatree(self) -> xarray.DataTree:
        """All levels as a DataTree with the children scale0, scale1, ..."""
        from infbrush_wsi.canvas.labelled import labelled_pyramid

        return labelled_pyramid(self)

    def write_ome_zarr(
        self,
        path: str | Path,
        version: Literal["0.4", "0.5"] = "0.5",
        *,
        layout: Literal["flat", "nested"] = "flat",
        name: str | None = None,
        chunk: int = CHUNK,
        shard: int | None = None,
        watermark: str | None = None,
        overwrite: bool = False,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> Path:
        """Write the pyramid as OME-Zarr with physical sizes and provenance; a layout is written beside it as labels.

        The pixels are those of `read_region`, at every level, unless there is a watermark in level 0. A write that was
        interrupted goes on where it stopped when it is called again. With an active `distributed.Client` its workers
        compute; they need the model's directory and the store's folder.

        Args:
            path: the store to make; let it end in ``.ome.zarr``.
            version: '0.5' (Zarr v3) or '0.4' (Zarr v2, which TIAToolbox opens).
            layout: 'flat' for slides, 'nested' for rasters with a CRS.
            name: title; None: made from condition and seed.
            chunk: side of the stored chunks in pixels.
            shard: chunks along a side of a shard (version 0.5 only); None: every chunk is a file.
            watermark: up to eight ASCII characters that are hidden in the pixels of level 0, see `writers.watermark`.
            overwrite: replace an existing store.
            resume: keep what is written when the call fails or is stopped, and go on from there the next time.
            progress: called with (chunks written, chunks in all).

        Raises:
            ConfigError, BandMismatchError, MissingExtraError: for a watermark that cannot be made.
            OutputExistsError, OutputError: if it exists or cannot be written; finished chunks are kept for the next
                call with `resume`, else nothing is left.
        """
        from infbrush_wsi.writers import write_ome_zarr
        from infbrush_wsi.writers.watermark import Watermark

        mark = None if watermark is None else Watermark(watermark)
        levels = [self._stored(level, chunk * (shard or 1)) for level in range(self.level_count)]
        if mark is not None:
            levels[0] = mark.mark(self.to_dask(0, chunk * (shard or 1)))
        return write_ome_zarr(
            levels,
            path,
            lattice=self.lattice,
            version=version,
            layout=layout,
            name=name or f"synthetic {self.spec.provenance()['condition'] or 'image'}, seed {self.spec.seed}",
            channel_names=self.channel_names,
            chunk=chunk,
            shard=shard,
            provenance=self.provenance | ({} if mark is None else {"watermark": mark.record()}),
            overwrite=overwrite,
            resume=resume,
            fingerprint=self.token,
            progress=progress,
            finish=self._label,
        )

    def _label(self, store: Path) -> None:
        """Write the layout, if there is one, beside the pixels of a store."""
        if self.layout is not None:
            write_layout(self.layout, store, self.lattice)

    def _stored(self, level: int, side: int) -> dask.array.Array | None:
        """A level in blocks of what is stored at once; None where it is the mean of the stored finer one."""
        return None if self.reader.averaged(level) else self.to_dask(level, chunk=side)

    def save_plan(self, path: str | Path) -> Path:
        """Write the part of the plan that every read needs: the coarsest stage, a few megabytes.

        Args:
            path: of the file; let it end in ``.plan.safetensors``.

        Raises:
            ConfigError: if the canvas has no plan, as under the joint engine.
            OutputError: if it cannot be written.
        """
        from infbrush_wsi.canvas.plan_file import save_states

        plan = self._plan()
        save_states(Path(path), plan.known(plan.stages[-1]), self.token, self.provenance)
        return Path(path)

    def load_plan(self, path: str | Path) -> Canvas:
        """Use a saved plan in place of computing it.

        Raises:
            ConfigError: if the canvas has no plan.
            PlanError: if the file is damaged or belongs to another canvas.
        """
        from infbrush_wsi.canvas.plan_file import load_states

        self._plan().give(load_states(Path(path), self.token))
        return self

    def proxy_error(self, frames: int = 1) -> list[ProxyError]:
        """How far the plan, which is made on a part of the pixels, is from one made on all of them.

        Args:
            frames: of the finest stage to measure, from the first on; each is run once more on all of its pixels.

        Raises:
            ConfigError: under an engine without a plan.
            RegionError: for frames of more than a million pixels, unless it is the only one and has one condition.
        """
        from infbrush_wsi.canvas.proxy_error import proxy_error

        plan = self._plan()
        shape = plan.stages[0].frames.shape
        chosen = [divmod(number, shape.w) for number in range(min(frames, shape.count))]
        return proxy_error(plan, plan.stages[0], chosen)

    def _plan(self) -> Plan:
        plan: Plan | None = getattr(self.reader, "plan", None)
        if plan is None:
            raise ConfigError("this canvas has no plan: the joint engine and systems with latents make none")
        return plan

    def portable(self) -> Any:
        """What another process makes the same canvas from.

        Raises:
            ConfigError: if the canvas was not made by a pipeline.
        """
        if self.recipe is None:
            raise ConfigError("this canvas has no recipe for other processes; make it with a pipeline")
        return self.recipe.portable(self._folder, self.token)

    def _shape(self, level: int) -> Shape:
        if not 0 <= level < self.level_count:
            raise RegionError(f"the canvas has levels 0 to {self.level_count - 1}, not {level}")
        return pyramid_shapes(self.spec.shape)[level]


def _scratch_folder(owner: Canvas, workdir: Path | None) -> Path:
    """A fresh folder that is removed with its canvas, inside `workdir` if given."""
    try:
        if workdir is not None:
            workdir.mkdir(parents=True, exist_ok=True)
        return scratch_folder(owner, "infbrush-canvas-", workdir)
    except OSError as error:
        raise OutputError(f"cannot make a scratch folder in {workdir or tempfile.gettempdir()}: {error}") from error
