"""The modules of TIAToolbox that are used here, imported on use."""

from __future__ import annotations

from typing import Any

from infbrush_wsi._optional import require

PURPOSE = "share slides with TIAToolbox"


def wsireader() -> Any:
    """``tiatoolbox.wsicore.wsireader``.

    Raises:
        MissingExtraError: without TIAToolbox.
    """
    return require("tiatoolbox.wsicore.wsireader", extra="tiatoolbox", purpose=PURPOSE)


def wsimeta() -> Any:
    """``tiatoolbox.wsicore.wsimeta``."""
    return require("tiatoolbox.wsicore.wsimeta", extra="tiatoolbox", purpose=PURPOSE)


def common_power(mpp: float) -> float:
    """The usual objective power that is nearest to a pixel size in micrometres."""
    misc = require("tiatoolbox.utils.misc", extra="tiatoolbox", purpose=PURPOSE)
    return float(misc.mpp2common_objective_power(mpp))
