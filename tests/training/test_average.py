"""The moving average of the weights against its definition, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from infbrush_wsi.training.average import decay_at, weight_average


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.9995])
def test_the_average_is_the_weighted_sum_of_all_that_was_seen(decay: float) -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 2, dtype=torch.float64)
    average = weight_average(network, decay)
    seen = []
    for _ in range(12):
        with torch.no_grad():
            network.weight.normal_()
        seen.append(network.weight.detach().clone())
        average.update_parameters(network)
    expected = torch.zeros_like(seen[0])
    rest = 1.0
    for k in reversed(range(12)):
        kept = 0.0 if k == 0 else min(decay, 1 - (1 + k) ** (-2 / 3))
        expected += rest * (1 - kept) * seen[k]
        rest *= kept
    assert rest == 0
    torch.testing.assert_close(average.module.weight, expected, rtol=1e-12, atol=1e-12)


def test_the_published_average_keeps_the_same_share_from_the_start() -> None:
    network = nn.Linear(3, 2, dtype=torch.float64)
    average = weight_average(network, 0.9, ramp=False)
    average.update_parameters(network)
    first = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    average.update_parameters(network)
    torch.testing.assert_close(average.module.weight, first + 0.1, rtol=0, atol=1e-12)


def test_the_decay_rises_to_its_limit() -> None:
    values = [decay_at(k, 0.99) for k in range(5000)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] == 0.99
    assert decay_at(31_622, 1.0) == pytest.approx(0.999, abs=1e-6)


def test_the_average_takes_no_part_in_training() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    average = weight_average(network, 0.9)
    before = copy.deepcopy(network.state_dict())
    assert not any(p.requires_grad for p in average.parameters())
    assert not average.module.training
    assert network.training
    with torch.no_grad():
        network[0].weight.add_(1)
    torch.testing.assert_close(average.module.state_dict(), before)
