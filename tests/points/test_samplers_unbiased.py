"""Monte-Carlo proof that the loss weights are inverse inclusion probabilities, at borders and corners too."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.domain import Shape
from infbrush_wsi.points.samplers import make_sampler

SHAPE = Shape(26, 21)  # no multiple of the windows
DRAWS = 4000


def rough(shape: Shape) -> np.ndarray:
    """A function with all frequencies that is largest at the border."""
    y, x = np.mgrid[: shape.h, : shape.w]
    edge = np.minimum.reduce([y, x, shape.h - 1 - y, shape.w - 1 - x])
    return np.random.default_rng(7).normal(size=shape.as_tuple()) + 3.0 / (1 + edge) + 0.1 * x


def regions(shape: Shape) -> dict[str, np.ndarray]:
    y, x = np.mgrid[: shape.h, : shape.w]
    edge = np.minimum.reduce([y, x, shape.h - 1 - y, shape.w - 1 - x])
    corner = np.maximum(np.minimum(y, shape.h - 1 - y), np.minimum(x, shape.w - 1 - x)) < 3
    return {"border": edge == 0, "corners": corner, "near": edge == 3, "middle": edge >= 6}


def check_mean(samples: np.ndarray, expected: float) -> None:
    error = samples.std(ddof=1) / np.sqrt(len(samples))
    assert abs(samples.mean() - expected) < 4 * error + 1e-9, (samples.mean(), expected, error)


@pytest.mark.parametrize(
    ("name", "options", "points"),
    [
        ("mixed", {"window": 8, "share": 0.6}, 230),
        ("mixed", {"window": 13, "share": 1.0}, 400),
        ("uniform", {}, 60),
        ("stratified", {}, 60),
        ("stratified", {}, 300),
        ("halton", {}, 60),
        ("tissue", {"floor": 0.2}, 150),
    ],
)
def test_weighted_mean_is_unbiased(name: str, options: dict[str, float], points: int) -> None:
    f, sampler = rough(SHAPE), make_sampler(name, **options)
    density = np.random.default_rng(1).random((4, 3)) ** 2
    masks = regions(SHAPE)
    estimates, included = np.empty(DRAWS), {region: np.empty(DRAWS) for region in masks}
    rng = np.random.default_rng(11)
    for k in range(DRAWS):
        draw = sampler.draw(rng, SHAPE, points, density)
        at = tuple(draw.index_yx.T)
        estimates[k] = np.mean(draw.weight * f[at])
        for region, mask in masks.items():
            included[region][k] = draw.weight[mask[at]].sum() / points
    check_mean(estimates, f.mean())
    for region, mask in masks.items():
        check_mean(included[region], mask.mean())


def test_halton_spreads_more_evenly_than_uniform() -> None:
    shape, points, cells = Shape(256, 256), 1024, 16
    spread = {}
    for name in ("uniform", "halton", "stratified"):
        variances = []
        for seed in range(5):
            index = make_sampler(name).draw(np.random.default_rng(seed), shape, points).index_yx // cells
            counts = np.zeros((cells, cells))
            np.add.at(counts, tuple(index.T), 1)
            variances.append(counts.var())
        spread[name] = np.mean(variances)
    assert spread["halton"] < 0.4 * spread["uniform"]
    assert spread["stratified"] < 0.4 * spread["uniform"]
