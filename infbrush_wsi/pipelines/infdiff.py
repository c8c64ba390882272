"""The ∞-Diff pipeline: from a latent (sampled, given, of a region) to a canvas, and from a region to its latent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.spec import whole_pair
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.layout import EmbeddingGrid, Layout
from infbrush_wsi.diffusion.latent import sample_latents
from infbrush_wsi.diffusion.process import TRAIN_TIMESTEPS
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import BandMismatchError, ConditionError, ConfigError, RegionError
from infbrush_wsi.models.infdiff import InfDiffEncoder, LatentDenoiser
from infbrush_wsi.models.infdiff.networks import NETWORKS, OPTIONAL
from infbrush_wsi.pipelines.base import DEFAULTS, DenoiserPipeline, Rendering
from infbrush_wsi.pipelines.call import whole
from infbrush_wsi.pipelines.encoding import encode_region
from infbrush_wsi.pipelines.vectors import finite_rows, grid_batch
from infbrush_wsi.sources import open_source
from infbrush_wsi.sources.base import Source


class InfDiffPipeline(DenoiserPipeline):
    """Generates images with a trained ∞-Diff model: unconditional, or of a latent z.

    Args:
        bundle: the model.
        device: where the networks run.

    Raises:
        CheckpointError: if the model's record does not fit its networks.
    """

    system = "infdiff"
    networks: ClassVar[Mapping[str, Any]] = NETWORKS
    optional = OPTIONAL

    @property
    def latent_dim(self) -> int:
        """Width of z; 0 for the unconditional model."""
        return int(self.denoiser.config.latent_dim)

    def __call__(
        self,
        z: ArrayLike | Source | str | Path | Layout | None = None,
        size: tuple[int, int] = (1024, 1024),
        mpp: float | None = None,
        seed: int = 0,
        num_inference_steps: int = 20,
        guidance_scale: float = 1.0,
        *,
        latent_steps: int = TRAIN_TIMESTEPS,
        **rendering: Unpack[Rendering],
    ) -> Canvas:
        """Describe an image; nothing but z is computed before it is read.

        Args:
            z: a latent (D,); an image, or the path of one, that is encoded whole; a layout of latents
                (`conditioning.layout.EmbeddingGrid`); None: sampled by `seed` from the latent diffusion, and without
                one no condition at all.
            size: (width, height) of level 0 in pixels.
            mpp: micrometres per pixel; None: the model's own pixel size.
            seed: of the noise field, and of z where it is sampled; in [0, 2**63).
            num_inference_steps: network evaluations.
            guidance_scale: guidance away from the image without a latent; 1: none (and half the cost).
            latent_steps: network evaluations when z is sampled; published: 1000.
            **rendering: as in `InfBrushPipeline.__call__`.

        Raises:
            ConditionError: for a latent that the model cannot take.
            RegionError: for a size or pixel size that cannot be rendered.
            ConfigError: for a wrong setting.
        """
        if unknown := sorted(set(rendering) - set(DEFAULTS)):
            raise ConfigError(f"a pipeline takes no {', '.join(unknown)}; it takes {', '.join(DEFAULTS)}")
        layout = z if isinstance(z, Layout) else None
        if layout is not None:
            batch, name = self._layout_batch(layout), None
        else:
            batch, name = self._batch(self._latent(z, whole("seed", seed), latent_steps))
        call = {
            **DEFAULTS, **rendering, "z": name if layout is None else layout, "size": size, "mpp": mpp, "seed": seed,
            "num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale,
        }  # fmt: skip
        if name is None and layout is None:
            call["guidance_scale"] = 1.0  # there is nothing to guide to, and it would only cost
        return self._canvas(call, batch, name, layout)

    def encode(
        self,
        image: Source | str | Path,
        location: tuple[int, int] = (0, 0),
        size: tuple[int, int] | None = None,
        mpp: float | None = None,
    ) -> NDArray[np.float32]:
        """The latent of a region of a real image.

        The encoder was trained on windows of ``info.window`` pixels; larger regions are averaged over.

        Args:
            image: a source, or the path of one.
            location: (x, y) of the region's top left corner in level-0 pixels of the image.
            size: (width, height) of the region in level-0 pixels; None: to the image's end.
            mpp: micrometres per pixel of an image that does not say it.

        Returns:
            (D,) float32, a `z` of this pipeline; `conditioning.encoders.interpolate` goes from one to another.

        Raises:
            ConditionError: if the model has no encoder.
            BandMismatchError: if the image has other bands or another unit than the model.
            RegionError: if the region is empty or reaches outside.
            SourceError: if the image cannot be read.
        """
        encoder: InfDiffEncoder | None = self.bundle.networks.get("encoder")
        if encoder is None:
            raise ConditionError("this model is unconditional: it has no encoder")
        source = image if isinstance(image, Source) else open_source(str(image), mpp=mpp)
        self._check_source(source)
        view = source.at(self.info.spacing[0])
        region = _region(source, whole_pair(location, "location"), size, self.info.spacing[0])
        if region.empty or region.clip(view.shape) != region:
            h, w = source.level_shapes[0]
            raise RegionError(
                f"the region at {location} of size {size} is empty at the model's pixel size or reaches outside "
                f"{source.path}, which has {w} x {h} pixels"
            )
        return encode_region(encoder, view, region, self.info.sigma).numpy()

    def sample_latent(self, seed: int, steps: int = TRAIN_TIMESTEPS) -> NDArray[np.float32]:
        """A latent (D,) of the latent diffusion; each seed has its own.

        Raises:
            ConditionError: if the model has no latent diffusion.
        """
        network: LatentDenoiser | None = self.bundle.networks.get("latent")
        if network is None:
            raise ConditionError(
                "this model has no latent diffusion: train it with the system infdiff-latent, or give z"
            )
        return sample_latents(network, [whole("seed", seed)], whole("latent_steps", steps))[0].numpy()

    def condition_batch(self, condition: Any) -> ConditionBatch:
        """A latent (D,), an image or the path of one that is encoded whole, or None: no latent; as a batch of one.

        Raises:
            ConditionError: if the model cannot take it.
        """
        if condition is None:
            return ConditionBatch.none(1)
        if isinstance(condition, str) and not Path(condition).exists():
            raise ConditionError(f"an ∞-Diff model has no classes, and {condition!r} is no image whose latent it takes")
        return self._batch(self._latent(condition, 0, TRAIN_TIMESTEPS))[0]

    def _latent(self, z: Any, seed: int, steps: int) -> NDArray[np.float32] | None:
        if z is None:
            return self.sample_latent(seed, steps) if "latent" in self.bundle.networks else None
        if not self.latent_dim:
            raise ConditionError("this model is unconditional: it takes no latent; leave z out")
        if isinstance(z, Source | str | Path):
            return self.encode(z)
        rows = finite_rows(z, self.latent_dim, "a latent")
        if len(rows) != 1:
            raise ConditionError(f"an image has one latent ({self.latent_dim},), not {len(rows)}")
        row: NDArray[np.float32] = rows[0]
        return row

    def _batch(self, latent: NDArray[np.float32] | None) -> tuple[ConditionBatch, Any]:
        if latent is None:
            return ConditionBatch.none(1), None
        batch = ConditionBatch(torch.zeros(1, dtype=torch.bool), embeddings=torch.from_numpy(latent)[None, None])
        return batch, (tuple(latent.tolist()),)

    def _layout_batch(self, layout: Layout) -> ConditionBatch:
        if not isinstance(layout, EmbeddingGrid) or not self.latent_dim:
            raise ConditionError("an ∞-Diff model takes layouts of latents only (conditioning.layout.EmbeddingGrid)")
        return grid_batch(layout, self.latent_dim, "latents")

    def _check_source(self, source: Source) -> None:
        bands, unit = len(self.info.channel_names), self.info.unit
        if source.channels != bands or source.lattice.unit not in (unit, "pixel"):
            raise BandMismatchError(
                f"{source.path} has {source.channels} bands in {source.lattice.unit}, the model was trained on {bands} "
                f"in {unit}; choose bands or another image"
            )


def _region(source: Source, location: tuple[int, int], size: tuple[int, int] | None, spacing: float) -> Box:
    """In pixels of the view at `spacing`."""
    own, shape = source.lattice.spacing, source.at(spacing).shape
    x0, y0 = round(location[0] * own.x / spacing), round(location[1] * own.y / spacing)
    if size is None:
        return Box(x0, y0, shape.w - x0, shape.h - y0)
    w, h = whole_pair(size, "size")
    w, h = round(w * own.x / spacing), round(h * own.y / spacing)
    # A view's size is rounded too, so that a region up to the image's edge may be one pixel more.
    w, h = (n - 1 if start + n == end + 1 else n for start, n, end in ((x0, w, shape.w), (y0, h, shape.h)))
    return Box(x0, y0, w, h)
