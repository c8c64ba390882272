"""Results that depend on index tensors only, kept as long as those live: made once a batch, shared by all layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_Result = TypeVar("_Result")


def cached_by_tensor(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Keep the last result for each first argument, a tensor, until that tensor is gone.

    A result is used again only for the very same tensors, unchanged in place since, and equal other arguments. Nothing
    is kept or taken while a CUDA graph is recorded: memory of the graph is written anew by its next replay.
    """
    kept: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    @wraps(function)
    def cached(first: Tensor, *others: Any) -> _Result:
        tensors = [a for a in (first, *others) if isinstance(a, Tensor)]
        if any(t.is_inference() for t in tensors) or _capturing(first):
            return function(first, *others)
        versions = [t._version for t in tensors]
        entry = kept.get(first)
        if entry is not None and entry[0] == versions and _same(entry[1], others):
            return entry[2]  # type: ignore[no-any-return]
        result = function(first, *others)
        kept[first] = (versions, others, result)
        return result

    return cached


def _same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return len(before) == len(now) and all(
        a is b if isinstance(a, Tensor) or isinstance(b, Tensor) else a == b for a, b in zip(before, now, strict=True)
    )


def _capturing(tensor: Tensor) -> bool:
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
