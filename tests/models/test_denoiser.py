"""The denoiser as a function of points, time and condition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import sparse
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConditionError, ConfigError
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.operators.pointwise import affine, modulated_norm
from infbrush_wsi.points.support import ScatterSupport, SparseMatrix

T = torch.tensor([400])
kinds = pytest.mark.parametrize("kind", ["small", "paper_like"])


@kinds
@pytest.mark.parametrize("shape", [Shape(32, 32), Shape(23, 41)])
def test_all_pixels_scattered_equal_the_tile(make: Any, kind: str, shape: Shape) -> None:
    net = getattr(make, kind)()
    x = torch.randn(1, shape.count, 3)
    with torch.no_grad():
        sparse = net(x, make.scattered(net, shape, shape.count, name="uniform"), T, make.labels(1))
        dense = net(x, make.lattice(net, shape), T, make.labels(1))
    assert dense.std() > 0.05
    torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=2e-5)


def renumbered(support: ScatterSupport, order: Tensor) -> ScatterSupport:
    """The same points and maps in another order."""
    n, pairs = len(order), support.neighbours
    place = torch.argsort(order)
    rows = place[torch.repeat_interleave(torch.arange(n), pairs.indptr.diff())]
    sort = torch.argsort(rows, stable=True)
    indptr = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(rows, minlength=n).cumsum(0)])
    neighbours = replace(pairs, indptr=indptr, indices=place[pairs.indices.long()][sort].int(), taps=pairs.taps[sort])

    def matrix(m: SparseMatrix) -> sparse.csr_array:
        parts = (m.data.numpy(), m.indices.numpy(), m.indptr.numpy())
        return sparse.csr_array(parts, shape=(m.rows, len(m.t_indptr) - 1))

    return replace(
        support,
        coords=support.coords[:, order],
        area=support.area[:, order],
        neighbours=neighbours,
        to_grid=SparseMatrix.from_scipy(sparse.csr_array(matrix(support.to_grid)[:, order.numpy()])),
        to_points=SparseMatrix.from_scipy(sparse.csr_array(matrix(support.to_points)[order.numpy()])),
    )


@kinds
def test_order_of_the_points_does_not_matter(make: Any, kind: str) -> None:
    """The layers see sets: renumbering points and maps renumbers the output."""
    net, n = getattr(make, kind)(), 300
    support, order = make.scattered(net, Shape(32, 32), n), torch.randperm(n)
    x = torch.randn(1, n, 3)
    with torch.no_grad():
        expected = net(x, support, T, make.labels(0))[:, order]
        found = net(x[:, order], renumbered(support, order), T, make.labels(0))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
    assert (found - expected[:, torch.randperm(n)]).abs().max() > 0.1


@kinds
def test_images_of_a_batch_are_independent(make: Any, kind: str) -> None:
    net, shape = getattr(make, kind)(), Shape(24, 24)
    support = make.scattered(net, shape, 200, batch=2)
    x, t = torch.randn(2, 200, 3), torch.tensor([100, 900])
    with torch.no_grad():
        before = net(x, support, t, make.labels(0, 1))
        x[1] += 1
        after = net(x, support, torch.tensor([100, 300]), make.labels(0, 2))
    torch.testing.assert_close(after[0], before[0], rtol=1e-5, atol=1e-6)
    assert (after[1] - before[1]).abs().max() > 0.01


@kinds
def test_time_label_and_null_change_the_output(make: Any, kind: str) -> None:
    net, shape = getattr(make, kind)(), Shape(24, 24)
    support, x = make.lattice(net, shape), torch.randn(1, shape.count, 3)
    with torch.no_grad():
        outs = [
            net(x, support, torch.tensor([t]), c)
            for t, c in [
                (10, make.labels(0)),
                (900, make.labels(0)),
                (10, make.labels(1)),
                (10, ConditionBatch.none(1)),
            ]
        ]
        null = net(x, support, torch.tensor([10]), make.labels(2).dropped(torch.tensor([True])))
    for i in range(4):
        for j in range(i):
            assert (outs[i] - outs[j]).abs().max() > 1e-3
    torch.testing.assert_close(null, outs[3])


def test_magnification_changes_the_output_of_a_model_that_knows_it(make: Any) -> None:
    net, shape = make.small(magnification=True), Shape(16, 16)
    support, x = make.lattice(net, shape), torch.randn(1, 256, 3)
    with torch.no_grad():
        a, b, c = (net(x, support, T, make.labels(0), m) for m in (None, torch.zeros(1), torch.ones(1)))
    torch.testing.assert_close(a, b)
    assert (a - c).abs().max() > 1e-3


def test_embeddings_as_conditions(make: Any) -> None:
    net, shape = make.small(classes=(), embedding_dim=12), Shape(16, 16)
    support, x = make.lattice(net, shape), torch.randn(1, 256, 3)
    condition = ConditionBatch(torch.zeros(1, dtype=torch.bool), embeddings=torch.randn(1, 6, 12))
    with torch.no_grad():
        a, b = (net(x, support, T, c) for c in (condition, ConditionBatch.none(1)))
    assert (a - b).abs().max() > 1e-3
    with pytest.raises(ConditionError, match="trained without classes"):
        net(x, support, T, make.labels(0))


@kinds
def test_saved_and_loaded_it_is_the_same(make: Any, kind: str, tmp_path: Path) -> None:
    net, shape = getattr(make, kind)(), Shape(16, 20)
    net.save_pretrained(tmp_path)
    again = InfBrushDenoiser.from_pretrained(tmp_path)
    assert not again.training
    for (name, a), (other, b) in zip(net.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b)
    support, x = make.lattice(net, shape), torch.randn(1, shape.count, 3)
    with torch.no_grad():
        found, expected = (n(x, support, T, make.labels(1)) for n in (again, net))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)  # loaded weights lie in memory otherwise
    assert list(again.config.classes) == ["a", "b", "c"]
    assert not list(tmp_path.glob("*.bin"))


def test_a_fresh_network_predicts_zero(make: Any) -> None:
    net = InfBrushDenoiser()
    assert (net(torch.randn(1, 256, 3), make.lattice(net, Shape(16, 16)), T, ConditionBatch.none(1)) == 0).all()


@kinds
def test_checkpointing_gives_equal_gradients(make: Any, kind: str) -> None:
    net, shape = getattr(make, kind)().train(), Shape(24, 24)
    support, x = make.scattered(net, shape, 200), torch.randn(1, 200, 3)
    gradients = []
    for layers in (0, 1, net.point_layers):
        net.recomputed_layers = layers
        net.zero_grad()
        net(x, support, T, make.labels(0)).square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None})
    for found in gradients[1:]:
        assert gradients[0].keys() == found.keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(found[name], gradient, msg=name)


@kinds
def test_every_weight_is_used(make: Any, kind: str) -> None:
    """Idle weights would break distributed training and mean that something is wired to nothing."""
    net, shape = getattr(make, kind)().train(), Shape(24, 24)
    x = torch.randn(2, 200, 3)
    condition = make.labels(0, 1).dropped(torch.tensor([False, True]))
    net(x, make.scattered(net, shape, 200, batch=2), torch.tensor([3, 700]), condition).square().mean().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_joined_modulation_equals_norm_then_modulation() -> None:
    norm = torch.nn.LayerNorm(6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, scale, shift = torch.randn(2, 9, 6), torch.randn(2, 1, 6), torch.randn(2, 1, 6)
    torch.testing.assert_close(modulated_norm(x, *affine(norm, scale, shift)), norm(x) * (1 + scale) + shift)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"grid_pitch": 0.0}, "grid_pitch must be positive"),
        ({"blocks": 0}, "blocks at least 1"),
        ({"width": 10, "cano_heads": 4}, "10 channels cannot be cut into 4 heads"),
        ({"cano": "full"}, "cano must be one of off, sets, paper"),
        ({"transfer": "bicubic"}, "transfer must be one of splat, knn"),
        ({"position": "here"}, "position must be one of cell, extent, none"),
    ],
)
def test_wrong_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InfBrushDenoiser(**changes)


def test_compiled_layers_give_the_same(make: Any) -> None:
    net, shape = make.small().train(), Shape(24, 24)
    support, x = make.scattered(net, shape, 200), torch.randn(1, 200, 3)
    results = []
    for compiled in (False, True):
        if compiled:
            net.compile_layers(backend="aot_eager")  # traces forward and backward as the compiler does
        net.zero_grad()
        out = net(x, support, T, make.labels(0))
        out.square().mean().backward()
        results.append((out.detach(), *(p.grad.clone() for p in net.parameters() if p.grad is not None)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
