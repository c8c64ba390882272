"""∞-Diff's networks: the denoiser without what ∞-Brush added and with z, and the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Shape, tiles
from infbrush_wsi.errors import ConditionError, ConfigError
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.infbrush.block import PointBlock
from infbrush_wsi.models.infdiff import PRESETS, InfDiffEncoder, encoder_preset, preset
from infbrush_wsi.operators.barrier import Barrier, run_with
from infbrush_wsi.operators.cano import CrossAttentionNeuralOperator
from infbrush_wsi.operators.grid_layers import CrossAttention, GridBlock
from infbrush_wsi.operators.self_attention import SelfAttentionOperator

T = torch.tensor([400])
WIDTH = 6
MILLIONS = {"paper-128": (50, 65), "paper-256": (320, 400)}
"""43.6 and 321.5 in the published code, whose levels are as wide as the level above times its multiplier."""

transfers = pytest.mark.parametrize("transfer", ["splat", "knn"])


def latent(*rows: Tensor) -> ConditionBatch:
    return ConditionBatch(torch.zeros(len(rows), dtype=torch.bool), embeddings=torch.stack(rows)[:, None])


@pytest.fixture
def denoiser(make: Any) -> Any:
    changes = {"classes": (), "cano": "off", "cross_attention": False, "latent_dim": WIDTH}
    return lambda **more: make.small(**(changes | more))


@pytest.fixture
def encoder(make: Any) -> Any:
    def build(**changes: Any) -> InfDiffEncoder:
        torch.manual_seed(0)
        sizes = {"width": 8, "kernel_size": 5, "grid_side": 8, "grid_width": 8, "grid_multipliers": (1, 2)}
        net: InfDiffEncoder = make.awakened(
            InfDiffEncoder(**(sizes | {"grid_attention_from": 1, "latent_dim": WIDTH} | changes))
        )
        return net

    return build


@pytest.mark.parametrize("name", PRESETS)
def test_presets_leave_out_what_infbrush_added(name: str) -> None:
    with torch.device("meta"):
        arguments = preset(name, window=256)
        net, encoder = InfBrushDenoiser(**arguments), InfDiffEncoder(**encoder_preset(arguments))
    added = (CrossAttentionNeuralOperator, SelfAttentionOperator, CrossAttention)
    assert not any(isinstance(module, added) for module in net.modules())
    if name in MILLIONS:
        low, high = MILLIONS[name]
        assert low < sum(p.numel() for p in net.parameters()) / 1e6 < high
    assert encoder.config.latent_dim == net.config.latent_dim


def test_an_unconditional_denoiser_has_no_latent() -> None:
    with torch.device("meta"):
        net = InfBrushDenoiser(**preset("tiny", window=64, latent_dim=0))
    assert not [name for name, _ in net.named_parameters() if "latent" in name]


@transfers
@pytest.mark.parametrize("shape", [Shape(32, 32), Shape(23, 41)])
def test_all_pixels_scattered_equal_the_tile(
    make: Any, denoiser: Any, encoder: Any, transfer: str, shape: Shape
) -> None:
    net, enc = denoiser(transfer=transfer), encoder(transfer=transfer)
    x, z = torch.randn(1, shape.count, 3), latent(torch.randn(WIDTH))
    with torch.no_grad():
        both = [
            (net(x, support, T, z), enc(x, support))
            for support in (make.scattered(net, shape, shape.count, name="uniform"), make.lattice(net, shape))
        ]
    assert both[1][0].std() > 0.05
    assert both[1][1].abs().max() > 0.05
    for sparse, dense in zip(*both, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=2e-5)


@transfers
@pytest.mark.parametrize("side", [9, 16])
def test_encoded_in_tiles_it_is_the_same(make: Any, encoder: Any, transfer: str, side: int) -> None:
    net, shape = encoder(transfer=transfer, grid_pitch=3.2, grid_side=10), Shape(37, 41)
    x = torch.randn(1, shape.count, 3)
    image, total = x.reshape(*shape.as_tuple(), 3), None
    with torch.no_grad():
        whole = net(x, make.lattice(net, shape))
        for box in tiles(shape, side):
            support = make.lattice(net, shape, owned=box, halo=net.reach())
            barrier = run_with(net.program(image[support.box.slices].reshape(1, -1, 3), support), [])
            assert isinstance(barrier, Barrier)
            total = barrier.partial.added_to(total)
        found = run_with(net.program(x, make.lattice(net, shape)), [barrier.finish(total)])
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


def test_a_smooth_image_has_the_same_z_at_another_resolution(make: Any, encoder: Any) -> None:
    """A function, not its pixels."""
    net, shape = encoder(), Shape(32, 32)

    def image(coords: Tensor, shift: float = 0.0) -> Tensor:
        y, x = coords.unbind(-1)
        return torch.stack([torch.sin(y / 9 + shift), torch.cos(x / 7), torch.sin((x + y) / 11)], dim=-1)

    coarse, fine = make.lattice(net, shape), make.lattice(net, Shape(64, 64), 2.0)
    with torch.no_grad():
        z, again, other = (net(image(s.coords, a), s) for s, a in ((coarse, 0.0), (fine, 0.0), (coarse, 2.0)))
    assert (again - z).norm() < 0.1 * (other - z).norm()


def test_the_latent_scales_as_published() -> None:
    """x + conv((LN(x)(1+s1)+b1)(1+z1)), then the MLP likewise, in plain torch and float64."""
    torch.manual_seed(0)
    block = PointBlock(4, 3, 5, latent=WIDTH).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, e, z = (torch.randn(shape, dtype=torch.float64) for shape in ((1, 9, 4), (1, 5), (1, WIDTH)))

    class Alone(torch.nn.Module):
        """A convolution of which every point sees itself only, with weight two."""

        def forward(self, m: Tensor, support: object, residual: Tensor) -> Tensor:
            return residual + 2 * m

    block.conv = Alone()  # type: ignore[assignment]
    s1, b1, s2, b2 = block.modulation(F.gelu(e)).unsqueeze(1).chunk(4, dim=-1)
    z1, z2 = (1 + scale.layers(z).unsqueeze(1) for scale in block.latents)  # type: ignore[union-attr]
    h = x + 2 * (block.norm1(x) * (1 + s1) + b1) * z1
    expected = h + block.contract(F.gelu(block.expand((block.norm2(h) * (1 + s2) + b2) * z2)))
    torch.testing.assert_close(block(x, None, e, latent=z), expected)  # type: ignore[arg-type]


def test_the_latent_scales_grid_blocks_as_published() -> None:
    torch.manual_seed(0)
    block = GridBlock(4, 4, 5, latent=WIDTH).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, e, z = (torch.randn(shape, dtype=torch.float64) for shape in ((2, 4, 6, 6), (2, 5), (2, WIDTH)))
    scale, shift = block.modulation(e)[..., None, None].chunk(2, dim=1)  # type: ignore[misc]
    factor = 1 + block.latent.layers(z)[..., None, None]  # type: ignore[union-attr]
    h = (block.norm2(block.conv1(F.gelu(block.norm1(x)))) * (1 + scale) + shift) * factor
    torch.testing.assert_close(block(x, e, z), x + block.conv2(F.gelu(h)))


def test_latents_and_their_absence_change_the_output(make: Any, denoiser: Any) -> None:
    net, shape = denoiser(), Shape(16, 16)
    support, x = make.lattice(net, shape, batch=2), torch.randn(1, shape.count, 3).expand(2, -1, -1)
    a, b = torch.randn(2, WIDTH)
    with torch.no_grad():
        first, second = net(x, support, T.expand(2), latent(a, b))
        missing, also = net(x, support, T.expand(2), latent(a, b).dropped(torch.tensor([True, True])))
        none = net(x, support, T.expand(2), ConditionBatch.none(2))[0]
    assert (first - second).abs().max() > 1e-3
    assert (first - none).abs().max() > 1e-3
    torch.testing.assert_close(missing, none)
    torch.testing.assert_close(also, none)


def test_every_weight_of_both_networks_is_used(make: Any, denoiser: Any, encoder: Any) -> None:
    net, enc, shape = denoiser().train(), encoder().train(), Shape(24, 24)
    support, x = make.scattered(net, shape, 200, batch=2), torch.randn(2, 200, 3)
    condition = latent(*enc(x, support)).dropped(torch.tensor([False, True]))
    net(x, support, torch.tensor([3, 700]), condition).square().mean().backward()
    for network in (net, enc):
        idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert idle == []


def test_checkpointing_gives_equal_gradients(make: Any, denoiser: Any, encoder: Any) -> None:
    net, enc, shape = denoiser().train(), encoder().train(), Shape(24, 24)
    support, x = make.scattered(net, shape, 200), torch.randn(1, 200, 3)
    gradients = []
    for layers in (0, 9):
        net.recomputed_layers = enc.recomputed_layers = layers
        both = torch.nn.ModuleList([net, enc])
        both.zero_grad()
        net(x, support, T, latent(*enc(x, support))).square().mean().backward()
        gradients.append([p.grad.clone() for p in both.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_a_saved_encoder_is_the_same(make: Any, encoder: Any, tmp_path: Path) -> None:
    net, shape = encoder(), Shape(16, 20)
    net.save_pretrained(tmp_path)
    again = InfDiffEncoder.from_pretrained(tmp_path)
    x = torch.randn(1, shape.count, 3)
    with torch.no_grad():
        found, expected = (n(x, make.lattice(net, shape)) for n in (again, net))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_refusals(make: Any, denoiser: Any) -> None:
    net, shape = denoiser(), Shape(16, 16)
    support, x = make.lattice(net, shape), torch.randn(1, shape.count, 3)
    with pytest.raises(ConditionError, match="one latent of width 6"):
        net(x, support, T, latent(torch.randn(WIDTH + 1)))
    with pytest.raises(ConfigError, match="embeddings or latents, not both"):
        InfBrushDenoiser(embedding_dim=3, latent_dim=4)
    with pytest.raises(ConfigError, match="latent_dim must be at least 1"):
        InfDiffEncoder(latent_dim=0)
    with pytest.raises(ConfigError, match="kernel_size must be odd"):
        InfDiffEncoder(kernel_size=4)
    with pytest.raises(ConfigError, match=r"'huge'.*tiny, small, paper-128"):
        preset("huge", window=128)
    with pytest.raises(ConfigError, match=r"grid of 128 nodes.*64 pixels"):
        preset("paper-256", window=64)
