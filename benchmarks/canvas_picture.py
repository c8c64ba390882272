"""What is measured on the pixels of a canvas. Not a benchmark itself, see canvas.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infbrush_wsi.canvas.frames import FrameLattice
from infbrush_wsi.canvas.plan_view import FramePart, Part, PlanView
from infbrush_wsi.canvas.tile import TileRun
from infbrush_wsi.domain import Box
from infbrush_wsi.metrics.seams import gradient_ratio, variance_ratio
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
    averaged, period = averaged_frames(canvas), round(stage.pitch)
    ratios = {
        "tiles_gradient": gradient_ratio(image, range(tile, w, tile), period),
        "tiles_variance": variance_ratio(image, [(b - 3, b + 3) for b in range(tile, w, tile)], period),
        "frames_gradient": gradient_ratio(image, edges, period),
        "frames_variance": variance_ratio(image, overlaps, period),
        "averaged_gradient": gradient_ratio(averaged, edges, period),
        "averaged_variance": variance_ratio(averaged, overlaps, period),
    }
    found = {name: ratio.value for name, ratio in ratios.items()}
    return found | {f"{name}_error": ratio.error for name, ratio in ratios.items()}


def pooled(found: list[dict[str, float]]) -> dict[str, float]:
    """Means over canvases of what `seams` gives, and their standard errors."""
    names = [name for name in found[0] if not name.endswith("_error")]
    means = {name: float(np.mean([one[name] for one in found])) for name in names}
    errors = {f"{name}_error": float(np.hypot.reduce([one[f"{name}_error"] for one in found])) for name in names}
    return means | {name: error / len(found) for name, error in errors.items()}


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
    """A frame rendered as an image of its own, from its own plan and the noise of its place."""

    def __init__(self, lens: Any, box: Box, frame: tuple[int, int]) -> None:
        self.frame, self.place, self.whole = frame, box, lens
        nodes = lens.stage.frames.box(frame).shape
        alone = replace(lens.stage, frames=FrameLattice(nodes, max(nodes.as_tuple()), 0))
        super().__init__(replace(lens, image=box.shape, stage=alone), Box(0, 0, box.w, box.h), lens.margins)

    def _view(self) -> PlanView:
        stage, guided = self.lens.stage, self.lens.stage.guide_nodes
        nodes = Box(0, 0, stage.frames.nodes.w, stage.frames.nodes.h)
        cells = Box(0, 0, nodes.w // guided, nodes.h // guided) if guided else None
        state = self.lens.plan.state(self.whole.stage, self.frame)
        part = FramePart(state, _all_of(nodes), cells and _all_of(cells))
        return PlanView([part], nodes, self.mixture.present, stage, self.lens.generator.guided)

    def _noise(self, number: int, region: Box) -> NDArray[np.float32]:
        there = Box(region.x0 + self.place.x0, region.y0 + self.place.y0, region.w, region.h)
        return super()._noise(number, there)


def _all_of(box: Box) -> Part:
    return Part(box.slices, box.slices, torch.ones(box.h, box.w))


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


def beside_exact(canvas: Any, exact: Any) -> float:
    """Gradient energy on the borders of tiles, with the canvas's halo over with the exact one, on the same lines."""
    energies = []
    for one in (canvas, exact):
        h, w = one.level_shapes[0]
        image = one.read_region((0, 0), 0, (w, h)).astype(np.float64)
        lines = [b - 1 for b in range(canvas.spec.tile, w, canvas.spec.tile)]
        energies.append(sum((np.diff(image, axis=a) ** 2).mean(axis=(1 - a, 2))[lines].sum() for a in (0, 1)))
    return float(energies[0] / energies[1])
