"""Score networks: shapes, saving, conditions, and what they do across resolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConditionError, ConfigError
from infbrush_wsi.models.multilevel import LatticeNetwork, MultilevelDenoiser, preset
from infbrush_wsi.operators.alias_free import resample

SMALL: dict[str, dict[str, Any]] = {
    "fno": {"width": 8, "modes": 4, "layers": 2, "embedding_width": 16},
    "unet": {"width": 8, "multipliers": (1, 2), "layers": 1},
    "cno": {"width": 8, "multipliers": (1, 2), "layers": 1, "embedding_width": 16},
}
KINDS = ["fno", "unet", "cno"]


def network(kind: Any, **changes: Any) -> MultilevelDenoiser:
    torch.manual_seed(0)
    found: MultilevelDenoiser = MultilevelDenoiser(kind=kind, channels=2, **(SMALL[kind] | changes))
    return found.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(16, 16), (13, 18)])
@torch.no_grad()
def test_any_lattice_goes_in_and_comes_out(kind: str, shape: tuple[int, int]) -> None:
    x, t = torch.randn(2, 2, *shape), torch.tensor([3, 900])
    out = network(kind)(x, t)
    assert out.shape == x.shape
    assert out.isfinite().all()
    assert not torch.allclose(out, network(kind)(x, torch.tensor([900, 3])))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_saved_networks_are_the_same(kind: str, tmp_path: Path) -> None:
    net = network(kind, classes=("a", "b"))
    net.save_pretrained(tmp_path)
    again = MultilevelDenoiser.from_pretrained(tmp_path, low_cpu_mem_usage=False).eval()
    x, t = torch.randn(1, 2, 16, 16), torch.tensor([400])
    given = ConditionBatch(torch.tensor([False]), labels=torch.tensor([1]))
    torch.testing.assert_close(net(x, t, given), again(x, t, given), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_classes_matter_and_the_absent_one_is_the_default(kind: str) -> None:
    net, x, t = network(kind, classes=("a", "b")), torch.randn(1, 2, 16, 16), torch.tensor([400])
    given = [ConditionBatch(torch.tensor([False]), labels=torch.tensor([k])) for k in (0, 1)]
    assert not torch.allclose(net(x, t, given[0]), net(x, t, given[1]))
    assert torch.equal(net(x, t), net(x, t, ConditionBatch.none(1)))
    with pytest.raises(ConditionError, match="2 classes"):
        net(x, t, ConditionBatch(torch.tensor([False]), labels=torch.tensor([2])))


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_a_gradient(kind: str) -> None:
    net = network(kind, classes=("a", "b"))
    given = ConditionBatch(torch.tensor([False, True]), labels=torch.tensor([1, 0]))
    net(torch.randn(2, 2, 16, 16), torch.tensor([10, 500]), given).square().sum().backward()
    unused = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert unused == []


@torch.no_grad()
def test_the_fno_is_nearly_one_operator_at_all_resolutions_and_the_unet_is_not() -> None:
    """The FNO without its nonlinearity's aliasing would be exact; the U-Net's kernels shrink with the pixels."""
    x, t = resample(torch.randn(1, 2, 7, 7), (32, 32)), torch.tensor([500])
    fine = resample(x, (64, 64))
    off = {}
    for kind in ("fno", "unet"):
        net = network(kind)
        coarse = net(x, t)
        off[kind] = float((resample(net(fine, t), (32, 32)) - coarse).norm() / (coarse - coarse.mean()).norm())
    assert off["fno"] < 0.05
    assert off["unet"] > 0.2


@torch.no_grad()
def test_the_cno_follows_shifts_by_half_a_pixel() -> None:
    """With circular convolutions and alias-free layers, at a fixed pixel size it is nearly shift-equivariant."""
    net, t = network("cno", multipliers=(1, 1)), torch.tensor([500])
    x = resample(torch.randn(1, 2, 7, 7), (32, 32))
    moved = torch.roll(resample(x, (64, 64)), 1, -1)
    shifted = resample(torch.roll(resample(net(x, t), (64, 64)), 1, -1), (31, 31))
    assert (resample(net(resample(moved, (32, 32)), t), (31, 31)) - shifted).norm() < 0.02 * shifted.norm()


@torch.no_grad()
def test_points_are_the_lattice_row_by_row() -> None:
    net, x = network("cno"), torch.randn(2, 12 * 10, 2)
    t = torch.tensor([1, 2])
    planes = x.reshape(2, 12, 10, 2).permute(0, 3, 1, 2)
    found = LatticeNetwork(net, Shape(12, 10))(x, t).reshape(2, 12, 10, 2)
    torch.testing.assert_close(found, net(planes, t).permute(0, 2, 3, 1))


def test_presets_can_be_built_and_wrong_choices_are_told() -> None:
    for name in ("tiny", "tiny-fno", "tiny-unet", "paper"):
        assert MultilevelDenoiser(**preset(name)).num_parameters() > 10_000
    with pytest.raises(ConfigError, match="called 'huge'"):
        preset("huge")
    with pytest.raises(ConfigError, match="kind must be one of"):
        MultilevelDenoiser(kind="vit")
    with pytest.raises(ConfigError, match="multiple of 8"):
        MultilevelDenoiser(kind="unet", width=12)
    with pytest.raises(ConfigError, match="embedding_width=0"):
        MultilevelDenoiser(**preset("paper", classes=("a",)))
