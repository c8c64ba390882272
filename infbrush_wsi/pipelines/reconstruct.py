"""A region of a real image through the autoencoder of ∞-Diff: to its latent and back."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np

from infbrush_wsi.canvas.filler import FillSettings, Start
from infbrush_wsi.canvas.holes import Hole
from infbrush_wsi.canvas.inpainting import Patch
from infbrush_wsi.canvas.picture import to_grey
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.diffusion.measurements import Nothing
from infbrush_wsi.diffusion.reconstruction import Reconstruction
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.pipelines.infdiff import InfDiffPipeline
from infbrush_wsi.pipelines.reconstruction import ReconstructedImage, filler_for, finer, opened, record_of
from infbrush_wsi.points.cell_means import CellMeans
from infbrush_wsi.sources import Source
from infbrush_wsi.sources.lazy import lazy_region

MOST_PIXELS = 1 << 18
"""Of a result, which is evaluated in one piece."""


def reconstruct(
    pipe: InfDiffPipeline,
    source: Source | str | Path,
    *,
    region: tuple[int, int, int, int],
    factor: int = 1,
    start: Start = "noise",
    seed: int = 0,
    num_inference_steps: int = 20,
    guidance_scale: float = 1.0,
    progress: Progress | None = None,
) -> ReconstructedImage:
    """What the model makes of the latent of a real region (∞-Diff §4.3 and "applications").

    With ``start='noise'`` only the latent is kept: what comes back has its colours and structure, and details of its
    own. With ``start='inversion'`` the sampler begins with the noise that belongs to the region, and comes back to it
    as far as the latent and the steps allow; finer pixels are then the paper's second way to super-resolution.

    Args:
        pipe: a model with an encoder.
        source: opened, or its path.
        region: (x, y, w, h) in level-0 pixels.
        factor: pixels of the result along the side of a level-0 pixel.
        start: 'noise' or 'inversion'.
        seed: of the noise field.
        num_inference_steps: network evaluations of DDIM.
        guidance_scale: guidance away from the image without a latent.
        progress: called with (steps done, steps in all).

    Raises:
        ConditionError: if the model has no encoder.
        RegionError: if the region is empty, reaches outside or is too large, or its pixels do not suit the model.
        BandMismatchError, MissingMppError, ConfigError: if source or settings do not suit the model.
    """
    if not 1 <= operator.index(factor) <= 64:
        raise ConfigError(f"factor must be a whole number from 1 to 64, not {factor}")
    image = opened(source)
    part = lazy_region(image, region=region)
    h, w = (side * factor for side in part.lattice.shape.as_tuple())
    if h * w > MOST_PIXELS:
        raise RegionError(f"the result would have {w} x {h} pixels, at most {MOST_PIXELS} are made; choose a part")
    latent = pipe.encode(image, region[:2], region[2:])
    how = Reconstruction(guidance_scale=float(guidance_scale))
    settings = FillSettings(seed, num_inference_steps, 1.0, "ddim", start, how)
    fine = finer(part.lattice, factor)
    filler = filler_for(pipe, image, fine, latent, settings)
    picture = part[:, :].astype(np.float32) / 127.5 - 1.0
    if factor > 1:
        picture = CellMeans(part.lattice.shape, factor).smooth(picture).astype(np.float32)
    frame = Box(0, 0, w, h)
    clean = filler.clean(frame, picture, Nothing(), progress)
    made = to_grey(WienerInverse(filler.sigma_px).on_image(clean, threads=1))
    record = record_of(pipe, "reconstruct", part, latent, settings, factor=factor)
    return ReconstructedImage(
        fine, image.channel_names, record, None, (Patch(Hole(frame, np.ones((h, w), bool)), made),)
    )
