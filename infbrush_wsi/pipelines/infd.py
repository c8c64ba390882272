"""The pipeline of Image Neural Field Diffusion: from a condition, a size and a seed to a canvas with one latent."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.field_reader import FieldReader
from infbrush_wsi.canvas.field_spec import FieldSpec
from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import FINEST_RATIO
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.latent_field import Adjust, sample_latent
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, CheckpointError, ConfigError, RegionError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infd import FieldAutoencoder, LatentDenoiser
from infbrush_wsi.operators.one_thread import one_torch_thread
from infbrush_wsi.pipelines.call import condition_of, lattice_of, process_of, provenance_of, spacing_of, whole
from infbrush_wsi.pipelines.recipe import Recipe

SYSTEM = "infd"
DEFAULT_TILE = 256
LARGEST = 4
"""Sides of a canvas in training windows: one latent says all of an image, and its network attends to all of it."""
NETWORKS = {"autoencoder": FieldAutoencoder, "denoiser": LatentDenoiser}


class InfdPipeline:
    """Generates images, and encodes real ones, with a trained model of Image Neural Field Diffusion.

    Args:
        bundle: the model; without a denoiser (after the first stage of training) it renders given latents only.
        device: where the networks run.

    Raises:
        CheckpointError: if the model is of another system, or its record does not fit its networks.
    """

    def __init__(self, bundle: ModelBundle, device: str | torch.device = "cpu") -> None:
        self.bundle, self.info = bundle, bundle.info
        if self.info.system != SYSTEM:
            raise CheckpointError(f"this is a model of {self.info.system}, not of {SYSTEM}; use that system's pipeline")
        self.autoencoder: FieldAutoencoder = bundle.networks["autoencoder"].to(device).eval()
        found = bundle.networks.get("denoiser")
        self.denoiser: LatentDenoiser | None = None if found is None else found.to(device).eval()
        self.process = None if found is None else process_of(self.info)
        self._check_agreement()

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str | torch.device | None = None) -> InfdPipeline:
        """Load a model directory, as `infbrush train --out` writes it.

        Args:
            directory: with infbrush.json, autoencoder/ and, after the second stage, denoiser/.
            device: None: the first CUDA device if there is one, else the CPU.

        Raises:
            CheckpointError: if it is not a complete, undamaged model directory.
        """
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(ModelBundle.load(directory, NETWORKS, optional=("denoiser",)), chosen)

    def save_pretrained(self, directory: str | Path, *, half: bool = False) -> None:
        """Write the model to a directory, with `half` as float16, see `ModelBundle.save`."""
        ModelBundle.save(Path(directory), self.bundle.networks, self.info, half=half)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that `condition` may be."""
        return self.info.classes

    def __call__(
        self,
        condition: str | ArrayLike | None = None,
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
        tile: int = DEFAULT_TILE,
        workdir: str | Path | None = None,
        latent: NDArray[np.float32] | None = None,
        constraints: tuple[str, ...] = (),
        limits: CacheLimits | None = None,
        progress: Progress | None = None,
    ) -> Canvas:
        """Describe an image; nothing is computed before it is read.

        A canvas has one latent, so its sides are at most `LARGEST` training windows. A smaller one than the window
        shows the top left part of an image of the window's size.

        Args:
            condition: name of a class, an embedding (D,) or (M, D), or None.
            size: (width, height) of level 0 in pixels.
            mpp: micrometres per pixel; None: the finest pixel size of training.
            seed: of the latent's noise, in [0, 2**63).
            num_inference_steps: network evaluations.
            guidance_scale: classifier-free guidance; 1: none (and half the cost).
            resolution: pixel size in the unit of the CRS, for models of rasters, instead of `mpp`.
            scheduler: 'dpmsolver++' or 'ddim' (published, with eta=1 and 200 steps).
            eta: DDIM's share of fresh noise.
            origin: (x, y) of the top left corner in CRS units, for a georeferenced raster (north up).
            crs: CRS of the result; None: the model's if `origin` is given, else none.
            tile: side of the tiles that are rendered at a time.
            workdir: folder for scratch files; None: the system's temporary folder.
            latent: (c, h, w) to render in place of a sampled one, from `encode` or another canvas's `latent_of`.
            constraints: what that latent was held to, for the record.
            limits: of the memory and disk for rendered tiles.
            progress: called with (steps done, steps in all) while sampling.

        Raises:
            ConditionError: for a condition that the model does not know.
            RegionError: for a size or pixel size that cannot be rendered.
            ConfigError: for a wrong sampler setting, or a latent that does not fit.
        """
        call = {
            "condition": condition, "size": size, "mpp": mpp, "seed": seed, "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale, "resolution": resolution, "scheduler": scheduler, "eta": eta,
            "origin": origin, "crs": crs, "tile": tile, "latent": latent, "constraints": constraints, "limits": limits,
        }  # fmt: skip
        lattice = lattice_of(self.info, size, spacing_of(self.info, mpp, resolution), origin, crs)
        width = 0 if self.denoiser is None else self.denoiser.config.embedding_dim
        batch, name = condition_of(self.info, width, condition)
        given = None if latent is None else self._given(latent)
        shape = self.latent_shape(lattice) if given is None else Shape(*given.shape[-2:])
        spec = FieldSpec(
            lattice=lattice,
            cell=lattice.spacing.x / max(self.info.spacing),
            latent_shape=shape,
            seed=whole("seed", seed),
            condition=name,
            steps=whole("num_inference_steps", num_inference_steps),
            scheduler=scheduler,
            guidance_scale=float(guidance_scale),
            eta=float(eta),
            tile=whole("tile", tile),
            weights_sha256=self.bundle.weights_sha256,
            latent_sha256="" if given is None else hashlib.sha256(given.numpy().tobytes()).hexdigest(),
            constraints=tuple(constraints),
        )
        self._check_size(spec)
        make = partial(self.sample, spec, batch, None) if given is None else lambda told: given
        return Canvas(
            spec,
            partial(FieldReader, spec, self.autoencoder, make, limits=limits),
            sigma_px=0.0,
            channel_names=self.info.channel_names,
            workdir=None if workdir is None else Path(workdir),
            provenance=provenance_of(self.bundle),
            recipe=Recipe(self, call),
            progress=progress,
        )

    def sample(
        self, spec: FieldSpec, batch: ConditionBatch, adjust: Adjust | None, progress: Progress | None = None
    ) -> Tensor:
        """The latent (1, c, h, w) of a specification, on the CPU.

        Args:
            spec: the generation.
            batch: its condition.
            adjust: see `diffusion.latent_field`.
            progress: called with (steps done, steps in all).

        Raises:
            CheckpointError: if the model has no denoiser.
        """
        if self.denoiser is None or self.process is None:
            raise CheckpointError(
                "this model has an autoencoder and no denoiser: train its second stage (--system infd-latent), or give "
                "a latent to render"
            )
        with one_torch_thread():
            return sample_latent(
                self.denoiser,
                self.process,
                spec.latent_shape,
                spec.seed,
                batch,
                self._table(spec),
                spec.guidance_scale,
                adjust,
                progress,
            ).cpu()

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The latent of a real image, float32 (c, h, w), to be rendered by a call with `latent`.

        Args:
            pixels: uint8 (H, W, C) at the coarsest pixel size of training; sides multiples of the autoencoder's
                downsampling.

        Raises:
            BandMismatchError: if it has other bands than the model, or another type.
            RegionError: if its sides do not fit.
        """
        bands, factor = self.autoencoder.channels, self.autoencoder.downsampling
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != bands:
            raise BandMismatchError(f"encode takes uint8 (h, w, {bands}), not {pixels.dtype} {pixels.shape}")
        if not pixels.size or pixels.shape[0] % factor or pixels.shape[1] % factor:
            raise RegionError(f"sides of an image to encode must be multiples of {factor}, not {pixels.shape[:2]}")
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()[None] / 127.5 - 1
        with torch.inference_mode(), one_torch_thread():
            return self.autoencoder.encode(image.to(self.autoencoder.device))[0].float().cpu().numpy()

    def latent_of(self, canvas: Canvas) -> NDArray[np.float32]:
        """The latent of a canvas of this pipeline, float32 (c, h, w); it is sampled if it is not there.

        Raises:
            ConfigError: for a canvas of another system.
        """
        if not isinstance(canvas.reader, FieldReader):
            raise ConfigError("this canvas has no latent: it was made by another system")
        return canvas.reader.latent()[0].numpy()

    def latent_shape(self, lattice: Lattice) -> Shape:
        """Cells of the latent that covers a canvas: at least the trained window, whole cells of the U-Net."""
        factor, least = self.autoencoder.downsampling, self.info.window // self.autoencoder.downsampling
        multiple = 1 if self.denoiser is None else self.denoiser.multiple
        cell = lattice.spacing.x / max(self.info.spacing)

        def count(pixels: int) -> int:
            return multiple * math.ceil(max(least, math.ceil(pixels * cell / factor - 1e-6)) / multiple)

        return Shape(count(lattice.shape.h), count(lattice.shape.w))

    def _table(self, spec: FieldSpec) -> Any:
        assert self.process is not None  # noqa: S101
        return step_table(make_scheduler(spec.scheduler, self.process.config.schedule), spec.steps, spec.eta)

    def _check_size(self, spec: FieldSpec) -> None:
        finest, coarsest = min(self.info.spacing) / FINEST_RATIO, max(self.info.spacing)
        spacing = spec.lattice.spacing.x
        if not finest * (1 - 1e-6) <= spacing <= coarsest * (1 + 1e-6):
            raise RegionError(
                f"a pixel of this canvas is {spacing:.4g} {self.info.unit}; the model renders {finest:.4g} to "
                f"{coarsest:.4g}: choose another mpp and resample the result"
            )
        factor = self.autoencoder.downsampling
        most = LARGEST * self.info.window
        sides = [spec.cell * side for side in spec.shape.as_tuple()]
        covered = [factor * cells for cells in spec.latent_shape.as_tuple()]
        if spec.latent_sha256 and any(side > have + 1e-6 for side, have in zip(sides, covered, strict=True)):
            raise RegionError(
                f"the latent covers {covered[1]} x {covered[0]} features, the canvas asks for {sides[1]:.4g} x "
                f"{sides[0]:.4g}; ask for a smaller size"
            )
        if not spec.latent_sha256 and max(sides) > most:
            raise RegionError(
                f"a canvas of INFD has one latent and is at most {LARGEST} training windows "
                f"({most * coarsest:.4g} {self.info.unit}) wide and high, not "
                f"{max(sides) * coarsest:.4g}; ask for a smaller size or finer pixels, or use ∞-Brush for larger images"
            )
        if self.process is not None:
            self._table(spec)

    def _given(self, latent: NDArray[np.float32]) -> Tensor:
        found = np.asarray(latent, np.float32)
        if found.ndim != 3 or found.shape[0] != self.autoencoder.latent_channels or not np.isfinite(found).all():
            raise ConfigError(
                f"a latent must be finite with shape ({self.autoencoder.latent_channels}, h, w), not {found.shape}"
            )
        return torch.from_numpy(found.copy())[None]

    def _check_agreement(self) -> None:
        """Refuse a record and networks that were not written together."""
        info, autoencoder, denoiser = self.info, self.autoencoder, self.denoiser
        fits = len(info.channel_names) == autoencoder.channels
        if denoiser is not None:
            fits &= int(denoiser.config.channels) == autoencoder.latent_channels
            fits &= len(info.classes) == len(denoiser.config.classes)
        if not fits:
            raise CheckpointError("the model's record and its networks do not fit each other: copy the model again")
