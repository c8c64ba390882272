"""Moving a batch: every tensor of it, however deep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Shape
from infbrush_wsi.points.prepare import Layout, scatter_support
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.training.batch import TrainBatch


def tensors_of(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))


@pytest.fixture
def batch() -> TrainBatch:
    import numpy as np

    shape = Shape(16, 16)
    draws = [make_sampler("uniform").draw(np.random.default_rng(0), shape, 20) for _ in range(2)]
    support = scatter_support(draws, shape, Layout(5, 4.0, "splat"))
    values, labels = torch.zeros(2, 20, 3), torch.tensor([0, 1])
    condition = ConditionBatch(labels > 0, labels=labels)
    return TrainBatch(values, values, values[..., 0], support, condition, labels, labels.float(), ("a", "b"))


def test_every_tensor_moves_and_the_rest_stays(batch: TrainBatch) -> None:
    moved = batch.to("meta")
    devices = [t.device.type for t in tensors_of(moved)]
    assert len(devices) == len(list(tensors_of(batch))) == 24
    assert set(devices) == {"meta"}
    assert (moved.origin, moved.support.grid, moved.support.extent) == (("a", "b"), batch.support.grid, (16.0, 16.0))
    assert moved.support.neighbours.kernel_size == 5


@pytest.mark.gpu
def test_pinned_batches_reach_a_gpu(batch: TrainBatch) -> None:
    pinned = batch.pin_memory()
    assert all(t.is_pinned() for t in tensors_of(pinned))
    for there, here in zip(tensors_of(pinned.to("cuda")), tensors_of(batch), strict=True):
        assert torch.equal(there.cpu(), here)
