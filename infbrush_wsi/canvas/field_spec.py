"""What determines an image that is rendered from one latent, besides the model's weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from infbrush_wsi.canvas.spec import check_sampling, recorded
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError


@dataclass(frozen=True)
class FieldSpec:
    """A generation by Image Neural Field Diffusion. Equal specifications and equal weights give equal images.

    Attributes:
        lattice: pixels of level 0 in physical space.
        cell: side of a pixel of level 0 in features (pixels of the encoder's input).
        latent_shape: rows and columns of the latent.
        seed: of the latent's noise.
        condition: as the user gave it: class name, embedding as nested tuples, or None.
        steps: network evaluations.
        scheduler: 'dpmsolver++' or 'ddim'.
        guidance_scale: classifier-free guidance.
        eta: DDIM's share of fresh noise.
        tile: side of the tiles that are rendered at a time.
        weights_sha256: hash of the model.
        latent_sha256: hash of a latent that was given; '': it is sampled.
        constraints: what a given latent was held to, as it is recorded.

    Raises:
        ConfigError: for a value out of its range.
    """

    lattice: Lattice
    cell: float
    latent_shape: Shape
    seed: int
    condition: Any
    steps: int
    scheduler: str
    guidance_scale: float
    eta: float
    tile: int
    weights_sha256: str
    latent_sha256: str = ""
    constraints: tuple[str, ...] = ()
    engine: ClassVar[str] = "lazy"

    def __post_init__(self) -> None:
        check_sampling(self.seed, self.guidance_scale, self.eta, self.tile)
        if not self.cell > 0:
            raise ConfigError(f"a pixel must have a positive side, not {self.cell} features")

    @property
    def shape(self) -> Shape:
        """Rows and columns of level 0."""
        return self.lattice.shape

    def provenance(self) -> dict[str, Any]:
        """What is written into every output."""
        return recorded(asdict(self))
