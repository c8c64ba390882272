"""Which level a step is trained at, and which runs can follow a curriculum."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.curriculum import check_curriculum, coarsening

Make = Callable[..., RunConfig]


def test_stages_follow_each_other_and_end_at_the_full_resolution() -> None:
    stages = [(0.5, 4), (0.2, 2)]
    assert [coarsening(stages, step, 10) for step in range(10)] == [4] * 5 + [2] * 2 + [1] * 3
    assert coarsening([], 0, 10) == 1


def test_wrong_curricula_are_told(config: Make) -> None:
    with pytest.raises(ConfigError, match="sum of at most 1"):
        config(optim__curriculum=[[0.8, 4], [0.4, 2]])
    with pytest.raises(ConfigError, match=r"for multilevel, not for model\.system 'infbrush'"):
        check_curriculum(config(optim__curriculum=[[0.5, 2]]))
    given = {"model__system": "multilevel", "optim__curriculum": [[0.5, 3]]}
    with pytest.raises(ConfigError, match="window of 32 pixels cannot be made 3 times coarser"):
        check_curriculum(config(**given))
    with pytest.raises(ConfigError, match=r"needs optim\.steps"):
        check_curriculum(config(**given, optim__minutes=1.0))
    check_curriculum(config(model__system="multilevel", optim__curriculum=[[0.5, 4]]))
