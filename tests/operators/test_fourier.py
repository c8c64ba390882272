"""The spectral convolution: against a slow sum, its gradient, and across resolutions."""

import pytest
import torch

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.operators.alias_free import resample
from infbrush_wsi.operators.fourier import SpectralConv2d


def by_definition(layer: SpectralConv2d, x: torch.Tensor) -> torch.Tensor:
    """Every mode on its own, in complex128; negative x frequencies by symmetry."""
    b, _, h, w = x.shape
    spectrum = torch.fft.fft2(x.double(), norm="forward")
    weight = torch.view_as_complex(layer.weight.detach().double())
    out = torch.zeros(b, weight.shape[-1], h, w, dtype=torch.complex128)
    my, mx = layer.modes
    for ky in range(-my + 1, my):
        for kx in range(mx):
            part = spectrum[:, :, ky, kx] @ weight[ky, kx]
            out[:, :, ky, kx] += part if kx else 0.5 * part
            out[:, :, -ky, -kx] += part.conj() if kx else 0.5 * part.conj()
    return torch.fft.ifft2(out, norm="forward").real.float()


@pytest.mark.parametrize("shape", [(12, 12), (9, 14)])
def test_it_multiplies_low_modes(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer, x = SpectralConv2d(3, 2, (4, 3)), torch.randn(2, 3, *shape)
    torch.testing.assert_close(layer(x), by_definition(layer, x), rtol=1e-4, atol=1e-5)


def test_one_function_gives_one_output_at_all_resolutions() -> None:
    torch.manual_seed(1)
    layer, x = SpectralConv2d(2, 2, (5, 5)), torch.randn(1, 2, 16, 16)
    fine = layer(resample(x, (48, 40)))
    torch.testing.assert_close(resample(fine, (16, 16)), layer(x), rtol=1e-4, atol=1e-5)


def test_lattices_with_fewer_modes_use_what_they_hold() -> None:
    layer = SpectralConv2d(1, 1, (12, 12))
    assert layer(torch.randn(1, 1, 8, 7)).shape == (1, 1, 8, 7)


def test_gradients() -> None:
    layer = SpectralConv2d(1, 2, (2, 2))
    x = torch.randn(1, 1, 5, 6)
    base = float(layer(x).square().sum())
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    direction, step = torch.randn_like(layer.weight), 1e-3
    slope = float((layer.weight.grad * direction).sum())
    with torch.no_grad():
        layer.weight += step * direction
    assert (float(layer(x).square().sum()) - base) / step == pytest.approx(slope, rel=0.05, abs=1e-3)


def test_no_modes_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one mode"):
        SpectralConv2d(1, 1, (0, 3))
