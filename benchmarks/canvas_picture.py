"""What is measured on the pixels of a canvas. Not a benchmark itself, see canvas.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from seams import gradient_ratio, variance_ratio

from infbrush_wsi.canvas.plan_view import FramePart, Part, PlanView
from infbrush_wsi.canvas.tile import TileRun
from infbrush_wsi.domain import Box
from infbrush_wsi.operators.one_thread import one_torch_thread
from infbrush_wsi.writers.pyramid import halve


def seams(canvas: Any) -> dict[str, float]:
    """Ratios on the borders of tiles and frames, and on frames that were rendered apart and averaged."""
    h, w = canvas.level_shapes[0]
    image = canvas.read_region((0, 0), 0, (w, h)).astype(np.float64)
    tile, stage = canvas.spec.tile, canvas.reader.stages[0]
    overlaps = [
        (int(b.x0 * stage.pitch), int(a.x1 * stage.pitch))
        for a, b in ((stage.frames.box((0, i)), stage.frames.box((0, i + 1))) for i in range(stage.frames.shape.w - 1))
    ]
    edges = [at for overlap in overlaps for at in overlap]
    averaged = averaged_frames(canvas)
    ratios = {
        "tiles_gradient": gradient_ratio(image, range(tile, w, tile)),
        "tiles_variance": variance_ratio(image, [(b - 3, b + 3) for b in range(tile, w, tile)]),
        "frames_gradient": gradient_ratio(image, edges),
        "frames_variance": variance_ratio(image, overlaps),
        "averaged_gradient": gradient_ratio(averaged, edges),
        "averaged_variance": variance_ratio(averaged, overlaps),
    }
    found = {name: ratio.value for name, ratio in ratios.items()}
    return found | {f"{name}_error": ratio.error for name, ratio in ratios.items()}


def averaged_frames(canvas: Any) -> NDArray[np.float64]:
    """Every frame of stage 0 rendered with its own plan alone; finished images are averaged where frames overlap."""
    level = canvas.reader.level(0)
    lens, stage = level.lens, canvas.reader.stages[0]
    h, w = canvas.level_shapes[0]
    total = np.zeros((h, w, lens.generator.channels))
    reach = level.inverse.reach
    for i in range(stage.frames.shape.h):
        for j in range(stage.frames.shape.w):
            nodes, box = stage.frames.box((i, j)), stage.frame_pixels((i, j))
            with one_torch_thread(), torch.no_grad():
                run = OneFrame(lens, box, (i, j))
                run.advance(len(lens.generator.table))
                clean = run.x.numpy()
            window = np.pad(clean, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
            image = np.clip((level.inverse.apply_in_order(window) + 1.0) * 127.5, 0.0, 255.0)
            weight = stage.frames.weights((i, j), nodes)
            cells = (np.arange(box.h) / stage.pitch).astype(int), (np.arange(box.w) / stage.pitch).astype(int)
            total[box.slices] += image * weight[np.ix_(*cells)][..., None]
    return total


class OneFrame(TileRun):
    """A tile that sees one frame only, with weight one everywhere."""

    def __init__(self, lens: Any, box: Box, frame: tuple[int, int]) -> None:
        self.frame = frame
        super().__init__(lens, box, lens.margins)

    def _view(self) -> PlanView:
        stage, plan = self.lens.stage, self.lens.plan
        nodes = stage.frames.box(self.frame)
        part = FramePart.of(plan.state(stage, self.frame), stage, self.frame, nodes)
        grid = Part(part.grid.inside, part.grid.own, torch.ones_like(part.grid.weight))
        guide = part.guide and Part(part.guide.inside, part.guide.own, torch.ones_like(part.guide.weight))
        return PlanView([replace(part, grid=grid, guide=guide)], nodes, self.mixture.present, stage, False)

    def _region(self, number: int) -> Box:
        return self.box


def levels(canvas: Any) -> list[dict[str, Any]]:
    """PSNR of every level against the box average of level 0, in dB, and how it was computed."""
    rows, reference = [], None
    for number, (h, w) in enumerate(canvas.level_shapes):
        image = canvas.read_region((0, 0), number, (w, h))
        if reference is None:
            reference = image
            continue
        reference = halve(reference.transpose(2, 0, 1)).transpose(1, 2, 0)
        error = ((image.astype(float) - reference) ** 2).mean()
        psnr = float("inf") if error == 0 else 10 * np.log10(255.0**2 / error)
        rows.append({"level": number, "psnr_db": min(psnr, 99.0), "by": type(canvas.reader.level(number)).__name__})
    return rows


def exactness(canvas: Any) -> float:
    """Largest difference of T x_0 between tiles with their exact halo and the whole canvas as one tile."""
    level = canvas.reader.level(0)
    h, w = canvas.level_shapes[0]
    whole = Box(0, 0, w, h)
    return float(np.abs(level.read_clean(whole) - level.lens.clean(whole)).max())
