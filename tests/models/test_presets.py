"""Sizes of the presets, and that each runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.models.infbrush import PRESETS, InfBrushDenoiser, preset

MILLIONS = {"tiny": (1, 3), "small": (50, 60), "paper": (70, 92)}


@pytest.mark.parametrize("name", PRESETS)
def test_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        net = InfBrushDenoiser(**preset(name, window=4096, classes=("a", "b", "c", "d")))
    low, high = MILLIONS[name]
    assert low < sum(p.numel() for p in net.parameters()) / 1e6 < high


@pytest.mark.parametrize(
    "name", ["tiny", pytest.param("small", marks=pytest.mark.slow), pytest.param("paper", marks=pytest.mark.slow)]
)
def test_runs(make: Any, name: str) -> None:
    net = make.awakened(InfBrushDenoiser(**preset(name, window=128, classes=("a", "b"))))
    shape = Shape(128, 128)
    with torch.no_grad():
        out = net(torch.randn(1, 1500, 3), make.scattered(net, shape, 1500), torch.tensor([500]), make.labels(1))
    assert torch.isfinite(out).all()
    assert out.std() > 0.01


def test_grid_follows_the_window() -> None:
    assert preset("tiny", window=128)["grid_pitch"] == 4.0
    assert preset("paper", window=4096)["grid_pitch"] == 32.0
    assert preset("tiny", window=128, grid_side=64)["grid_pitch"] == 2.0
    assert preset("tiny", window=128, grid_pitch=3.0)["grid_pitch"] == 3.0


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"'huge'.*tiny, small, paper"):
        preset("huge", window=128)
    with pytest.raises(ConfigError, match=r"grid of 128 nodes.*64 pixels"):
        preset("paper", window=64)
