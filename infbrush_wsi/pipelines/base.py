"""What pipelines share whose images a denoiser renders from a plan: the model, the lattice, and the way to a canvas."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypedDict

import torch

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.spec import DEFAULT_HALO, CanvasSpec
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.layout import Layout
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Lattice
from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.models.bundle import ModelBundle, read_info
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.pipelines.call import lattice_of, process_of, provenance_of, spacing_of, whole
from infbrush_wsi.pipelines.engines import Engines
from infbrush_wsi.pipelines.recipe import Recipe

DEFAULT_TILE = 256
"""Larger tiles are slower on CPUs: their activations leave the caches."""
LAZY_TILE = 96
"""Smaller ones spend more on their halo, larger ones on what lies outside of the window that was asked for."""


class Rendering(TypedDict, total=False):
    """How an image is rendered, whatever it shows; see `InfBrushPipeline.__call__` for each."""

    resolution: float | None
    scheduler: str
    eta: float
    origin: tuple[float, float] | None
    crs: str | None
    tile: int | None
    workdir: str | Path | None
    precision: str
    engine: str
    halo: int | Literal["exact"]
    frame: int | None
    coarse: bool
    plan_density: float | None
    limits: CacheLimits | None
    progress: Progress | None


DEFAULTS = Rendering(
    resolution=None, scheduler="dpmsolver++", eta=0.0, origin=None, crs=None, tile=None, workdir=None,
    precision="float32", engine="lazy", halo=DEFAULT_HALO, frame=None, coarse=True, plan_density=None, limits=None,
    progress=None,
)  # fmt: skip


class DenoiserPipeline(ABC):
    """A trained model that makes canvases.

    Args:
        bundle: the model.
        device: where its networks run.

    Raises:
        CheckpointError: if the model is of another system, or its record does not fit its network.
    """

    system: ClassVar[str]
    networks: ClassVar[Mapping[str, Any]]
    optional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, bundle: ModelBundle, device: str | torch.device = "cpu") -> None:
        _check_system(bundle.info, type(self))
        self.bundle = bundle
        self.info = bundle.info
        for network in bundle.networks.values():
            network.to(device).eval()
        self.denoiser: InfBrushDenoiser = bundle.denoiser
        self.process = process_of(self.info)
        _check_agreement(self.info, self.denoiser)

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str | torch.device | None = None) -> Self:
        """Load a model directory, as `infbrush train --out` writes it.

        Args:
            directory: with infbrush.json and a folder for each network, or the name of a model that comes with the
                package (`models.shipped.shipped_models`).
            device: None: the first CUDA device if there is one, else the CPU.

        Raises:
            CheckpointError: if it is not a complete, undamaged model directory of this system.
        """
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        _check_system(read_info(directory), cls)
        return cls(ModelBundle.load(directory, cls.networks, optional=cls.optional), chosen)

    def save_pretrained(self, directory: str | Path, *, half: bool = False) -> None:
        """Write the model to a directory, with `half` as float16, see `ModelBundle.save`."""
        ModelBundle.save(Path(directory), self.bundle.networks, self.info, half=half)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that a condition may be."""
        return self.info.classes

    @abstractmethod
    def condition_batch(self, condition: Any) -> ConditionBatch:
        """One condition of an image, as the system takes it, as a batch of one.

        Raises:
            ConditionError: if the model does not know it.
        """

    def _canvas(self, call: dict[str, Any], batch: ConditionBatch, name: Any, layout: Layout | None) -> Canvas:
        """The canvas of a call.

        Args:
            call: its arguments, from which another process would make the same canvas.
            batch: a row for each condition of the layout, or one.
            name: of the condition, for the specification.
            layout: which condition is where; None: one everywhere.
        """
        spacing = spacing_of(self.info, call["mpp"], call["resolution"])
        lattice = lattice_of(self.info, call["size"], spacing, call["origin"], call["crs"])
        base, ratio = self.trained_spacing(lattice)
        spec = self._spec(call, lattice, base, ratio, name, layout)
        spec.check_resolution(self.denoiser.config.grid_pitch)
        step_table(make_scheduler(spec.scheduler, self.process.config.schedule), spec.steps, spec.eta)
        here = ("workdir", "progress")
        return Canvas(
            spec,
            Engines(self.denoiser, self.process, self.info).reader(spec, batch, layout, base, call["limits"]),
            sigma_px=self.info.sigma * ratio,
            channel_names=self.info.channel_names,
            workdir=None if call["workdir"] is None else Path(call["workdir"]),
            provenance=provenance_of(self.bundle),
            layout=layout,
            recipe=Recipe(self, {key: value for key, value in call.items() if key not in here}),
            progress=call["progress"],
        )

    def _spec(
        self, call: dict[str, Any], lattice: Lattice, base: float, ratio: float, name: Any, layout: Layout | None
    ) -> CanvasSpec:
        tile, halo, frame = call["tile"], call["halo"], call["frame"]
        usual = LAZY_TILE if call["engine"] == "lazy" else DEFAULT_TILE
        return CanvasSpec(
            lattice=lattice,
            ratio=ratio,
            log_magnification=math.log2(base / min(self.info.spacing)),
            seed=whole("seed", call["seed"]),
            condition=name,
            steps=whole("num_inference_steps", call["num_inference_steps"]),
            scheduler=call["scheduler"],
            guidance_scale=float(call["guidance_scale"]),
            eta=float(call["eta"]),
            tile=whole("tile", usual if tile is None else tile),
            weights_sha256=self.bundle.weights_sha256,
            precision=call["precision"],
            engine=call["engine"],
            halo=None if halo == "exact" else whole("halo", halo),
            frame=None if frame is None else whole("frame", frame),
            coarse=bool(call["coarse"]),
            layout="" if layout is None else layout.token,
            plan_density=call["plan_density"],
        )

    def trained_spacing(self, lattice: Lattice) -> tuple[float, float]:
        """The trained pixel size nearest to the canvas's, and how many canvas pixels make one of those."""
        spacing = lattice.spacing.x
        base = min(self.info.spacing, key=lambda trained: abs(math.log(trained / spacing)))
        ratio = base / spacing
        return base, 1.0 if abs(ratio - 1) < 1e-3 else ratio


def _check_system(info: ModelInfo, pipeline: type[DenoiserPipeline]) -> None:
    if info.system != pipeline.system:
        raise CheckpointError(
            f"the model is of the system {info.system!r}, {pipeline.__name__} opens {pipeline.system!r}; "
            "infbrush_wsi.pipelines.registry.open_pipeline takes any"
        )


def _check_agreement(info: ModelInfo, denoiser: InfBrushDenoiser) -> None:
    """Refuse a record and a network that were not written together."""
    bands, classes = len(info.channel_names), len(info.classes)
    if (bands, classes) != (denoiser.config.channels, len(denoiser.config.classes)):
        raise CheckpointError(
            f"the model's record names {bands} bands and {classes} classes, its network has "
            f"{denoiser.config.channels} and {len(denoiser.config.classes)}: copy the model again"
        )
