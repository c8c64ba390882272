"""Where a layout's origin lies on the canvas."""

from __future__ import annotations

import math
from typing import Any

from infbrush_wsi.domain import XY
from infbrush_wsi.errors import ConditionError


def check_offset(offset: Any) -> XY:
    """An (x, y) of finite numbers.

    Raises:
        ConditionError: if it is none.
    """
    try:
        x, y = (float(value) for value in offset)
    except (TypeError, ValueError):
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ConditionError(f"the offset of a layout must be a finite (x, y) in units of the canvas, not {offset!r}")
    return XY(x, y)
