"""The four systems as runs on the same windows, and how each is asked for the same image at another pixel size."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equal_time

WINDOW = 64
POINTS = WINDOW**2 // 4
"""Of each window, for the systems that take points: the share that ∞-Diff publishes."""
SCALES = (0.5, 1.0, 2.0, 4.0)
"""Pixels per training pixel."""
SAMPLER: dict[str, Any] = {"scheduler": "dpmsolver++", "num_inference_steps": 20}
LATENT_STEPS = 100
"""Of ∞-Diff's latent diffusion, a small network."""
BASE: dict[str, dict[str, Any]] = {
    "data": {
        "labels": "none", "window": WINDOW, "points": POINTS, "workers": 0, "assume_mpp": 1.0, "mpp": [1.0],
    },
    "model": {"preset": "tiny"},
    "optim": {"batch": 8, "seed": 0},
    "record": {"checkpoint_every": 1_000_000, "keep": 1, "log_every": equal_time.WARM_UP},
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One run.

    Attributes:
        model: its settings under 'model'; the second stage of a system gets the first one's directory.
        share: of the system's processor time.
        data: settings under 'data' that differ.
        optim: the same under 'optim'.
    """

    model: dict[str, Any]
    share: float = 1.0
    data: dict[str, Any] = field(default_factory=dict)
    optim: dict[str, Any] = field(default_factory=dict)


# A window of 32 pixels of size 2 has the extent of the others' 64 of size 1, and targets have sizes from 1 to 2.
_FIELD = {"mpp": [1.0, 2.0], "window": WINDOW // 2, "points": (WINDOW // 2) ** 2}
SYSTEMS: dict[str, tuple[Stage, ...]] = {
    "infbrush": (Stage({"system": "infbrush"}),),
    "infdiff": (Stage({"system": "infdiff", "overrides": {"latent_dim": 0}}),),
    "infdiff-latent": (
        Stage({"system": "infdiff"}, 0.8),
        Stage({"system": "infdiff-latent", "latents": 1024}, 0.2, optim={"batch": 256}),
    ),
    "multilevel": (Stage({"system": "multilevel"}),),
    "infd": (Stage({"system": "infd"}, 0.5, _FIELD), Stage({"system": "infd-latent"}, 0.5, _FIELD)),
}
WHAT = {
    "infbrush": "∞-Brush",
    "infdiff": "∞-Diff, unconditional",
    "infdiff-latent": "∞-Diff, autoencoder (0.8 of the time) and diffusion of its latents (0.2)",
    "multilevel": "Multilevel Diffusion (alias-free convolutions, Bessel noise)",
    "infd": "image neural fields, autoencoder (half of the time) and diffusion of its latents (half)",
}


def run_config(train: Path, stage: Stage, steps: int, first: Path | None) -> Any:
    """The configuration of a stage's run."""
    from infbrush_wsi.training.config import RunConfig

    model = BASE["model"] | stage.model | ({} if first is None else {"autoencoder": str(first)})
    data = BASE["data"] | stage.data | {"sources": [str(train)]}
    optim = BASE["optim"] | stage.optim | {"steps": steps}
    return RunConfig.parse({"data": data, "model": model, "optim": optim, "record": BASE["record"]})


def canvas_of(pipeline: Any, seed: int, scale: float = 1.0, **more: Any) -> Any:
    """A canvas of a training window's extent, without condition, with `scale` pixels for one of training."""
    side = round(WINDOW * scale)
    if "latent" in pipeline.bundle.networks:
        more = {"latent_steps": LATENT_STEPS} | more
    return pipeline(size=(side, side), mpp=1.0 / scale, seed=seed, **(SAMPLER | more))


def again(pipeline: Any, source: Any, factor: int) -> dict[str, Any]:
    """A window through the encoder and back, at `factor` pixels for one: uint8 arrays by way.

    Args:
        pipeline: of a system with an encoder.
        source: image of a window at the training pixel size.
        factor: pixels of the result along the side of one of the image's.
    """
    from infbrush_wsi.domain import Box
    from infbrush_wsi.pipelines.reconstruct import reconstruct

    side = WINDOW * factor
    if pipeline.info.system == "infdiff":
        call = {"region": (0, 0, WINDOW, WINDOW), "factor": factor, "num_inference_steps": 20}
        starts = {"latent": "noise", "latent and inverted noise": "inversion"}
        return {way: reconstruct(pipeline, source, start=start, **call).pixels for way, start in starts.items()}
    view = source.at(max(pipeline.info.spacing))
    latent = pipeline.encode(view.read(Box(0, 0, view.shape.w, view.shape.h)))
    canvas = pipeline(size=(side, side), mpp=1.0 / factor, latent=latent)
    return {"latent": canvas.read_region((0, 0), 0, (side, side))}
