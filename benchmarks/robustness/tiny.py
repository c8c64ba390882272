"""Training runs and canvases that take a second, for the scripts beside this one. Not a benchmark itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SYSTEMS = ("infbrush", "multilevel", "infd")
"""Points, whole windows, and windows with a second network that learns against the first."""
_AUTOENCODER = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 3,
    "mid_block_add_attention": False,
}
_OVERRIDES: dict[str, dict[str, Any]] = {
    "infbrush": {
        "width": 8, "blocks": 1, "kernel_size": 3, "grid_side": 8, "grid_width": 8, "grid_multipliers": (1, 2),
        "grid_attention_from": 1, "embedding_width": 16, "cano_heads": 2, "dropout": 0.1,
    },
    "multilevel": {"width": 8, "multipliers": (1, 2), "embedding_width": 16},
    "infd": {
        "autoencoder": {"networks": _AUTOENCODER, "width": 16, "blocks": 1},
        "denoiser": {"width": 16, "head": 8},
        "critic": {"width": 8, "layers": 1},
        "data": {"patch": 16},
    },
}  # fmt: skip
CHUNK, TILE = 48, 32


def write_images(folder: Path) -> Path:
    """Two classes of textures of 96 x 80 pixels in a folder each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, colour in (("benign", (200, 120, 160)), ("invasive", (90, 70, 150))):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            coarse = np.kron(rng.integers(-60, 60, (12, 10, 3)), np.ones((8, 8, 1), int))
            pixels = np.clip(np.array(colour) + coarse + rng.integers(-10, 10, coarse.shape), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def run_config(images: Path, system: str = "infbrush", *, steps: int = 24, workers: int = 0, **record: int) -> Any:
    """Configuration of a run of `steps` steps of some ten milliseconds.

    Args:
        images: folder of `write_images`.
        system: one of `SYSTEMS`.
        steps: of the optimiser.
        workers: of the loader.
        **record: of its part 'record'.
    """
    from infbrush_wsi.training.config import RunConfig

    data: dict[str, Any] = {
        "sources": [str(images)], "labels": "folder", "assume_mpp": 0.5, "window": 32, "points": 160,
        "sampler_options": {"window": 8}, "workers": workers,
    }  # fmt: skip
    if system == "infd":
        data["mpp"] = (0.5, 1.0)
    every = {"log_every": 1, "checkpoint_every": 3, "preview_every": 8, "preview_steps": 2}
    return RunConfig.parse(
        {
            "data": data,
            "model": {"preset": "tiny", "system": system, "overrides": _OVERRIDES[system]},
            "optim": {"steps": steps, "batch": 2, "learning_rate": 0.002, "warmup": 3, "seed": 5},
            "record": every | record,
        }
    )


def train_model(folder: Path) -> Path:
    """Train a model of ∞-Brush for a few steps; its directory."""
    from infbrush_wsi.training.run import train

    train(run_config(write_images(folder / "images"), steps=3, preview_every=0), folder / "model")
    return folder / "model"


def make_canvas(pipeline: Any, seed: int = 5) -> Any:
    """A canvas of several tiles and levels, whose caches are too small for it."""
    from infbrush_wsi.canvas.lazy import CacheLimits

    small = CacheLimits(memory=1 << 17, disk=1 << 19)
    return pipeline("invasive", (300, 120), seed=seed, num_inference_steps=2, tile=TILE, halo=4, limits=small)
