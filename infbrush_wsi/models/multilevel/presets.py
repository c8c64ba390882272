"""Sizes of the score networks."""

from __future__ import annotations

from typing import Any

from infbrush_wsi.errors import ConfigError

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"kind": "cno", "width": 24, "multipliers": (1, 2, 2), "layers": 1, "embedding_width": 128},
    "tiny-fno": {"kind": "fno", "width": 32, "modes": 12, "layers": 4, "embedding_width": 128},
    "tiny-unet": {"kind": "unet", "width": 32, "multipliers": (1, 2, 2), "layers": 1},
    "small": {"kind": "unet", "width": 64, "multipliers": (1, 2, 2, 4), "layers": 2},
    "paper": {"kind": "fno", "width": 32, "modes": 14, "layers": 4, "embedding_width": 0},
}
"""'tiny' and its variants train on two CPU cores, 'small' wants a GPU; 'paper' is the published FNO, unconditional."""


def preset(name: str, **changes: Any) -> dict[str, Any]:
    """Keyword arguments of `MultilevelDenoiser` for a preset.

    Args:
        name: of `PRESETS`.
        **changes: arguments to override.

    Raises:
        ConfigError: for another name.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset of 'multilevel' is called {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name] | changes
