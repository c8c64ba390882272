"""What determines a generated image completely, besides the model's weights."""

from __future__ import annotations

import math
import operator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import ConfigError, RegionError

FINEST_RATIO = 4.0
"""Beyond four pixels per training pixel the kernels grow without adding detail (∞-Diff §1.4)."""

ENGINES = ("lazy", "sweep", "joint")

DEFAULT_HALO = 12
"""Training pixels around a tile."""

PRECISIONS = ("float32", "bfloat16")


def whole_pair(pair: Any, what: str) -> tuple[int, int]:
    """Two whole numbers, as a location or a size is given.

    Raises:
        RegionError: if they are not.
    """
    try:
        first, second = (operator.index(value) for value in pair)
    except (TypeError, ValueError) as error:
        raise RegionError(f"{what} must be two whole numbers of pixels, not {pair!r}") from error
    return first, second


class ImageSpec(Protocol):
    """What a canvas asks of a specification, whatever system makes its pixels."""

    @property
    def lattice(self) -> Lattice:
        """Pixels of level 0 in physical space."""
        ...

    @property
    def shape(self) -> Shape:
        """Rows and columns of level 0."""
        ...

    @property
    def seed(self) -> int:
        """Of the noise."""
        ...

    @property
    def condition(self) -> Any:
        """As the user gave it."""
        ...

    @property
    def engine(self) -> str:
        """How pixels are computed; 'lazy': when they are read, in any order."""
        ...

    def provenance(self) -> dict[str, Any]:
        """What is written into every output."""
        ...


def check_sampling(seed: int, guidance_scale: float, eta: float, tile: int) -> None:
    """Refuse what no system can sample with.

    Raises:
        ConfigError: naming what is out of its range.
    """
    if not 0 <= seed < 1 << 63:
        raise ConfigError(f"seed must be an integer in [0, 2**63), not {seed}")
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise ConfigError(f"guidance_scale must be finite and not negative, it is {guidance_scale}")
    if not 0 <= eta <= 1:
        raise ConfigError(f"eta must be between 0 (deterministic) and 1, not {eta}")
    if tile < 32:
        raise ConfigError(f"tile must be at least 32 pixels, not {tile}")


@dataclass(frozen=True)
class CanvasSpec:
    """A generation. Equal specifications and equal weights give equal images.

    Attributes:
        lattice: pixels of level 0 in physical space.
        ratio: pixels of level 0 per training pixel.
        log_magnification: log2 of the training pixel size used over the finest one trained.
        seed: of the noise field.
        condition: as the user gave it: class name, embedding as nested tuples, or None.
        steps: network evaluations.
        scheduler: 'dpmsolver++' or 'ddim'.
        guidance_scale: classifier-free guidance.
        eta: DDIM's share of fresh noise.
        tile: side of the tiles that are evaluated at a time, and of the stored chunks.
        weights_sha256: hash of the model.
        precision: of the network: 'float32', or 'bfloat16' for mixed precision.
        engine: 'lazy': tile by tile from a plan; 'sweep': all tiles together from a plan, with exact halos; 'joint':
            all tiles together with exact global sums in place of a plan.
        halo: pixels around a tile that are rendered with it, in training pixels; None: as many as it takes for the
            tile to be exact.
        frame: side in training pixels of the frames that a canvas beyond the model's extent is planned in; None:
            chosen by the model, and the whole canvas up to 1536².
        coarse: whether such a canvas is guided by a coarser one.
        layout: token of the layout; '': the condition is the same everywhere.
        plan_density: points of the plan per training pixel; None: as in training; 1: all pixels.

    Raises:
        ConfigError: for a value out of its range.
    """

    lattice: Lattice
    ratio: float
    log_magnification: float
    seed: int
    condition: Any
    steps: int
    scheduler: str
    guidance_scale: float
    eta: float
    tile: int
    weights_sha256: str
    precision: str = "float32"
    engine: str = "lazy"
    halo: int | None = DEFAULT_HALO
    frame: int | None = None
    coarse: bool = True
    layout: str = ""
    plan_density: float | None = None

    def __post_init__(self) -> None:
        check_sampling(self.seed, self.guidance_scale, self.eta, self.tile)
        if self.engine not in ENGINES:
            raise ConfigError(f"engine must be {' or '.join(map(repr, ENGINES))}, not {self.engine!r}")
        if self.halo is not None and not 0 <= self.halo <= 4096:
            raise ConfigError(f"halo must be 0 to 4096 training pixels or 'exact', not {self.halo}")
        if self.frame is not None and not 32 <= self.frame <= 8192:
            raise ConfigError(f"frame must be 32 to 8192 training pixels, not {self.frame}")
        if self.plan_density is not None and not 0 < self.plan_density <= 1:
            raise ConfigError(f"plan_density must be above 0 and at most 1 point per pixel, not {self.plan_density}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision must be {' or '.join(map(repr, PRECISIONS))}, not {self.precision!r}")

    @property
    def shape(self) -> Shape:
        """Rows and columns of level 0."""
        return self.lattice.shape

    def check_resolution(self, grid_pitch: float) -> None:
        """Refuse pixel sizes that the network cannot evaluate.

        Raises:
            RegionError: if the pixels are finer than a quarter of, or coarser than a grid cell of, a training pixel.
        """
        if not 1.0 / grid_pitch <= self.ratio <= FINEST_RATIO:
            raise RegionError(
                f"a pixel of this canvas is {1 / self.ratio:.4g} training pixels; the model can be evaluated from "
                f"{1 / FINEST_RATIO:.4g} to {grid_pitch:.4g}: choose another mpp and resample the result"
            )

    def provenance(self) -> dict[str, Any]:
        """What is written into every output."""
        return recorded(asdict(self))


def recorded(values: dict[str, Any]) -> dict[str, Any]:
    """A specification's values as they are written into outputs: without the lattice, an embedding as that word."""
    condition = values["condition"]
    kept = {name: value for name, value in values.items() if name != "lattice"}
    return kept | {"condition": condition if isinstance(condition, str | None) else "embedding"}
