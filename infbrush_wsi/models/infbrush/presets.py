"""Sizes of the denoiser that are known to work together with a training window."""

from __future__ import annotations

from typing import Any

from infbrush_wsi.errors import ConfigError

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "width": 32,
        "blocks": 2,
        "grid_side": 32,
        "grid_width": 32,
        "grid_multipliers": (1, 2, 3),
        "grid_blocks": 1,
        "grid_attention_from": 2,
        "embedding_width": 128,
    },
    "small": {
        "width": 64,
        "blocks": 3,
        "grid_side": 64,
        "grid_width": 64,
        "grid_multipliers": (1, 2, 4, 8),
        "grid_blocks": 2,
        "grid_attention_from": 2,
        "embedding_width": 256,
        "dropout": 0.1,
    },
    "paper": {
        "width": 64,
        "blocks": 3,
        "grid_side": 128,
        "grid_width": 64,
        "grid_multipliers": (1, 2, 4, 8, 8),
        "grid_blocks": 2,
        "grid_attention_from": 3,
        "embedding_width": 256,
        "cano": "paper",
        "self_attention": True,
        "position": "extent",
        "transfer": "knn",
        "dropout": 0.1,
    },
}
"""'tiny' trains on two CPU cores; 'small' wants a GPU; 'paper' is the published 78 M configuration as far as it is
known: sizes inferred from the parameter count, CANO over time, condition and coordinates, k-NN transfer."""


def preset(name: str, *, window: int, **changes: Any) -> dict[str, Any]:
    """Keyword arguments of `InfBrushDenoiser` for a preset.

    Args:
        name: 'tiny', 'small' or 'paper'.
        window: side of the training window in pixels; the grid covers it with the preset's number of nodes.
        **changes: arguments to override.

    Raises:
        ConfigError: for another name, or a window with less than one pixel per node.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; choose one of {', '.join(PRESETS)}")
    return fitted(name, PRESETS[name] | changes, window)


def fitted(name: str, arguments: dict[str, Any], window: int) -> dict[str, Any]:
    """The arguments of a preset with the pitch by which its grid covers a window.

    Raises:
        ConfigError: if a node has less than one pixel.
    """
    side = arguments["grid_side"]
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise ConfigError(f"grid_side must be a positive whole number of nodes, not {str(side)[:40]!r}")
    if window < side:
        raise ConfigError(
            f"preset {name!r} has a grid of {arguments['grid_side']} nodes a side, more than the window's {window} "
            "pixels; enlarge the window or lower grid_side"
        )
    return {"grid_pitch": window / arguments["grid_side"]} | arguments
