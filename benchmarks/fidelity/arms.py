"""The published choices, ours, and each of ours alone, as configurations of one training run."""

from __future__ import annotations

from typing import Any

Settings = dict[str, dict[str, Any]]

BASE: Settings = {
    "data": {"labels": "folder", "window": 128, "points": 1024, "workers": 0, "assume_mpp": 1.0, "mpp": [1.0]},
    "model": {"preset": "tiny"},
    "optim": {"batch": 8},
    "record": {"checkpoint_every": 1_000_000, "keep": 1},
}
"""1,024 points of 128², a sixteenth: the share of the published 65,536 points of 1024². Learning rate, its course and
the moving average of the weights are the same for all arms."""

PUBLISHED: Settings = {
    "data": {"sampler": "uniform"},
    "model": {
        "prediction": "epsilon",
        "scale_input": False,
        "overrides": {"cano": "paper", "position": "extent", "transfer": "knn"},
    },
}

CHANGES: dict[str, Settings] = {
    "mixed": {"data": {"sampler": "mixed"}},
    "scaled": {"model": {"scale_input": True}},
    "velocity": {"model": {"prediction": "velocity"}},
    "splat": {"model": {"overrides": {"transfer": "splat"}}},
    "cell": {"model": {"overrides": {"position": "cell"}}},
    "sets": {"model": {"overrides": {"cano": "sets"}}},
}
TRIALS: dict[str, Settings] = {
    "min-snr": {"optim": {"snr_gamma": 5.0}},
    "ema": {"optim": {"ema_ramp": False}},
}
"""Settings that are put on ours alone and are no part of it."""
WHAT = {
    "published": "the published choices",
    "ours": "all changes (the package's defaults)",
    "mixed": "points half in dense windows, weighted by density",
    "scaled": "x_t divided by its standard deviation",
    "velocity": "v-prediction of coloured noise",
    "splat": "splat transfer in the place of nearest neighbours",
    "cell": "position within a grid cell in the place of the image",
    "sets": "CANO over the condition only",
    "min-snr": "ours with the loss weighted by min(SNR, 5)",
    "ema": "ours with the published moving average: 0.995 every ten steps from the start",
}
PUBLISHED_SAMPLER: dict[str, Any] = {"scheduler": "ddim", "num_inference_steps": 50}
OUR_SAMPLER: dict[str, Any] = {"scheduler": "dpmsolver++", "num_inference_steps": 20}


VARIANTS: dict[str, dict[str, Any]] = {
    "dpm10": OUR_SAMPLER | {"num_inference_steps": 10},
    "dpm40": OUR_SAMPLER | {"num_inference_steps": 40},
    "ddim50": PUBLISHED_SAMPLER,
    "guided1.5": OUR_SAMPLER | {"guidance_scale": 1.5},
    "guided3": OUR_SAMPLER | {"guidance_scale": 3.0},
    "last": OUR_SAMPLER,
}
"""Other ways to sample the model of 'ours'; 'last' takes the weights of the last step, not their average."""


def settings_of(arm: str) -> Settings:
    """The run of an arm, without sources, length and seed.

    Args:
        arm: 'published', 'ours', one of `CHANGES`: the published choices with that change alone, or one of `TRIALS`.
    """
    parts = [BASE, PUBLISHED]
    if arm == "ours" or arm in TRIALS:
        parts += [*CHANGES.values(), TRIALS.get(arm, {})]
    elif arm != "published":
        parts.append(CHANGES[arm])
    found: Settings = {}
    for part in parts:
        found = _merged(found, part)
    return found


def sampler_of(arm: str) -> dict[str, Any]:
    """How an arm's images are sampled."""
    return OUR_SAMPLER if arm == "ours" or arm in TRIALS else PUBLISHED_SAMPLER


def _merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    both = set(one) & set(two)
    return (
        one | two | {k: _merged(one[k], two[k]) for k in both if isinstance(one[k], dict) and isinstance(two[k], dict)}
    )
