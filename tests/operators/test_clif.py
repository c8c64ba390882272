"""CLIF: what it gathers is what the paper's formula says, and a patch equals the same patch of the whole."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from infbrush_wsi.domain import Box, Shape, tiles
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.clif import Clif, gathered
from infbrush_wsi.operators.query import Query


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def renderer(norm: str = "channel", dtype: torch.dtype = torch.float64) -> Clif:
    torch.manual_seed(0)
    return Clif(6, 16, 2, 3, norm).to(dtype).eval()  # type: ignore[arg-type]


def test_gathers_what_the_published_formula_says() -> None:
    """Science: grid_sample nearest, rel = (x - xf) (H, W), rcell = s (H, W) on [-1, 1]^2 (CLIF, ConcatWrapper)."""
    features, side = drawn(1, 5, 8, 8), 21  # no pixel centre lies on a border of cells
    query = Query.window(Box(0, 0, side, side), (8 / side, 8 / side))
    centre = (2 * torch.arange(side, dtype=torch.float64) + 1) / side - 1
    grid = torch.stack(torch.meshgrid(centre, centre, indexing="ij"), -1)
    nodes = (2 * torch.arange(8, dtype=torch.float64) + 1) / 8 - 1
    places = torch.stack(torch.meshgrid(nodes, nodes, indexing="ij"))[None]
    sample = lambda values: functional.grid_sample(values, grid.flip(-1)[None], "nearest", align_corners=False)  # noqa: E731
    relative = (grid.permute(2, 0, 1)[None] - sample(places)) * 8
    cell = torch.full((1, 2, side, side), 2 / side * 8, dtype=torch.float64)
    expected = torch.cat([sample(features), relative, cell], 1)
    torch.testing.assert_close(gathered(features, query, 0), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["channel", "none"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_patches_equal_the_whole(norm: str, dtype: torch.dtype, tolerance: float) -> None:
    features, clif = drawn(1, 6, 8, 8, dtype=dtype), renderer(norm, dtype)
    shape, cell = Shape(53, 41), (8 / 53, 8 / 41)
    with torch.no_grad():
        whole = clif(features, Query.window(Box(0, 0, shape.w, shape.h), cell))
        for box in tiles(shape, 19):
            patch = clif(features, Query.window(box, cell))
            rows, columns = box.slices
            torch.testing.assert_close(patch, whole[..., rows, columns], rtol=0, atol=tolerance)


def test_looks_exactly_its_reach_away() -> None:
    """A changed feature reaches the pixels that lie `reach` pixels from its cell, and none beyond."""
    clif, features = renderer(), drawn(1, 6, 9, 9)
    changed = features.clone()
    changed[..., 4, 4] += 1
    query = Query.window(Box(0, 0, 36, 36), (0.25, 0.25))
    with torch.no_grad():
        touched = (clif(changed, query) - clif(features, query)).abs().amax((0, 1)) > 0
    rows = touched.any(1).nonzero()
    assert (int(rows.min()), int(rows.max())) == (16 - clif.reach, 19 + clif.reach)


def test_a_batch_renders_each_window_of_its_own_map() -> None:
    clif, features = renderer(), drawn(2, 6, 8, 8)
    queries = [
        Query.window(Box(3, 5, 12, 10), (0.3, 0.2), (0.5, 1.0)),
        Query.window(Box(-4, 0, 12, 10), (1.5, 1.5)),
    ]
    with torch.no_grad():
        together = clif(features, Query.stacked(queries))
        for k, query in enumerate(queries):
            torch.testing.assert_close(together[k : k + 1], clif(features[k : k + 1], query), rtol=0, atol=1e-13)


def test_gradient() -> None:
    torch.manual_seed(1)
    clif = Clif(2, 4, 1, 1).double()
    features = drawn(1, 2, 3, 3).requires_grad_()
    query = Query.window(Box(0, 0, 4, 4), (0.75, 0.75))
    assert torch.autograd.gradcheck(lambda f: clif(f, query), (features,))


def test_refuses_what_it_cannot_be() -> None:
    with pytest.raises(ConfigError, match="norm"):
        Clif(norm="group")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="positive"):
        Clif(width=0)
