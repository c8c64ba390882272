"""The pipeline of Multilevel Diffusion: from a condition, a size and a seed to a canvas rendered in one piece."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.piece import PieceReader
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.lattice import LatticeSampler
from infbrush_wsi.diffusion.reverse import reverse_table
from infbrush_wsi.diffusion.sde import VP_SDE, TraceClassSDE
from infbrush_wsi.diffusion.steps import Step, make_scheduler, step_table
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import CheckpointError, ConfigError, RegionError
from infbrush_wsi.fields.covariance import NoiseLaw
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.multilevel import MultilevelDenoiser
from infbrush_wsi.operators.one_thread import one_torch_thread
from infbrush_wsi.pipelines.call import condition_of, lattice_of, process_of, provenance_of, spacing_of, whole
from infbrush_wsi.pipelines.recipe import Recipe

SYSTEM = "multilevel"
EULER = "euler"
LARGEST = 2048**2
"""Pixels of a canvas, and of the lattice that the network works on: all of it is in memory at once."""
SMALLEST_SIDE = 16
EXTENT_TOLERANCE = 0.02
TILE = 256
Detail = Literal["auto", "canvas", "training"]
Pair = tuple[float, float]


class MultilevelPipeline:
    """Generates images with a trained model of Multilevel Diffusion.

    Args:
        bundle: the model.
        device: where the network runs.

    Raises:
        CheckpointError: if the model is of another system, or its record does not fit its network.
    """

    def __init__(self, bundle: ModelBundle, device: str | torch.device = "cpu") -> None:
        self.bundle, self.info = bundle, bundle.info
        if self.info.system != SYSTEM:
            raise CheckpointError(f"this is a model of {self.info.system}, not of {SYSTEM}; use that system's pipeline")
        self.denoiser: MultilevelDenoiser = bundle.denoiser.to(device).eval()
        try:
            law = NoiseLaw.from_dict(self.info.training["noise"])
        except (KeyError, ConfigError) as error:
            raise CheckpointError(f"the model's record holds no law of noise that can be used: {error}") from error
        bands, classes = len(self.info.channel_names), len(self.info.classes)
        if (bands, classes) != (self.denoiser.config.channels, len(self.denoiser.config.classes)):
            raise CheckpointError(
                "the model's record and its network name other bands or classes: copy the model again"
            )
        self.sampler = LatticeSampler(self.denoiser, process_of(self.info), law)

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str | torch.device | None = None) -> MultilevelPipeline:
        """Load a model directory, as `infbrush train --out` writes it.

        Args:
            directory: with infbrush.json and denoiser/.
            device: None: the first CUDA device if there is one, else the CPU.

        Raises:
            CheckpointError: if it is not a complete, undamaged model directory.
        """
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(ModelBundle.load(directory, {"denoiser": MultilevelDenoiser}), chosen)

    def save_pretrained(self, directory: str | Path, *, half: bool = False) -> None:
        """Write the model to a directory, with `half` as float16, see `ModelBundle.save`."""
        ModelBundle.save(Path(directory), {"denoiser": self.denoiser}, self.info, half=half)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that `condition` may be."""
        return self.info.classes

    def __call__(
        self,
        condition: str | ArrayLike | None = None,
        size: tuple[int, int] | None = None,
        mpp: float | None = None,
        seed: int = 0,
        num_inference_steps: int = 20,
        guidance_scale: float = 1.0,
        *,
        resolution: float | None = None,
        scheduler: str = "dpmsolver++",
        eta: float = 0.0,
        detail: Detail = "auto",
        origin: tuple[float, float] | None = None,
        crs: str | None = None,
        workdir: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Canvas:
        """Describe an image; nothing is computed before it is read. The first read renders all of it.

        The noise of a seed is one function of physical coordinates, so the same seed at another pixel size is the same
        image as far as the network acts alike on both lattices.

        Args:
            condition: name of a class, an embedding (D,) or (M, D), or None.
            size: (width, height) of level 0 in pixels, `LARGEST` pixels at most; None: the training window's extent,
                the only one that an FNO knows.
            mpp: micrometres per pixel; None: the model's own pixel size.
            seed: of the noise, in [0, 2**63).
            num_inference_steps: network evaluations.
            guidance_scale: classifier-free guidance; 1: none (and half the cost).
            resolution: pixel size in the unit of the CRS, for models of rasters, instead of `mpp`.
            scheduler: 'dpmsolver++', 'ddim', or for models of the schedule 'vp_sde' 'euler' (as published).
            eta: share of fresh noise, with 'ddim' or 'euler': 0 is the probability flow, 1 the reverse SDE.
            detail: lattice that the network works on: 'canvas': that of level 0; 'training': one of the training
                pixel size, whose result is interpolated as a band-limited function; 'auto': 'canvas' for an FNO,
                'training' for networks whose kernels are as wide as their pixels.
            origin: (x, y) of the top left corner in CRS units, for a georeferenced raster (north up).
            crs: CRS of the result; None: the model's if `origin` is given, else none.
            workdir: folder for scratch files; None: the system's temporary folder.
            progress: called with (steps done, steps in all) while rendering.

        Raises:
            ConditionError: for a condition that the model does not know.
            RegionError: for a size or pixel size that cannot be rendered.
            ConfigError: for a wrong sampler setting.
        """
        call = {
            "condition": condition, "size": size, "mpp": mpp, "seed": seed, "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale, "resolution": resolution, "scheduler": scheduler, "eta": eta,
            "detail": detail, "origin": origin, "crs": crs,
        }  # fmt: skip
        spacing = spacing_of(self.info, mpp, resolution)
        lattice = lattice_of(self.info, size or self._window_size(spacing), spacing, origin, crs)
        evaluated = self._evaluated(lattice, detail)
        batch, name = condition_of(self.info, self.denoiser.config.embedding_dim, condition)
        spec = CanvasSpec(
            lattice=lattice,
            ratio=self.info.spacing[0] / lattice.spacing.x,
            log_magnification=0.0,
            seed=whole("seed", seed),
            condition=name,
            steps=whole("num_inference_steps", num_inference_steps),
            scheduler=scheduler,
            guidance_scale=float(guidance_scale),
            eta=float(eta),
            tile=TILE,
            weights_sha256=self.bundle.weights_sha256,
            engine="joint",
        )
        table = self._table(spec)
        return Canvas(
            spec,
            partial(PieceReader, spec, partial(self._render, spec, batch, table, evaluated)),
            sigma_px=0.0,
            channel_names=self.info.channel_names,
            workdir=None if workdir is None else Path(workdir),
            provenance=provenance_of(self.bundle) | {"evaluated": list(evaluated.as_tuple())},
            recipe=Recipe(self, call),
            progress=progress,
        )

    def _render(
        self, spec: CanvasSpec, batch: ConditionBatch, table: list[Step], evaluated: Shape, progress: Progress | None
    ) -> NDArray[np.float32]:
        done = 0

        def told() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, len(table))

        with one_torch_thread():  # the same bytes on any number of cores
            values = self.sampler.sample(
                spec.shape,
                [spec.seed],
                batch,
                table,
                spec.guidance_scale,
                evaluated=evaluated,
                extent_yx=self._extent(spec.lattice),
                told=told,
            )
        return np.asarray(values[0].numpy(), np.float32)

    def _table(self, spec: CanvasSpec) -> list[Step]:
        schedule = self.sampler.process.config.schedule
        if spec.scheduler != EULER:
            return step_table(make_scheduler(spec.scheduler, schedule), spec.steps, spec.eta)
        if schedule != VP_SDE:
            raise ConfigError(
                f"scheduler='euler' is for models of the schedule {VP_SDE!r}, not {schedule!r}; use 'ddim'"
            )
        return reverse_table(TraceClassSDE(), spec.steps, 1.0 - spec.eta)

    def _window_size(self, spacing: float) -> tuple[int, int]:
        side = max(1, round(self.info.window * self.info.spacing[0] / spacing)) if spacing > 0 else 1
        return side, side

    def _extent(self, lattice: Lattice) -> Pair:
        """Sides of a canvas (y, x) in training windows; exactly 1 where rounding is all that differs."""
        window = self.info.window * self.info.spacing[0]
        sides = (lattice.shape.h * lattice.spacing.y / window, lattice.shape.w * lattice.spacing.x / window)
        return (1.0, 1.0) if all(abs(side - 1) < EXTENT_TOLERANCE for side in sides) else sides

    def _evaluated(self, lattice: Lattice, detail: str) -> Shape:
        """The lattice that the network works on.

        Raises:
            ConfigError: for an unknown choice.
            RegionError: if the network cannot render this canvas.
        """
        if detail not in get_args(Detail):
            raise ConfigError(f"detail must be {', '.join(map(repr, get_args(Detail)))}, not {detail!r}")
        fno, extent = self.denoiser.config.kind == "fno", self._extent(lattice)
        window = self.info.window
        if fno and extent != (1.0, 1.0):
            side = round(window * self.info.spacing[0] / lattice.spacing.x)
            raise RegionError(
                f"an FNO renders the extent of its training window and nothing else: at this pixel size "
                f"size=({side}, {side}), not ({lattice.shape.w}, {lattice.shape.h}); a 'cno' or 'unet' may be larger"
            )
        shape = lattice.shape
        if detail == "training" or (detail == "auto" and not fno):
            shape = Shape(*(round(window * side) for side in extent))
        if max(shape.count, lattice.shape.count) > LARGEST:
            raise RegionError(
                f"a canvas of {lattice.shape.w} x {lattice.shape.h} pixels, computed on {shape.w} x {shape.h}, is more "
                f"than the {LARGEST} pixels that are rendered in one piece; ask for a smaller one"
            )
        if min(shape.as_tuple()) < SMALLEST_SIDE:
            raise RegionError(
                f"the network would work on {shape.w} x {shape.h} pixels, and needs {SMALLEST_SIDE} a side: "
                "ask for a larger canvas"
            )
        return shape
