"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Check:
    """Something that was verified on the written files.

    Attributes:
        subject: which file.
        what: which property, read by which library.
        found: what was found.
        passed: whether it is as it must be; None: it could not be checked here.
    """

    subject: str
    what: str
    found: str
    passed: bool | None


@dataclass(frozen=True)
class Side:
    """A picture of a whole and one crop of it at full resolution.

    Attributes:
        whole: uint8 (h, w, 3), reduced.
        crop: uint8 (h, w, 3).
        caption: what it is.
    """

    whole: Picture
    crop: Picture
    caption: str


@dataclass(frozen=True)
class Pair:
    """Real beside generated, at the same scale.

    Attributes:
        title: of the class.
        real: from a training image.
        generated: by the model.
    """

    title: str
    real: Side
    generated: Side


@dataclass(frozen=True)
class Raster:
    """A georeferenced image, read back.

    Attributes:
        picture: uint8 (h, w, 3), true colour.
        infrared: uint8 (h, w, 3), bands 4, 1, 2 as red, green, blue, or None.
        facts: name → value.
    """

    picture: Picture
    infrared: Picture | None
    facts: dict[str, str]


@dataclass
class Content:
    """A report.

    Attributes:
        title: of the page.
        summary: facts of the run, name → value.
        pairs: one a class.
        loss: (steps, loss) of the training, each (n,).
        checks: what was verified.
        timings: stage → seconds.
        notes: paragraphs that say what the pictures show and do not show.
        versions: of libraries and machine.
        raster: if one was made.
        shipped: images by models that come with the package.
    """

    title: str
    summary: dict[str, str]
    pairs: list[Pair]
    loss: tuple[list[float], list[float]]
    checks: list[Check]
    timings: dict[str, float]
    notes: list[str]
    versions: dict[str, str]
    raster: Raster | None = field(default=None)
    shipped: list[Side] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)
