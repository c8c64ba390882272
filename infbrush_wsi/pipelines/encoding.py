"""From a region of a real image to its latent, tile by tile: memory follows the tile and the grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infbrush_wsi.domain import Box, tiles
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.models.infdiff import InfDiffEncoder
from infbrush_wsi.operators.barrier import Barrier, run_with
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.support import LatticeSupport
from infbrush_wsi.sources.view import ResampledView

TILE = 256


@torch.no_grad()
def encode_region(encoder: InfDiffEncoder, view: ResampledView, region: Box, sigma: float, tile: int = TILE) -> Tensor:
    """The latent of all pixels of a region.

    The pixels around it are read too, because the mollifier averages over them, as in training.

    Args:
        encoder: in evaluation mode.
        view: the image at a trained pixel size.
        region: in pixels of the view, inside it.
        sigma: of the mollifier in pixels.
        tile: side of the parts that are read and computed at a time; the result is the same for any.

    Returns:
        (D,) float32 on the CPU.
    """
    mollifier = Mollifier(sigma=sigma)
    grid = GridGeometry.covering(region.h, region.w, encoder.config.grid_pitch)
    total: Any = None
    barrier: Barrier | None = None
    for owned in tiles(region.shape, tile):
        box = owned.pad(encoder.reach()).clip(region.shape)
        support = LatticeSupport(box, owned, region.shape, 1.0, grid, device=encoder.device)
        wider = Box(box.x0 + region.x0, box.y0 + region.y0, box.w, box.h).pad(mollifier.apron)
        values = mollifier.on_image(view.read(wider, fill="reflect"))
        inner = values[mollifier.apron : -mollifier.apron, mollifier.apron : -mollifier.apron]
        x = torch.from_numpy(inner.reshape(1, box.h * box.w, -1)).to(encoder.device)
        found = run_with(encoder.program(x, support), [])
        assert isinstance(found, Barrier)  # noqa: S101
        barrier, total = found, found.partial.added_to(total)
    assert barrier is not None  # noqa: S101
    latent: Tensor = barrier.finish(total)
    return latent[0].float().cpu()
