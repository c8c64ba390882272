"""What the form 'Generate slide' asks for, apart from the form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.errors import CheckpointError, RegionError
from infbrush_wsi.models.bundle import INFO_FILE
from infbrush_wsi.models.shipped import model_directory
from infbrush_wsi.plugins.napari.layers import image_layers

if TYPE_CHECKING:
    from infbrush_wsi.plugins.napari.layers import LayerData


@dataclass(frozen=True)
class SlideRequest:
    """A slide that somebody wants to see.

    Attributes:
        model: directory, or the name of a model that comes with the package.
        condition: a class of the model; None: none.
        seed: of the noise.
        width: in the model's unit (micrometres for slides).
        height: in the model's unit.
        steps: network evaluations.
    """

    model: str
    condition: str | None
    seed: int
    width: float
    height: float
    steps: int

    def layers(self) -> list[LayerData]:
        """Its layers, of which nothing is computed before napari looks at them.

        Raises:
            CheckpointError: if the model is missing or damaged.
            ConditionError: if it does not know the class.
            RegionError: if the size is no size.
        """
        if not self.model:
            raise CheckpointError("no model is chosen: choose the folder that 'infbrush train --out' has written")
        directory = model_directory(self.model)
        record = directory / INFO_FILE
        pipeline = _load(directory, record.stat().st_mtime_ns if record.is_file() else 0)
        size = (self._pixels(pipeline, self.width), self._pixels(pipeline, self.height))
        canvas = pipeline(self.condition, size, seed=self.seed, num_inference_steps=self.steps)
        return image_layers(canvas)

    @staticmethod
    def _pixels(pipeline: Any, length: float) -> int:
        spacing: float = pipeline.info.spacing[0]
        if not (math.isfinite(length) and length >= spacing / 2):
            raise RegionError(f"a slide of {length:g} {pipeline.info.unit} has no pixel of {spacing:g}; make it larger")
        return max(1, round(length / spacing))


@lru_cache(maxsize=1)
def _load(directory: Path, changed: int) -> Any:
    """The model, kept until another one is asked for, or it has been trained anew."""
    from infbrush_wsi.pipelines.registry import open_pipeline

    return open_pipeline(directory)
