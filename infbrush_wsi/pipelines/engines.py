"""From the settings of a generation to the engine that renders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infbrush_wsi.canvas.engine import StepEngine
from infbrush_wsi.canvas.generator import Generator
from infbrush_wsi.canvas.lazy import CacheLimits, LazyReader
from infbrush_wsi.canvas.reader import Reader
from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.canvas.stage import check_stages, make_stages
from infbrush_wsi.canvas.sweep import Sweep
from infbrush_wsi.canvas.whole import WholeReader
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.layout import Layout
from infbrush_wsi.diffusion.process import MollifiedProcess
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.points.samplers import CoordinateSampler, make_sampler

MakeReader = Callable[[Path], Reader]


@dataclass(frozen=True)
class Engines:
    """Makes engines for a model.

    Attributes:
        denoiser: the network.
        process: its diffusion process.
        info: the model's record.
    """

    denoiser: Any
    process: MollifiedProcess
    info: ModelInfo

    def reader(
        self, spec: CanvasSpec, batch: ConditionBatch, layout: Layout | None, base: float, limits: CacheLimits | None
    ) -> MakeReader:
        """The engine of a generation, to be made for a folder of scratch files.

        Args:
            spec: the generation.
            batch: a row for each condition of the layout, or one.
            layout: which condition is where.
            base: trained pixel size that the canvas is rendered by.
            limits: of the caches.

        Raises:
            ConfigError: if the engine cannot render a layout, or the network a canvas of this size.
        """
        sigma_px = self.info.sigma * spec.ratio
        if spec.engine == "joint":
            if layout is not None:
                raise ConfigError("engine='joint' renders no layouts; use 'lazy' or 'sweep'")
            engine = partial(StepEngine, self.denoiser, self.process, spec, batch, self.info.sigma)
            return partial(WholeReader, spec, engine, sigma_px)
        lazy = self._lazy(spec, batch, layout, base, limits)
        if spec.engine == "lazy":
            return lazy

        def sweep(folder: Path) -> Sweep:
            return Sweep(lazy(folder / "plan").finest, spec.tile, folder)

        return partial(WholeReader, spec, sweep, sigma_px)

    def _lazy(
        self, spec: CanvasSpec, batch: ConditionBatch, layout: Layout | None, base: float, limits: CacheLimits | None
    ) -> Callable[[Path], LazyReader]:
        sampler, density = self._drawing()
        density = density if spec.plan_density is None else spec.plan_density
        generator = Generator(self.denoiser, self.process, spec, batch, self.info.sigma, sampler, density, layout)
        stages = make_stages(spec, base, self.info.spacing, generator.pitch, self.info.window)
        check_stages(stages, self.denoiser)
        return partial(LazyReader, generator, stages, limits=limits)

    def _drawing(self) -> tuple[CoordinateSampler, float]:
        """How plans draw their points: as in training, but everywhere, tissue or not."""
        training = self.info.training
        points = training.get("points", round(self.info.window**2 / 4))
        name = training.get("sampler", "mixed")
        options = training.get("config", {}).get("data", {}).get("sampler_options", {})
        sampler = make_sampler("uniform") if name == "tissue" else make_sampler(name, **options)
        return sampler, min(1.0, points / self.info.window**2)
