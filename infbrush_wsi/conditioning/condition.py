"""A batch of conditions as tensors: class indices or embedding tokens, each of which may be null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from infbrush_wsi.errors import ConditionError


@dataclass(frozen=True)
class ConditionBatch:
    """Conditions of B images.

    Attributes:
        null: (B,) bool, True where the image has no condition (dropped in training, or the unconditional half of
            classifier-free guidance).
        labels: (B,) int64 class indices, for a model with classes; any value where `null`.
        embeddings: (B, M, D) float32 tokens, for a model with embeddings.
    """

    null: Tensor
    labels: Tensor | None = None
    embeddings: Tensor | None = None

    @classmethod
    def none(cls, batch: int) -> ConditionBatch:
        """`batch` images without a condition."""
        return cls(torch.ones(batch, dtype=torch.bool))

    def dropped(self, mask: Tensor) -> ConditionBatch:
        """The same with the condition removed where `mask` (B,) is True."""
        return replace(self, null=self.null | mask.to(self.null.device))

    @classmethod
    def joined(cls, batches: Sequence[ConditionBatch]) -> ConditionBatch:
        """Several batches one after the other; rows without labels or embeddings must be null.

        Raises:
            ConditionError: if embeddings differ in their number of tokens.
        """
        null = torch.cat([batch.null for batch in batches])
        tokens = {batch.embeddings.shape[1:] for batch in batches if batch.embeddings is not None}
        if len(tokens) > 1:
            raise ConditionError(f"embeddings side by side need the same shape, not {sorted(map(tuple, tokens))}")
        labels, embeddings = None, None
        if any(batch.labels is not None for batch in batches):
            labels = torch.cat([_or_zeros(batch.labels, (len(batch.null),), torch.int64) for batch in batches])
        if tokens:
            shape = tokens.pop()
            parts = [_or_zeros(batch.embeddings, (len(batch.null), *shape), torch.float32) for batch in batches]
            embeddings = torch.cat(parts)
        return cls(null, labels, embeddings)

    def select(self, rows: Sequence[int]) -> ConditionBatch:
        """Some rows."""
        chosen = list(rows)
        return ConditionBatch(
            self.null[chosen],
            None if self.labels is None else self.labels[chosen],
            None if self.embeddings is None else self.embeddings[chosen],
        )

    def and_unconditional(self) -> ConditionBatch:
        """The same with one more row, without a condition."""
        more = replace(self.select([0]), null=torch.ones(1, dtype=torch.bool))
        return ConditionBatch.joined([self, more])

    def with_unconditional(self) -> ConditionBatch:
        """Conditional then unconditional copies, (2B,), for classifier-free guidance."""
        return ConditionBatch(
            torch.cat([self.null, torch.ones_like(self.null)]),
            None if self.labels is None else self.labels.repeat(2),
            None if self.embeddings is None else self.embeddings.repeat(2, 1, 1),
        )

    def to(self, device: torch.device | str) -> ConditionBatch:
        """The same on another device."""
        return ConditionBatch(
            self.null.to(device),
            None if self.labels is None else self.labels.to(device),
            None if self.embeddings is None else self.embeddings.to(device),
        )


def _or_zeros(values: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros(shape, dtype=dtype) if values is None else values
