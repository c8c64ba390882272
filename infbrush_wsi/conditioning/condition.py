"""A batch of conditions as tensors: class indices or embedding tokens, each of which may be null."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


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
