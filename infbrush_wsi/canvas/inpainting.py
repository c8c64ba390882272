"""Making the holes of a real image anew, frame by frame: what one frame has made is known to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.filler import Filler, FrameSizes
from infbrush_wsi.canvas.holes import Hole
from infbrush_wsi.canvas.membrane import membrane
from infbrush_wsi.canvas.picture import to_grey
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.diffusion.measurements import KnownPixels
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields.wiener import WienerInverse

Read = Callable[[Box], NDArray[np.uint8]]


@dataclass(frozen=True)
class Patch:
    """Pixels that were made.

    Attributes:
        hole: where.
        pixels: uint8 (h, w, C) of its box; real ones outside of the hole.
    """

    hole: Hole
    pixels: NDArray[np.uint8]


def inpainted(
    filler: Filler, read: Read, image: Shape, hole: Hole, sizes: FrameSizes, progress: Progress | None = None
) -> list[Patch]:
    """Fill a hole.

    Parts that see nothing of each other are filled apart. A part that is too large for one frame is filled core by
    core.

    Args:
        filler: the model.
        read: real pixels of a window inside the image.
        image: its rows and columns.
        hole: not empty.
        sizes: of the frames.
        progress: called with (steps done, steps in all).
    """
    parts = hole.separate(2 * sizes.context)
    cores = [sizes.cores(part.box) for part in parts]
    count = _Steps(progress, sum(map(len, cores)))
    patches = []
    for part, some in zip(parts, cores, strict=True):
        around = sizes.frame(part.box, image)
        pixels, missing = np.array(read(around)), part.within(around)
        for core in some:
            if part.within(core).any():
                _fill(filler, sizes.frame(core, image), core, around, pixels, missing, count)
            count.frames += 1
        patches.append(Patch(part, pixels[part.box.relative_to(around).slices].copy()))
    return patches


def _fill(
    filler: Filler,
    frame: Box,
    core: Box,
    around: Box,
    pixels: NDArray[np.uint8],
    missing: NDArray[np.bool_],
    count: _Steps,
) -> None:
    """Make what is missing in a core; `pixels` and `missing`, which belong to `around`, are written."""
    seen = frame.relative_to(around).slices
    image = (pixels[seen].astype(np.float32) / 127.5) - 1.0
    measurement = KnownPixels.of(image, ~missing[seen], filler.sigma_px)
    clean = filler.clean(frame, image, measurement, count.step)
    sharp = WienerInverse(filler.sigma_px).on_image(clean, threads=1)
    made = to_grey(sharp + membrane(image - sharp, missing[seen]))
    own, inner = core.relative_to(around).slices, core.relative_to(frame).slices
    pixels[own] = np.where(missing[own][..., None], made[inner], pixels[own])
    missing[own] = False


class _Steps:
    """Counts the steps of all frames."""

    def __init__(self, progress: Progress | None, frames: int) -> None:
        self.progress, self.total, self.frames = progress, frames, 0

    def step(self, done: int, steps: int) -> None:
        if self.progress is not None:
            self.progress(self.frames * steps + done, self.total * steps)


def patched(pixels: NDArray[np.uint8], box: Box, patches: Sequence[Patch]) -> NDArray[np.uint8]:
    """Real pixels of a window with what was made in their place; the window's other pixels as they are.

    Args:
        pixels: uint8 (box.h, box.w, C).
        box: the window.
        patches: of the image.
    """
    out = pixels
    for patch in patches:
        common = patch.hole.box.intersect(box)
        if common.empty:
            continue
        out = np.array(out) if out is pixels else out
        here, there = common.relative_to(box).slices, common.relative_to(patch.hole.box).slices
        inside = patch.hole.inside[there][..., None]
        out[here] = np.where(inside, patch.pixels[there], out[here])
    return out
