"""The ∞-Brush pipeline: from a condition, a size and a seed to a canvas."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import DEFAULT_HALO, CanvasSpec
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.encoders.record import EncoderRecord, check_same_encoder
from infbrush_wsi.conditioning.layout import EmbeddingGrid, Layout
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Lattice
from infbrush_wsi.errors import CheckpointError, ConditionError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.pipelines.call import (
    condition_of,
    known_classes,
    lattice_of,
    process_of,
    provenance_of,
    spacing_of,
    whole,
)
from infbrush_wsi.pipelines.engines import Engines
from infbrush_wsi.pipelines.recipe import Recipe

DEFAULT_TILE = 256
"""Larger tiles are slower on CPUs: their activations leave the caches."""
LAZY_TILE = 96
"""Smaller ones spend more on their halo, larger ones on what lies outside of the window that was asked for."""


class InfBrushPipeline:
    """Generates images with a trained ∞-Brush model.

    Args:
        bundle: the model.
        device: where the network runs.

    Raises:
        CheckpointError: if the model's record does not fit its network.
    """

    def __init__(self, bundle: ModelBundle, device: str | torch.device = "cpu") -> None:
        self.bundle = bundle
        self.info = bundle.info
        self.denoiser: InfBrushDenoiser = bundle.denoiser.to(device).eval()
        self.process = process_of(self.info)
        _check_agreement(self.info, self.denoiser)

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str | torch.device | None = None) -> InfBrushPipeline:
        """Load a model directory, as `infbrush train --out` writes it.

        Args:
            directory: with infbrush.json and denoiser/, or the name of a model that comes with the package
                (`models.shipped.shipped_models`).
            device: None: the first CUDA device if there is one, else the CPU.

        Raises:
            CheckpointError: if it is not a complete, undamaged model directory.
        """
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(ModelBundle.load(directory, {"denoiser": InfBrushDenoiser}), chosen)

    def save_pretrained(self, directory: str | Path, *, half: bool = False) -> None:
        """Write the model to a directory, with `half` as float16, see `ModelBundle.save`."""
        ModelBundle.save(Path(directory), {"denoiser": self.denoiser}, self.info, half=half)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that `condition` may be."""
        return self.info.classes

    @property
    def encoder(self) -> EncoderRecord | None:
        """The encoder whose embeddings `condition` may be, if the model was trained on embeddings.

        Raises:
            ConditionError: if the model's record of it is damaged.
        """
        record = self.info.training.get("encoder")
        return None if record is None else EncoderRecord.from_dict(record)

    def check_encoder(self, given: EncoderRecord) -> None:
        """Refuse another encoder than the one that the model was trained with.

        Args:
            given: ``record`` of an encoder, or ``settings.encoder`` of a store of embeddings.

        Raises:
            ConditionError: naming what differs, or if the model was trained without an encoder.
        """
        if self.encoder is None:
            raise ConditionError(
                "this model was not trained on the embeddings of an encoder; " + known_classes(self.info)
            )
        check_same_encoder(self.encoder, given)

    def __call__(
        self,
        condition: str | ArrayLike | Layout | None = None,
        size: tuple[int, int] = (1024, 1024),
        mpp: float | None = None,
        seed: int = 0,
        num_inference_steps: int = 20,
        guidance_scale: float = 1.0,
        *,
        resolution: float | None = None,
        scheduler: str = "dpmsolver++",
        eta: float = 0.0,
        origin: tuple[float, float] | None = None,
        crs: str | None = None,
        tile: int | None = None,
        workdir: str | Path | None = None,
        precision: str = "float32",
        engine: str = "lazy",
        halo: int | Literal["exact"] = DEFAULT_HALO,
        frame: int | None = None,
        coarse: bool = True,
        plan_density: float | None = None,
        limits: CacheLimits | None = None,
        progress: Progress | None = None,
    ) -> Canvas:
        """Describe an image; nothing is computed before it is read.

        Args:
            condition: name of a class, an embedding (D,) or (M, D), None, or a layout that says which of these is
                where (`conditioning.layout`).
            size: (width, height) of level 0 in pixels.
            mpp: micrometres per pixel; None: the model's own pixel size.
            seed: of the noise field, in [0, 2**63).
            num_inference_steps: network evaluations.
            guidance_scale: classifier-free guidance; 1: none (and half the cost).
            resolution: pixel size in the unit of the CRS, for models of rasters, instead of `mpp`.
            scheduler: 'dpmsolver++' or 'ddim'.
            eta: DDIM's share of fresh noise.
            origin: (x, y) of the top left corner in CRS units, for a georeferenced raster (north up).
            crs: CRS of the result; None: the model's if `origin` is given, else none (an image without a place).
            tile: side of the tiles that are evaluated at a time; None: what suits the engine.
            workdir: folder for scratch files; None: the system's temporary folder.
            precision: 'float32' or 'bfloat16' (the network only).
            engine: 'lazy': a plan, and from it any tile when it is read; 'sweep': the whole canvas from the plan at the
                first read, with exact halos; 'joint': the whole canvas with exact global sums in place of a plan.
            halo: training pixels rendered around a tile of the lazy engine, or 'exact': as many as it takes for
                tiles to be equal to the whole.
            frame: side in training pixels of the frames in which a canvas beyond the model's extent is planned; None:
                the training window, at least 256, and one frame for canvases up to 1536².
            coarse: guide such a canvas by a coarser one.
            plan_density: points of the plan per training pixel; None: as in training; 1: all pixels, which leaves no
                error from planning on a part of them.
            limits: of the memory and disk for computed tiles.
            progress: called with (parts done, parts in all) while rendering.

        Raises:
            ConditionError: for a condition that the model does not know.
            RegionError: for a size or pixel size that cannot be rendered.
            ConfigError: for a wrong sampler setting.
        """
        call = {
            "condition": condition, "size": size, "mpp": mpp, "seed": seed, "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale, "resolution": resolution, "scheduler": scheduler, "eta": eta,
            "origin": origin, "crs": crs, "tile": tile, "precision": precision, "engine": engine, "halo": halo,
            "frame": frame, "coarse": coarse, "plan_density": plan_density, "limits": limits,
        }  # fmt: skip
        lattice = lattice_of(self.info, size, spacing_of(self.info, mpp, resolution), origin, crs)
        base, ratio = self._ratio(lattice)
        layout = condition if isinstance(condition, Layout) else None
        batch, name = self._condition(condition) if layout is None else (self._conditions(layout), None)
        spec = CanvasSpec(
            lattice=lattice,
            ratio=ratio,
            log_magnification=math.log2(base / min(self.info.spacing)),
            seed=whole("seed", seed),
            condition=name,
            steps=whole("num_inference_steps", num_inference_steps),
            scheduler=scheduler,
            guidance_scale=float(guidance_scale),
            eta=float(eta),
            tile=whole("tile", (LAZY_TILE if engine == "lazy" else DEFAULT_TILE) if tile is None else tile),
            weights_sha256=self.bundle.weights_sha256,
            precision=precision,
            engine=engine,
            halo=None if halo == "exact" else whole("halo", halo),
            frame=None if frame is None else whole("frame", frame),
            coarse=bool(coarse),
            layout="" if layout is None else layout.token,
            plan_density=plan_density,
        )
        spec.check_resolution(self.denoiser.config.grid_pitch)
        step_table(make_scheduler(scheduler, self.process.config.schedule), spec.steps, spec.eta)
        return Canvas(
            spec,
            Engines(self.denoiser, self.process, self.info).reader(spec, batch, layout, base, limits),
            sigma_px=self.info.sigma * ratio,
            channel_names=self.info.channel_names,
            workdir=None if workdir is None else Path(workdir),
            provenance=provenance_of(self.bundle),
            layout=layout,
            recipe=Recipe(self, call),
            progress=progress,
        )

    def _ratio(self, lattice: Lattice) -> tuple[float, float]:
        """The trained pixel size nearest to the canvas's, and how many canvas pixels make one of those."""
        spacing = lattice.spacing.x
        base = min(self.info.spacing, key=lambda trained: abs(math.log(trained / spacing)))
        ratio = base / spacing
        return base, 1.0 if abs(ratio - 1) < 1e-3 else ratio

    def _condition(self, condition: Any) -> tuple[ConditionBatch, Any]:
        return condition_of(self.info, self.denoiser.config.embedding_dim, condition)

    def _conditions(self, layout: Layout) -> ConditionBatch:
        """One row for each condition of a layout."""
        if isinstance(layout, EmbeddingGrid):
            width, found = self.denoiser.config.embedding_dim, layout.conditions.array
            if found.shape[1] != width:
                raise ConditionError(f"the grid's embeddings have {found.shape[1]} values, the model takes {width}")
            rows = torch.from_numpy(np.array(found, np.float32))[:, None]
            return ConditionBatch(torch.zeros(len(rows), dtype=torch.bool), embeddings=rows)
        return ConditionBatch.joined([self._condition(condition)[0] for condition in layout.conditions])


def _check_agreement(info: ModelInfo, denoiser: InfBrushDenoiser) -> None:
    """Refuse a record and a network that were not written together."""
    bands, classes = len(info.channel_names), len(info.classes)
    if (bands, classes) != (denoiser.config.channels, len(denoiser.config.classes)):
        raise CheckpointError(
            f"the model's record names {bands} bands and {classes} classes, its network has "
            f"{denoiser.config.channels} and {len(denoiser.config.classes)}: copy the model again"
        )
