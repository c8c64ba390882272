"""Whether the tiles of an image can be decoded: some of each level, in random places, or all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infbrush_wsi.validation.finding import Finding

PIXELS = "pixels"


@dataclass(frozen=True)
class Blocks:
    """The tiles of a level.

    Attributes:
        level: its name.
        places: of the tiles, as messages name them.
        decode: the tile of a place; it raises whatever its library raises.
    """

    level: str
    places: Sequence[Any]
    decode: Callable[[Any], object]


def check_blocks(levels: Iterable[Blocks], count: int | None, rng: np.random.Generator) -> Iterator[Finding]:
    """Decode `count` random tiles of each level; None: all. Of a level, the first that fails is told."""
    damaged, read = False, 0
    for level in levels:
        total = len(level.places)
        for index in range(total) if count is None else rng.permutation(total)[:count]:
            try:
                level.decode(level.places[index])
            except Exception as error:
                # Codecs, GDAL and pictures raise errors of many libraries.
                damaged = True
                text = f"level {level.level} cannot be decoded at {level.places[index]}: {error}"
                yield Finding(PIXELS, "error", text)
                break
            read += 1
    if not damaged:
        yield Finding(PIXELS, "ok", f"{read} blocks were decoded")
