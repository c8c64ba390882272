"""How the images of a synthetic data set are made."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from infbrush_wsi.errors import ConfigError


@dataclass(frozen=True)
class Synthesis:
    """Settings that all images of a data set share; see `InfBrushPipeline.__call__`.

    Attributes:
        size: (width, height) in pixels.
        seed: of the data set; the seed of an image follows from it, the class and the image's number.
        mpp: micrometres per pixel; None: the model's own pixel size.
        resolution: the same in the unit of a raster's CRS.
        num_inference_steps: network evaluations.
        guidance_scale: classifier-free guidance.
        scheduler: sampler.
        precision: of the network.

    Raises:
        ConfigError: for a seed below zero or a size without pixels.
    """

    size: tuple[int, int] = (224, 224)
    seed: int = 0
    mpp: float | None = None
    resolution: float | None = None
    num_inference_steps: int = 20
    guidance_scale: float = 1.5
    scheduler: str = "dpmsolver++"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.seed < 0 or min(self.size) < 1:
            raise ConfigError(f"a synthetic data set needs a seed from 0 and a positive size, not {self}")

    def image_seed(self, label: str, number: int) -> int:
        """Seed in [0, 2**63) of image `number` of a class; it stays when classes or images are added."""
        digest = hashlib.sha256(f"{self.seed}\0{label}\0{number}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def call(self) -> dict[str, Any]:
        """Arguments of the pipeline, without condition and seed."""
        values = asdict(self)
        values.pop("seed")
        return values
