"""Making a real picture finer, frame by frame, so that averaged down it is the real picture again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.canvas.filler import Filler, FrameSizes
from infbrush_wsi.canvas.inpainting import Read
from infbrush_wsi.canvas.picture import to_grey
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.diffusion.measurements import KnownAverages, KnownPixels, Measurement, Several
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.points.cell_means import CellMeans

Floats = NDArray[np.float32]
CORRECTIONS = 4
"""Times that averages are put right smoothly, each after values were cut off at black and white."""


@dataclass(frozen=True)
class Upscaler:
    """Makes the pixels within the cells of a real picture.

    Attributes:
        filler: the model, on the lattice of the finer picture.
        read: real pixels of a window inside the picture.
        picture: its rows and columns.
        factor: finer pixels along the side of one of its pixels.
        sizes: of the frames, in pixels of the picture.
    """

    filler: Filler
    read: Read
    picture: Shape
    factor: int
    sizes: FrameSizes

    def __call__(self, region: Box, progress: Progress | None = None) -> NDArray[np.uint8]:
        """A region of the picture, finer.

        Args:
            region: in pixels of the picture.
            progress: called with (steps done, steps in all).

        Returns:
            uint8 (region.h * factor, region.w * factor, C).
        """
        around = self.sizes.frame(region, self.picture)
        picture = self.read(around).astype(np.float32) / 127.5 - 1.0
        fine = np.zeros((around.h * self.factor, around.w * self.factor, picture.shape[2]), np.float32)
        done = np.zeros(fine.shape[:2], bool)
        cores = self.sizes.cores(region)
        for number, core in enumerate(cores):

            def step(made: int, steps: int, before: int = number) -> None:
                if progress is not None:
                    progress(before * steps + made, len(cores) * steps)

            frame = self.sizes.frame(core, self.picture)
            seen, own = self._finer(frame.relative_to(around)), self._finer(core.relative_to(around))
            part = picture[frame.relative_to(around).slices]
            made = self._made(frame, part, fine[seen.slices], done[seen.slices], step)
            fine[own.slices] = made[self._finer(core.relative_to(frame)).slices]
            done[own.slices] = True
        return to_grey(fine[self._finer(region.relative_to(around)).slices])

    def _made(
        self, frame: Box, picture: Floats, fine: Floats, done: NDArray[np.bool_], progress: Progress | None
    ) -> Floats:
        """Pixels of a frame in [-1, 1], of which those that are `done` have their values in `fine`."""
        means = CellMeans(frame.shape, self.factor)
        sigma_px = self.filler.sigma_px
        measurement: Measurement = KnownAverages(means, picture, sigma_px)
        if done.any():
            measurement = Several([measurement, KnownPixels.of(fine, done, sigma_px)])
        start = np.where(done[..., None], fine, means.smooth(picture)).astype(np.float32)
        clean = self.filler.clean(self._finer(frame), start, measurement, progress)
        return with_means(WienerInverse(sigma_px).on_image(clean, threads=1), means, picture)

    def _finer(self, box: Box) -> Box:
        f = self.factor
        return Box(box.x0 * f, box.y0 * f, box.w * f, box.h * f)


def with_means(image: Floats, means: CellMeans, values: Floats) -> Floats:
    """The image in [-1, 1] with given averages over cells.

    Args:
        image: (h, w, C).
        means: the cells.
        values: (cells.h, cells.w, C) in [-1, 1].
    """
    out = image.astype(np.float64)
    for _ in range(CORRECTIONS):
        out = np.clip(out + means.smooth(values - means.average(out)), -1.0, 1.0)
    # What is left at black and white is put right within each cell, by a share of the way to white or to black.
    found = means.average(out)
    missing, tiny = values - found, np.finfo(np.float64).tiny
    up = means.repeat(np.clip(missing, 0.0, None) / np.maximum(1.0 - found, tiny))
    down = means.repeat(np.clip(-missing, 0.0, None) / np.maximum(1.0 + found, tiny))
    return np.asarray(out + up * (1.0 - out) - down * (1.0 + out), np.float32)
