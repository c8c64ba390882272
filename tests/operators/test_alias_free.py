"""Resampling is exact on band-limited functions, and the activation hardly depends on the resolution."""

import pytest
import torch
import torch.nn.functional as F

from infbrush_wsi.operators.alias_free import AliasFreeActivation, WindowedSinc, resample


def waves(n: int, *, highest: int = 5, count: int = 30) -> torch.Tensor:
    """A random trigonometric polynomial at pixel centres, (1, 1, n, n), in float64."""
    generator = torch.Generator().manual_seed(3)
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    total = torch.zeros(n, n, dtype=torch.float64)
    for _ in range(count):
        ky, kx = torch.randint(-highest, highest + 1, (2,), generator=generator).tolist()
        phase = float(torch.rand(1, generator=generator)) * 6.3
        total += torch.cos(2 * torch.pi * (ky * x[:, None] + kx * x[None]) + phase)
    return (total / count**0.5)[None, None]


@pytest.mark.parametrize(("old", "new"), [(16, 32), (32, 16), (16, 21), (15, 32), (33, 12)])
def test_band_limited_functions_are_resampled_exactly(old: int, new: int) -> None:
    found = resample(waves(old).float(), (new, new))
    torch.testing.assert_close(found, waves(new).float(), rtol=0, atol=2e-6)


def test_shrinking_cuts_what_does_not_fit() -> None:
    low, high = waves(64, highest=5), waves(64, highest=30)
    x = torch.arange(64, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * 20 * (x + 0.5) / 64)[None, None, None].expand(1, 1, 64, 64)
    torch.testing.assert_close(resample((low + wave).float(), (16, 16)), waves(16).float(), rtol=0, atol=3e-6)
    assert resample(high.float(), (64, 64)).equal(high.float())


def test_the_windowed_sinc_is_near_the_fourier_series() -> None:
    sinc, x = WindowedSinc(taps=24), waves(32).float()
    torch.testing.assert_close(sinc.up(x), resample(x, (64, 64)), rtol=0, atol=0.03)
    torch.testing.assert_close(sinc.down(sinc.up(x)), x, rtol=0, atol=0.03)
    x = torch.arange(64.0)
    wave = torch.cos(2 * torch.pi * 28 * (x + 0.5) / 64)[None, None, None].expand(1, 1, 64, 64)
    assert float(sinc.down(wave).abs().max()) < 0.02


@pytest.mark.parametrize("local", [False, True])
def test_an_activation_at_double_resolution_aliases_less(local: bool) -> None:
    """Against the band-limited truth: the nonlinearity on a very fine lattice, then cut."""
    truth = resample(F.relu(resample(waves(16).float(), (256, 256))), (16, 16))
    found = AliasFreeActivation(F.relu, local=local)(waves(16).float())
    plain = F.relu(waves(16).float())
    keep = (resample(v, (13, 13)) for v in (truth, found, plain))
    truth, found, plain = keep
    assert (found - truth).norm() < 0.6 * (plain - truth).norm()


def test_it_commutes_with_shifts_by_half_a_pixel() -> None:
    """What aliasing breaks: the shift of the output is the output of the shift."""

    def shifted(x: torch.Tensor) -> torch.Tensor:
        return torch.roll(resample(x, (32, 32)), 1, -1)[..., ::2, ::2]

    layer, x = AliasFreeActivation(F.relu), waves(16, highest=4).float()
    ours = (layer(shifted(x)) - shifted(layer(x))).norm()
    plain = (F.relu(shifted(x)) - shifted(F.relu(x))).norm()
    assert ours < 0.5 * plain
