"""One frame of an image of which something is known: from there to T x_0, in one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.inversion import invert
from infbrush_wsi.diffusion.measurements import Measurement
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.diffusion.reconstruction import Reconstruction, reconstruct
from infbrush_wsi.diffusion.sampling import Network
from infbrush_wsi.diffusion.steps import first_step, make_scheduler, step_table
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.support import LatticeSupport

Start = Literal["noise", "inversion"]
Floats = NDArray[np.float32]
StepProgress = Callable[[int, int], None]

CONTEXT = 32
"""Training pixels around what is made, which the network sees with it; the reach of the mollifier's inverse."""
FRAME_SIDE = 256
"""Training pixels along a side of the largest frame."""
FRAME_PIXELS = 512
"""The same in pixels, for images finer than training."""
ROUNDS_OF_NOISE = 1 << 8


@dataclass(frozen=True)
class FillSettings:
    """How something is made that fits what is known.

    Attributes:
        seed: of the noise field, which lies fixed under the image.
        steps: network evaluations from pure noise (a round each).
        strength: share of them that is made, from the noised image; 1: from noise alone.
        scheduler: 'dpmsolver++' or 'ddim'.
        start: 'noise': the image is noised by the noise field; 'inversion': by the noise that DDIM would have made it
            from.
        how: how what is made is held to what is known.

    Raises:
        ConfigError: for a value out of its range.
    """

    seed: int = 0
    steps: int = 20
    strength: float = 1.0
    scheduler: str = "dpmsolver++"
    start: Start = "noise"
    how: Reconstruction = field(default_factory=Reconstruction)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"seed must be an integer in [0, 2**63), not {self.seed}")
        if self.start not in ("noise", "inversion"):
            raise ConfigError(f"start must be 'noise' or 'inversion', not {self.start!r}")
        first_step(self.steps, self.strength)


@dataclass(frozen=True)
class Filler:
    """A trained model on a lattice of real pixels.

    Attributes:
        denoiser: the network, in evaluation mode.
        process: its diffusion process.
        condition: of the image, a batch of one.
        sigma: standard deviation of the mollifier in training pixels.
        ratio: pixels per training pixel.
        log_magnification: log2 of the training pixel over the finest one trained.
        settings: of the generation.
    """

    denoiser: Any
    process: MollifiedProcess
    condition: ConditionBatch
    sigma: float
    ratio: float
    log_magnification: float
    settings: FillSettings

    @property
    def sigma_px(self) -> float:
        """Standard deviation of the mollifier in pixels."""
        return self.sigma * self.ratio

    def clean(
        self, frame: Box, image: Floats, measurement: Measurement, progress: StepProgress | None = None
    ) -> Floats:
        """T x_0 of a frame.

        Args:
            frame: where it is, in pixels; places the noise.
            image: (h, w, C) in [-1, 1], from which it starts unless the strength is 1.
            measurement: what is known of it.
            progress: called with (steps done, steps in all).

        Returns:
            float32 (h, w, C).
        """
        settings, process = self.settings, self.process
        first = first_step(settings.steps, settings.strength)
        steps = step_table(make_scheduler(settings.scheduler, process.config.schedule), settings.steps, first=first)
        network, device = self._network(frame.shape), self.denoiser.device
        condition = self.condition.to(device)
        channels = image.shape[2]

        def noise(stream: int) -> Tensor:
            field = NoiseField(settings.seed, channels, sigma=self.sigma, stream=stream)
            values = field.on_lattice((0.0, 0.0), 1.0 / self.ratio, frame.shape, first_yx=(frame.y0, frame.x0))
            return torch.from_numpy(values).reshape(1, -1, channels).to(device)

        known = torch.from_numpy(Mollifier(self.sigma_px).on_image(image)).reshape(1, -1, channels).to(device)
        if settings.start == "inversion":
            ddim = step_table(make_scheduler("ddim", process.config.schedule), settings.steps, first=first)
            x = invert(network, process, known, condition, ddim, guidance_scale=settings.how.guidance_scale)
        else:
            x = process.noised(known, noise(0), torch.tensor([steps[0].timestep], device=device))
        found = reconstruct(
            network, process, x, condition, steps, measurement, settings.how,
            fresh=lambda number, again: noise(1 + number * ROUNDS_OF_NOISE + again), progress=progress,
        )  # fmt: skip
        return np.asarray(found.cpu().numpy().reshape(frame.h, frame.w, channels), np.float32)

    def _network(self, shape: Shape) -> Network:
        """The denoiser on all pixels of a frame, as if that were the whole image."""
        box = Box(0, 0, shape.w, shape.h)
        grid = GridGeometry.covering(shape.h / self.ratio, shape.w / self.ratio, self.denoiser.config.grid_pitch)
        copies = 1 if self.settings.how.guidance_scale == 1.0 else 2
        support = LatticeSupport(box, box, shape, self.ratio, grid, copies, self.denoiser.device)
        magnification = torch.full((copies,), self.log_magnification, device=self.denoiser.device)

        def network(x: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
            output: Tensor = self.denoiser(x, support, timestep, condition, magnification)
            return output

        return network


@dataclass(frozen=True)
class FrameSizes:
    """How large the frames are that an image is made in, in pixels (or cells of pixels) of it.

    Attributes:
        context: seen around what is made.
        core: largest side of what is made at a time.
        least: smallest side of a frame, as far as there is that much.
    """

    context: int
    core: int
    least: int

    @classmethod
    def of(cls, ratio: float, window: int, cell: int = 1) -> FrameSizes:
        """For a model.

        Args:
            ratio: pixels per training pixel.
            window: side of its training window in training pixels.
            cell: pixels along the side of the cells in which frames are counted.
        """
        whole = min(round(max(FRAME_SIDE, window) * ratio), max(FRAME_PIXELS, round(window * ratio))) // cell
        context = -(-round(CONTEXT * ratio) // cell)
        return cls(context, max(1, whole - 2 * context), -(-round(window * ratio) // cell))

    def frame(self, core: Box, image: Shape) -> Box:
        """What the network sees to make `core`: with its context, and not smaller than in training."""
        missing = max(0, self.least - min(core.w, core.h) - 2 * self.context)
        return core.pad(self.context + -(-missing // 2)).clip(image)

    def cores(self, box: Box) -> list[Box]:
        """A box cut into about equal parts, row by row."""
        columns, rows = (_parts(side, self.core) for side in (box.w, box.h))
        return [Box(box.x0 + x, box.y0 + y, w, h) for y, h in rows for x, w in columns]


def _parts(side: int, largest: int) -> list[tuple[int, int]]:
    count = -(-side // largest)
    edges = [round(side * k / count) for k in range(count + 1)]
    return [(start, stop - start) for start, stop in pairwise(edges)]
