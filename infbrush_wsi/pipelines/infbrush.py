"""The ∞-Brush pipeline: from a condition, a size and a seed to a canvas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from numpy.typing import ArrayLike

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import DEFAULT_HALO
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.encoders.record import EncoderRecord, check_same_encoder
from infbrush_wsi.conditioning.layout import EmbeddingGrid, Layout
from infbrush_wsi.errors import ConditionError
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.pipelines.base import DenoiserPipeline
from infbrush_wsi.pipelines.call import condition_of, known_classes
from infbrush_wsi.pipelines.vectors import grid_batch


class InfBrushPipeline(DenoiserPipeline):
    """Generates images with a trained ∞-Brush model.

    Args:
        bundle: the model.
        device: where the network runs.

    Raises:
        CheckpointError: if the model's record does not fit its network.
    """

    system = "infbrush"
    networks: ClassVar[Mapping[str, Any]] = {"denoiser": InfBrushDenoiser}

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
            "workdir": workdir, "progress": progress,
        }  # fmt: skip
        layout = condition if isinstance(condition, Layout) else None
        if layout is None:
            batch, name = condition_of(self.info, self.denoiser.config.embedding_dim, condition)
        else:
            batch, name = self._conditions(layout), None
        return self._canvas(call, batch, name, layout)

    def condition_batch(self, condition: Any) -> ConditionBatch:
        """A class, an embedding (D,) or (M, D), or None, as a batch of one.

        Raises:
            ConditionError: if the model does not know it.
        """
        return condition_of(self.info, self.denoiser.config.embedding_dim, condition)[0]

    def _conditions(self, layout: Layout) -> ConditionBatch:
        """One row for each condition of a layout."""
        if isinstance(layout, EmbeddingGrid):
            return grid_batch(layout, self.denoiser.config.embedding_dim, "embeddings")
        width = self.denoiser.config.embedding_dim
        return ConditionBatch.joined([condition_of(self.info, width, given)[0] for given in layout.conditions])
