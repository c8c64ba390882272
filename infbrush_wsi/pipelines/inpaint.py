"""Filling holes of a real image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.filler import FillSettings, FrameSizes, Start
from infbrush_wsi.canvas.inpainting import inpainted
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.diffusion.reconstruction import Reconstruction
from infbrush_wsi.errors import RegionError
from infbrush_wsi.pipelines.base import DenoiserPipeline
from infbrush_wsi.pipelines.hole_mask import MaskUnit, hole_from
from infbrush_wsi.pipelines.reconstruction import ReconstructedImage, filler_for, opened, record_of
from infbrush_wsi.sources import Source
from infbrush_wsi.sources.lazy import lazy_region

INPAINT_ROUNDS = 3
"""How often each step is made, see `diffusion.reconstruction.Reconstruction`."""


def inpaint(
    pipe: DenoiserPipeline,
    source: Source | str | Path,
    mask: Sequence[int] | NDArray[np.bool_] | str | Path,
    *,
    region: tuple[int, int, int, int] | None = None,
    level: int = 0,
    mask_unit: MaskUnit = "pixel",
    condition: Any = None,
    seed: int = 0,
    num_inference_steps: int = 20,
    strength: float = 1.0,
    weight: float = 0.0,
    replace: bool = True,
    rounds: int = INPAINT_ROUNDS,
    guidance_scale: float = 1.0,
    scheduler: str = "ddim",
    start: Start = "noise",
    progress: Progress | None = None,
) -> ReconstructedImage:
    """Make a part of a real image anew so that it fits its surroundings; every other pixel stays as it is.

    Only the surroundings of the mask are evaluated, so the region may be a whole slide. Masks that are too large for
    one frame (256 training pixels with their surroundings) are filled in several, each continuing those before.

    Args:
        pipe: a model of ∞-Brush or ∞-Diff.
        source: opened, or its path.
        mask: what to fill: (x, y, w, h) in level-0 pixels; a bool array (h, w) of the region's size, or a picture of
            that size that is not black there; or a GeoJSON file of areas.
        region: (x, y, w, h) in level-0 pixels that the result shows; None: all of the source.
        level: of the source.
        mask_unit: of a GeoJSON file's coordinates: 'pixel' of level 0, or 'crs'.
        condition: a class or embedding of the model, for ∞-Diff a latent; None: unconditional.
        seed: of the noise field.
        num_inference_steps: network evaluations, in each round.
        strength: share of the steps that is made: 1 makes the part from noise, less keeps more of what was there.
        weight: λ of reconstruction guidance (∞-Diff), beside replacing or instead of it; it costs three times as much.
        replace: put what is known in its place in every step.
        rounds: how often each step is made (RePaint): more fit better, and take longer.
        guidance_scale: classifier-free guidance.
        scheduler: 'dpmsolver++' or 'ddim'.
        start: 'noise', or 'inversion': with a strength below 1, from the noise that belongs to what was there.
        progress: called with (steps done, steps in all).

    Raises:
        RegionError: if the mask is empty, outside the region, or not of its size; if the region or the pixel size
            does not suit.
        BandMismatchError, MissingMppError, ConditionError, ConfigError: if source, condition or settings do not suit
            the model.
    """
    image = opened(source)
    part, whole = lazy_region(image, level=level, region=region), lazy_region(image, level=level)
    how = Reconstruction(float(weight), bool(replace), rounds, float(guidance_scale), finish=False)
    settings = FillSettings(seed, num_inference_steps, float(strength), scheduler, start, how)
    filler = filler_for(pipe, image, whole.lattice, condition, settings)
    hole = hole_from(mask, part, mask_unit)
    if hole.empty:
        raise RegionError("the mask is empty within the region: there is nothing to fill")
    sizes = FrameSizes.of(filler.ratio, pipe.info.window)
    patches = inpainted(
        filler, lambda box: whole[(*box.slices, slice(None))], whole.lattice.shape, hole.tight(), sizes, progress
    )
    record = record_of(pipe, "inpaint", part, condition, settings, mask_sha256=hole.tight().sha256)
    return ReconstructedImage(part.lattice, image.channel_names, record, part, tuple(patches))
