"""Coarse first, then fine with the same weights (multilevel training, Multilevel Diffusion §3.5)."""

from __future__ import annotations

from collections.abc import Sequence

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.training.config import RunConfig

SYSTEMS = ("multilevel",)
"""Systems that train on lattices, whose networks take any of them; point sets have no coarser level to begin with."""


def check_curriculum(config: RunConfig) -> None:
    """Refuse a curriculum that the run cannot follow.

    Raises:
        ConfigError: for a system that has none, a run limited in time, or a window that cannot be divided.
    """
    stages = config.optim.curriculum
    if not stages:
        return
    if config.model.system not in SYSTEMS:
        raise ConfigError(f"optim.curriculum is for {', '.join(SYSTEMS)}, not for model.system {config.model.system!r}")
    if config.optim.minutes is not None:
        raise ConfigError("optim.curriculum needs optim.steps: the end of a run in minutes is not known from the start")
    for _, factor in stages:
        if config.data.window % factor or config.data.window // factor < 8:
            raise ConfigError(
                f"optim.curriculum: a window of {config.data.window} pixels cannot be made {factor} times coarser "
                "with 8 whole pixels left; choose another window or factor"
            )


def coarsening(stages: Sequence[tuple[float, int]], step: int, total: int) -> int:
    """How many pixels of the window make one of a step's lattice.

    Args:
        stages: (share of the steps, factor), in order; what is left is trained at factor 1.
        step: steps done before.
        total: steps of the run.
    """
    end = 0.0
    for share, factor in stages:
        end += share
        if step < round(end * total):
            return factor
    return 1
