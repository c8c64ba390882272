"""Which pixels of an image go into a distance: crops at native resolution, one patch, or the whole image made small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError, RegionError

if TYPE_CHECKING:
    from infbrush_wsi.sources import Source

Kind = Literal["crop", "patch", "grid", "whole"]
KINDS: tuple[Kind, ...] = ("crop", "patch", "grid", "whole")
LEAST_CONTENT = 0.5
"""Share of a crop that must not be background, if there is such a place."""
ATTEMPTS = 32
MASK_SIDE = 1024
THUMBNAIL_SIDES = 4
"""A whole image is first read with at most so many times the pixels wanted along its longer side."""


@dataclass(frozen=True)
class CropRule:
    """How samples are taken from an image. Two distances can be compared only if their rules are equal.

    Attributes:
        kind: 'crop': `per_image` random squares at native resolution (crop FID); 'patch': one of them (the rule of
            patch FID); 'grid': all squares that overlap by half and hold content, for the search for copies in
            images larger than what a model is trained on; 'whole': the whole image, resized to a square (what CLIP
            FID sees).
        size: side of a sample in pixels.
        per_image: crops of an image.
        seed: of the places, which depend on it and on the image's content, not on the order of images.
        spacing: pixel size at which crops are taken, in the unit of the image (micrometres for slides); None for
            level 0 as it is. Real and generated images must be compared at the same one.
    """

    kind: Kind = "crop"
    size: int = 256
    per_image: int = 4
    seed: int = 0
    spacing: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"there is no crop rule {self.kind!r}; known are {', '.join(KINDS)}")
        if self.size < 1 or self.per_image < 1 or self.seed < 0:
            raise ConfigError(
                "crops need a positive side and count and a seed from 0, not "
                f"{self.size} pixels, {self.per_image} an image and seed {self.seed}"
            )
        if self.kind != "crop" and self.per_image != 1:
            object.__setattr__(self, "per_image", 1)

    @property
    def name(self) -> str:
        """The kind and, if it is given, the pixel size: 'crop', 'whole', 'crop_2'."""
        return self.kind if self.spacing is None or self.kind == "whole" else f"{self.kind}_{self.spacing:g}"

    def describe(self) -> dict[str, Any]:
        """What a reader must know to repeat it."""
        count = {"per_image": "all, overlapping by half"} if self.kind == "grid" else {}
        return (
            asdict(self) | count | {"resolution": "resized to a square" if self.kind == "whole" else self._resolution()}
        )

    def samples(self, source: Source) -> Iterator[NDArray[np.uint8]]:
        """The samples of one image: uint8 (size, size, 3), read one by one.

        Raises:
            RegionError: if the image is smaller than a crop.
            BandMismatchError: if it has other than three channels.
            MissingMppError: if a spacing is asked for and the image does not know its own.
        """
        if source.channels != 3:
            raise BandMismatchError(
                f"{source.path} has {source.channels} channels ({', '.join(source.channel_names)}), where three are "
                "compared; choose them with bands=(1, 2, 3)"
            )
        if self.kind == "whole":
            yield self._whole(source)
            return
        view = None if self.spacing is None else source.at(self.spacing)
        shape = source.lattice.shape if view is None else view.shape
        if min(shape.h, shape.w) < self.size:
            raise RegionError(f"{source.path} has {shape.w} x {shape.h} pixels, less than a crop of {self.size}")
        for box in self._places(source, shape):
            yield source.read_box(box) if view is None else view.read(box)

    def _places(self, source: Source, shape: Shape) -> Sequence[Box]:
        mask, _ = source.mask(MASK_SIDE)
        free = bool(mask.all()) or not mask.any()
        if self.kind == "grid":
            return [box for box in self.grid(shape) if free or _share(mask, box, shape) >= LEAST_CONTENT]
        rng = np.random.default_rng([self.seed, int(source.fingerprint[:16], 16)])
        found = []
        for _ in range(self.per_image):
            tries = [self._place(rng, shape) for _ in range(1 if free else ATTEMPTS)]
            shares = [1.0 if free else _share(mask, box, shape) for box in tries]
            enough = [index for index, share in enumerate(shares) if share >= LEAST_CONTENT]
            found.append(tries[enough[0] if enough else int(np.argmax(shares))])
        return found

    def grid(self, shape: Shape) -> list[Box]:
        """Squares that overlap by half at least and cover all pixels."""
        return [Box(x, y, self.size, self.size) for y in self._starts(shape.h) for x in self._starts(shape.w)]

    def _starts(self, length: int) -> list[int]:
        """First pixels of squares that overlap by half at least and reach to both ends."""
        last = length - self.size
        count = -(-last // max(1, self.size // 2)) + 1
        return sorted({round(at) for at in np.linspace(0, last, count)})

    def _place(self, rng: np.random.Generator, shape: Shape) -> Box:
        x, y = rng.integers(shape.w - self.size + 1), rng.integers(shape.h - self.size + 1)
        return Box(int(x), int(y), self.size, self.size)

    def _whole(self, source: Source) -> NDArray[np.uint8]:
        from PIL import Image

        pixels, _ = source.thumbnail(THUMBNAIL_SIDES * self.size)
        resized = Image.fromarray(np.ascontiguousarray(pixels)).resize((self.size,) * 2, Image.Resampling.BICUBIC)
        return np.asarray(resized)

    def _resolution(self) -> str:
        return "native" if self.spacing is None else f"{self.spacing:g} per pixel"


def _share(mask: NDArray[np.bool_], box: Box, shape: Shape) -> float:
    """Part of a box that the mask of the whole image allows."""
    sy, sx = mask.shape[0] / shape.h, mask.shape[1] / shape.w
    y0, x0 = int(box.y0 * sy), int(box.x0 * sx)
    y1, x1 = max(y0 + 1, round(box.y1 * sy)), max(x0 + 1, round(box.x1 * sx))
    return float(mask[y0:y1, x0:x1].mean())
