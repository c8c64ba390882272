"""Making a real picture finer."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi.canvas.filler import FillSettings, FrameSizes, Start
from infbrush_wsi.canvas.holes import Hole
from infbrush_wsi.canvas.inpainting import Patch
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.upscaling import Upscaler
from infbrush_wsi.diffusion.reconstruction import Reconstruction
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.pipelines.base import DenoiserPipeline
from infbrush_wsi.pipelines.reconstruction import ReconstructedImage, filler_for, finer, opened, record_of
from infbrush_wsi.sources import Source
from infbrush_wsi.sources.lazy import lazy_region

MOST_PIXELS = 1 << 26
"""Of a result, which is made in memory."""


def upscale(
    pipe: DenoiserPipeline,
    source: Source | str | Path,
    *,
    factor: int = 4,
    region: tuple[int, int, int, int] | None = None,
    level: int = 0,
    mpp: float | None = None,
    condition: Any = None,
    seed: int = 0,
    num_inference_steps: int = 20,
    strength: float = 1.0,
    weight: float = 0.0,
    replace: bool = True,
    guidance_scale: float = 1.0,
    scheduler: str = "dpmsolver++",
    start: Start = "noise",
    progress: Progress | None = None,
) -> ReconstructedImage:
    """Make a real picture of low magnification finer; averaged down again it is the real picture.

    Args:
        pipe: a model of ∞-Brush or ∞-Diff.
        source: opened, or its path.
        factor: finer pixels along the side of a pixel.
        region: (x, y, w, h) in level-0 pixels, whatever the level; None: all of the source.
        level: of the source that is made finer.
        mpp: pixel size in micrometres at which the source is read, instead of a level.
        condition: a class or embedding of the model, for ∞-Diff a latent; None: unconditional.
        seed: of the noise field.
        num_inference_steps: network evaluations.
        strength: share of the steps that is made, from the noised smooth enlargement; 1: from noise alone.
        weight: λ of reconstruction guidance, beside moving the averages or instead of it.
        replace: move the averages of every prediction to the picture's.
        guidance_scale: classifier-free guidance.
        scheduler: 'dpmsolver++' or 'ddim'.
        start: 'noise', or 'inversion': from the noise that belongs to the smooth enlargement (∞-Diff).
        progress: called with (steps done, steps in all).

    Returns:
        The region on its own lattice with pixels `factor` times as fine.

    Raises:
        RegionError: if the result would be too large, or its pixels too fine or too coarse for the model.
        BandMismatchError, MissingMppError, ConditionError, ConfigError: if source, condition or settings do not suit
            the model.
    """
    if not 2 <= operator.index(factor) <= 64:
        raise ConfigError(f"factor must be a whole number from 2 to 64, not {factor}")
    image = opened(source)
    part, whole = (lazy_region(image, level=level, mpp=mpp, region=chosen) for chosen in (region, None))
    h, w = (side * factor for side in part.lattice.shape.as_tuple())
    if h * w > MOST_PIXELS:
        raise RegionError(f"the result would have {w} x {h} pixels, at most {MOST_PIXELS} are made; choose a --region")
    how = Reconstruction(float(weight), bool(replace), guidance_scale=float(guidance_scale))
    settings = FillSettings(seed, num_inference_steps, float(strength), scheduler, start, how)
    fine = finer(part.lattice, factor)
    filler = filler_for(pipe, image, fine, condition, settings)
    sizes = FrameSizes.of(filler.ratio, pipe.info.window, cell=factor)
    picture = whole.lattice.shape
    made = Upscaler(filler, lambda box: whole[(*box.slices, slice(None))], picture, factor, sizes)(part.box, progress)
    record = record_of(pipe, "upscale", part, condition, settings, factor=factor)
    patch = Patch(Hole(Box(0, 0, w, h), np.ones((h, w), bool)), made)
    return ReconstructedImage(fine, image.channel_names, record, None, (patch,))
