"""Real, very small models: random weights in every layer, none left at its zero start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Before torch is imported: as the command line does, so that a busy machine does not make the tests many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SMALL: dict[str, Any] = {
    "width": 8,
    "blocks": 1,
    "kernel_size": 5,
    "grid_pitch": 4.0,
    "grid_side": 8,
    "grid_width": 8,
    "grid_multipliers": (1, 2),
    "grid_attention_from": 1,
    "embedding_width": 16,
    "cano_heads": 2,
}
PAPER_LIKE: dict[str, Any] = {"cano": "paper", "self_attention": True, "transfer": "knn", "position": "extent"}


def small_denoiser(seed: int = 0, **overrides: Any) -> Any:
    """A denoiser whose every parameter matters: layers that start at zero (head, residual ends) are drawn anew."""
    import torch

    from infbrush_wsi.models.infbrush import InfBrushDenoiser

    torch.manual_seed(seed)
    denoiser = InfBrushDenoiser(**SMALL | overrides)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            if not parameter.any():
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
                parameter.normal_(0.0, fan_in**-0.5)
    return denoiser.eval()


def small_info(denoiser: Any, **changes: Any) -> Any:
    """The record of a model of a slide at 0.5 µm per pixel."""
    from infbrush_wsi.models.info import ModelInfo

    channels = int(denoiser.config.channels)
    process = {"data_std": 0.25, "data_mean": [0.1, -0.1, 0.0, 0.05][:channels]}
    facts: dict[str, Any] = {
        "system": "infbrush",
        "spacing": (0.5,),
        "unit": "micrometer",
        "window": 32,
        "channel_names": ("Red", "Green", "Blue", "NIR")[:channels],
        "classes": tuple(denoiser.config.classes),
        "sigma": 1.0,
        "process": process,
        "training": {"steps": 12, "images": 3},
    }
    return ModelInfo(**facts | changes)


@pytest.fixture(scope="session")
def make_pipeline() -> Callable[..., Any]:
    """Make a pipeline of a small model; arguments of the denoiser by name, of its record as ``info``."""

    def make(seed: int = 0, info: dict[str, Any] | None = None, **overrides: Any) -> Any:
        from infbrush_wsi.models.bundle import ModelBundle
        from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

        denoiser = small_denoiser(seed, **{"classes": ("Normal", "Invasive")} | overrides)
        return InfBrushPipeline(ModelBundle({"denoiser": denoiser}, small_info(denoiser, **info or {}), f"seed {seed}"))

    return make


@pytest.fixture
def paper_like() -> dict[str, Any]:
    """Arguments that give a model every operator of the published one."""
    return dict(PAPER_LIKE)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors on threads that other processes hold up take a thousand times as long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
