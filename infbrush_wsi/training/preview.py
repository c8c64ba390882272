"""Sample images during training: one window of each class, the same seeds at every step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.sampling import sample_points
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.support import LatticeSupport

ROWS = 2
UNCONDITIONAL_COLUMNS = 4


@torch.no_grad()
def preview_sheet(
    denoiser: InfBrushDenoiser,
    process: MollifiedProcess,
    sigma: float,
    side: int,
    steps: int,
    conditions: ConditionBatch | None = None,
) -> NDArray[np.uint8]:
    """Two samples of each condition, side by side: uint8 (h, w, 3).

    Args:
        denoiser: network in evaluation mode.
        process: its diffusion process.
        sigma: of the mollifier in pixels.
        side: of a sample in pixels.
        steps: network evaluations.
        conditions: one for each column; None: the classes, or four columns without a condition.
    """
    condition = (_classes(denoiser) if conditions is None else conditions).to(denoiser.device)
    columns = len(condition.null)
    channels = denoiser.config.channels
    shape, box = Shape(side, side), Box(0, 0, side, side)
    grid = GridGeometry.covering(side, side, denoiser.config.grid_pitch)
    support = LatticeSupport(box, box, shape, 1.0, grid, batch=columns, device=denoiser.device)
    table = step_table(make_scheduler("dpmsolver++", process.config.schedule), steps)
    rows = []
    for row in range(ROWS):
        fields = [NoiseField(seed=1000 * row + k, channels=channels, sigma=sigma) for k in range(columns)]
        noise = np.stack([f.on_lattice((0.0, 0.0), 1.0, shape).reshape(-1, channels) for f in fields])
        clean = sample_points(
            lambda x, t, c: denoiser(x, support, t, c),
            process,
            torch.from_numpy(noise).to(denoiser.device),
            condition,
            table,
        )
        rows.append(_sharpened(clean.cpu().numpy().reshape(columns, side, side, channels), sigma))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def _classes(denoiser: InfBrushDenoiser) -> ConditionBatch:
    count = len(denoiser.config.classes)
    if not count:
        return ConditionBatch.none(UNCONDITIONAL_COLUMNS)
    return ConditionBatch(torch.zeros(count, dtype=torch.bool), labels=torch.arange(count))


def _sharpened(images: NDArray[np.float32], sigma: float) -> NDArray[np.uint8]:
    """Wiener undo with mirrored borders, then grey values; bands beyond the third are left out."""
    inverse = WienerInverse(sigma_px=sigma)
    halo = inverse.reach
    padded = np.pad(images[..., :3], ((0, 0), (halo, halo), (halo, halo), (0, 0)), mode="symmetric")
    sharp = np.stack([inverse.apply(image) for image in padded])
    if sharp.shape[-1] < 3:
        sharp = np.repeat(sharp[..., :1], 3, axis=-1)
    return ((sharp.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
