"""A pipeline with random weights, for benchmarks of cost. Not a benchmark itself."""

from __future__ import annotations

from typing import Any


def random_pipeline(window: int) -> Any:
    """A pipeline of the 'tiny' preset with random weights, as if trained on windows of that side."""
    import torch
    from published import awaken

    from infbrush_wsi.models.bundle import ModelBundle
    from infbrush_wsi.models.infbrush import InfBrushDenoiser, preset
    from infbrush_wsi.models.info import ModelInfo
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    torch.manual_seed(0)
    denoiser = InfBrushDenoiser(**preset("tiny", window=window))
    awaken(denoiser)
    process = {"data_std": 0.25, "data_mean": [0.4, 0.1, 0.4]}
    info = ModelInfo("infbrush", (0.5,), "micrometer", window, ("Red", "Green", "Blue"), (), 1.0, process)
    return InfBrushPipeline(ModelBundle({"denoiser": denoiser}, info, "random weights"))
