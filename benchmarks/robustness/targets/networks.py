"""A very small model of the published denoiser, that several families damage or use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SMALL = {
    "width": 8, "blocks": 1, "kernel_size": 3, "grid_side": 8, "grid_width": 8, "grid_multipliers": [1, 2],
    "grid_attention_from": 1, "embedding_width": 16, "cano_heads": 2,
}  # fmt: skip
RENDERING = {"size": (48, 48), "num_inference_steps": 2, "tile": 32, "halo": 2}


def write_model(folder: Path) -> Path:
    """A model directory with random weights; what is there is kept."""
    target = folder / "model"
    if not (target / "infbrush.json").exists():
        import torch

        from infbrush_wsi.models.bundle import ModelBundle
        from infbrush_wsi.models.infbrush import InfBrushDenoiser
        from infbrush_wsi.models.info import ModelInfo

        torch.manual_seed(0)
        arguments: dict[str, Any] = SMALL | {"grid_pitch": 4.0, "classes": ("a", "b")}
        denoiser = InfBrushDenoiser(**arguments).eval()
        process = {"data_std": 0.25, "data_mean": [0.1, -0.1, 0.0]}
        info = ModelInfo("infbrush", (0.5,), "micrometer", 32, ("Red", "Green", "Blue"), ("a", "b"), 1.0, process)
        ModelBundle.save(target, {"denoiser": denoiser}, info)
    return target


def render(model: Path, **changes: Any) -> Any:
    """A canvas of a model directory."""
    from infbrush_wsi.pipelines.registry import open_pipeline

    return open_pipeline(model)("a", **RENDERING | changes)


def write_training(folder: Path) -> dict[str, Any]:
    """Two images, and the values of a run on them of a few steps."""
    images = folder / "images"
    if not images.exists():
        import numpy as np
        from PIL import Image

        rng = np.random.default_rng(0)
        for name in ("a", "b"):
            (images / name).mkdir(parents=True)
            coarse = rng.integers(30, 226, (6, 5, 3), dtype=np.uint8)
            Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(images / name / f"{name}.png")
    return {
        "data": {"sources": [str(images)], "labels": "folder", "assume_mpp": 0.5, "window": 32, "points": 64,
                 "workers": 0, "sampler_options": {"window": 8}},
        "model": {"preset": "tiny", "overrides": SMALL},
        "optim": {"steps": 2, "batch": 1, "learning_rate": 0.01, "warmup": 1, "seed": 5},
        "record": {"log_every": 1, "checkpoint_every": 1},
    }  # fmt: skip
