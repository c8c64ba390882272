"""A small denoiser whose every layer does something, and places to run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.points.support import LatticeSupport, ScatterSupport

SMALL: dict[str, Any] = {
    "width": 8,
    "blocks": 2,
    "kernel_size": 5,
    "grid_pitch": 4.0,
    "grid_side": 8,
    "grid_width": 8,
    "grid_multipliers": (1, 2),
    "grid_attention_from": 1,
    "embedding_width": 16,
    "cano_heads": 2,
    "classes": ("a", "b", "c"),
}
PAPER_LIKE = SMALL | {"self_attention": True, "cano": "paper", "transfer": "knn", "position": "extent"}


def awakened(denoiser: InfBrushDenoiser, seed: int = 0) -> InfBrushDenoiser:
    """Layers that start at zero hide everything behind them: give all weights some noise."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += noise * (0.1 if parameter.ndim < 2 else 0.5 / parameter[0].numel() ** 0.5)
    return denoiser.eval()


def small(**changes: Any) -> InfBrushDenoiser:
    torch.manual_seed(0)
    return awakened(InfBrushDenoiser(**(SMALL | changes)))


def paper_like(**changes: Any) -> InfBrushDenoiser:
    torch.manual_seed(0)
    return awakened(InfBrushDenoiser(**(PAPER_LIKE | changes)))


def scattered(net: InfBrushDenoiser, shape: Shape, points: int, batch: int = 1, name: str = "mixed") -> ScatterSupport:
    draws = [make_sampler(name).draw(np.random.default_rng(s), shape, points) for s in range(batch)]
    config: Any = net.config
    return scatter_support(draws, shape, Layout(config.kernel_size, config.grid_pitch, config.transfer))


def lattice(
    net: InfBrushDenoiser, shape: Shape, ratio: float = 1.0, *, owned: Box | None = None, halo: int = 0, batch: int = 1
) -> LatticeSupport:
    config: Any = net.config
    grid = GridGeometry.covering(shape.h / ratio, shape.w / ratio, config.grid_pitch)
    owned = owned or Box(0, 0, shape.w, shape.h)
    return LatticeSupport(owned.pad(halo).clip(shape), owned, shape, ratio, grid, batch)


def labels(*values: int) -> ConditionBatch:
    return ConditionBatch(torch.zeros(len(values), dtype=torch.bool), labels=torch.tensor(values))


@pytest.fixture
def make() -> Any:
    """The makers above."""

    class Make:
        small: Callable[..., InfBrushDenoiser] = staticmethod(small)
        paper_like: Callable[..., InfBrushDenoiser] = staticmethod(paper_like)
        scattered = staticmethod(scattered)
        lattice = staticmethod(lattice)
        labels = staticmethod(labels)
        awakened = staticmethod(awakened)

    return Make


@pytest.fixture(autouse=True)
def _on_one_thread(one_thread: None) -> None:
    """Every test of this folder."""
