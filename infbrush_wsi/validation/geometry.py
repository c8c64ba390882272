"""Physical pixel sizes, and whether all levels cover the same ground."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from infbrush_wsi.domain import MICROMETERS_PER_UNIT, XY
from infbrush_wsi.validation.finding import Finding
from infbrush_wsi.validation.opened import Pyramid, StoredLevel

SIZE = "physical size"
LEVELS = "levels"
SQUARE_WITHIN = 0.01
PLAUSIBLE = (0.01, 1000.0)
"""Micrometres per pixel of images in micrometres: from electron microscopes to macro photographs."""
SHIFT_WITHIN = 0.1
"""Of a level-0 pixel."""


def check_size(image: Pyramid) -> Iterator[Finding]:
    """Whether the finest pixels have a physical size that can be believed."""
    scale = image.levels[0].scale
    if not all(math.isfinite(side) and side > 0 for side in (scale.x, scale.y)):
        yield Finding(SIZE, "error", f"a pixel is {scale.x:g} x {scale.y:g}, which is no size")
        return
    said = f"{scale.x:.6g} x {scale.y:.6g} {image.unit or 'of no unit'} a pixel"
    if image.unit is None:
        yield Finding(SIZE, "warning", f"{said}: there is no unit, so nobody knows how large the image is")
    elif image.unit not in MICROMETERS_PER_UNIT:
        yield Finding(SIZE, "warning", f"{said}: readers of slides do not know this unit")
    elif image.unit == "micrometer" and not all(PLAUSIBLE[0] <= s <= PLAUSIBLE[1] for s in (scale.x, scale.y)):
        yield Finding(SIZE, "warning", f"{said}: is that meant?")
    else:
        yield Finding(SIZE, "ok", said)
    if abs(scale.x / scale.y - 1) > SQUARE_WITHIN:
        yield Finding(SIZE, "warning", "pixels are not square; few readers of slides heed that")


def check_levels(image: Pyramid) -> Iterator[Finding]:
    """Whether levels get coarser, and cover what level 0 covers."""
    problems = [text for finer, coarser in itertools.pairwise(image.levels) if (text := _order(finer, coarser))]
    first = image.levels[0]
    problems += [text for level in image.levels[1:] if (text := _cover(first, level))]
    yield from (Finding(LEVELS, "error", text) for text in problems)
    shifted = [level.path for level in image.levels[1:] if _shift(first, level) > SHIFT_WITHIN]
    if shifted:
        text = f"{', '.join(shifted)}: the centres of the first pixels are not where their sizes put them"
        yield Finding(LEVELS, "warning", f"{text} (their translation should be half the difference of the scales)")
    if not problems:
        shown = ", ".join(f"{level.shape.w} x {level.shape.h}" for level in image.levels)
        yield Finding(LEVELS, "ok", f"{len(image.levels)}: {shown} px")


def _order(finer: StoredLevel, coarser: StoredLevel) -> str:
    one, two = finer.shape, coarser.shape
    if two.w <= one.w and two.h <= one.h and two != one:
        return ""
    return f"{coarser.path} has {two.w} x {two.h} px, not less than {finer.path} with {one.w} x {one.h}"


def _cover(first: StoredLevel, level: StoredLevel) -> str:
    """What is wrong with a level's extent; it may differ by one of its pixels, because sizes are whole."""
    if not (level.scale.x > 0 and level.scale.y > 0):
        return f"{level.path} has pixels of {level.scale.x:g} x {level.scale.y:g}, which is no size"
    wanted = XY(first.shape.w * first.scale.x / level.scale.x, first.shape.h * first.scale.y / level.scale.y)
    if abs(level.shape.w - wanted.x) < 1.001 and abs(level.shape.h - wanted.y) < 1.001:
        return ""
    return (
        f"{level.path} has {level.shape.w} x {level.shape.h} px of {level.scale.x:g} x {level.scale.y:g}; to cover "
        f"level 0 it would have {wanted.x:.1f} x {wanted.y:.1f}"
    )


def _shift(first: StoredLevel, level: StoredLevel) -> float:
    """How far a level lies from its place, in level-0 pixels."""
    x = level.translation.x - first.translation.x - (level.scale.x - first.scale.x) / 2
    y = level.translation.y - first.translation.y - (level.scale.y - first.scale.y) / 2
    return max(abs(x / first.scale.x), abs(y / first.scale.y))
