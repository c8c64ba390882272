"""The sample 'Generated slide': a canvas of which napari computes what it shows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.models.shipped import shipped_models
from infbrush_wsi.plugins.napari.layers import image_layers

if TYPE_CHECKING:
    from infbrush_wsi.plugins.napari.layers import LayerData

MODEL = "INFBRUSH_MODEL"
"""Environment variable with the model directory that the sample is made with."""
SIDE = 4096
STEPS = 10


def generated_slide() -> list[LayerData]:
    """One layer: a slide of 4096² pixels by the model in INFBRUSH_MODEL, or by the first one that is shipped.

    Raises:
        CheckpointError: if there is no model, or it is damaged.
    """
    from infbrush_wsi.pipelines.registry import open_pipeline

    model = os.environ.get(MODEL) or next(iter(shipped_models()), None)
    if model is None:
        raise CheckpointError(
            f"no model comes with this installation; set {MODEL} to a directory that 'infbrush train --out' has written"
        )
    pipeline = open_pipeline(model)
    condition = pipeline.classes[-1] if pipeline.classes else None
    return image_layers(pipeline(condition, size=(SIDE, SIDE), seed=7, num_inference_steps=STEPS))
