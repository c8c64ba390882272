"""The learnt part of conditioning: classes or external embeddings become a vector and a set of tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.errors import ConditionError


class ConditionEmbedder(nn.Module):
    """Maps a `ConditionBatch` to a vector (for modulation) and tokens (for cross-attention).

    A class becomes `tokens` learnt tokens, because cross-attention to a single token is a constant. Embeddings keep
    their tokens, through a shared linear map. A missing condition has learnt tokens of its own.

    Args:
        width: of the vector and of the tokens.
        tokens: how many a class (or a missing condition) has.
        classes: number of classes; 0: none.
        embedding_dim: width of external embeddings; 0: none.
    """

    def __init__(self, width: int, tokens: int, classes: int = 0, embedding_dim: int = 0) -> None:
        super().__init__()
        self.tokens = tokens
        self.classes = classes
        self.embedding_dim = embedding_dim
        self.null = nn.Parameter(torch.randn(tokens, width))
        self.table = nn.Embedding(classes, tokens * width) if classes else None
        self.project = nn.Linear(embedding_dim, width) if embedding_dim else None
        self.norm = nn.LayerNorm(width)
        self.vector = nn.Linear(width, width)

    def forward(self, condition: ConditionBatch) -> tuple[Tensor, Tensor]:
        """The vector (B, width) and the tokens (B, L, width).

        Raises:
            ConditionError: if the batch holds a kind of condition or a class that the model was not built for.
        """
        found = self._tokens(condition)
        null = self.null.expand(len(condition.null), -1, -1)
        if found is None:
            chosen = null
        elif found.shape[1] == self.tokens:
            chosen = torch.where(condition.null[:, None, None], null, found)
        else:  # embeddings with another number of tokens: null images repeat their mean null token
            mean = null.mean(dim=1, keepdim=True).expand_as(found)
            chosen = torch.where(condition.null[:, None, None], mean, found)
        chosen = self.norm(chosen)
        return self.vector(chosen.mean(dim=1)), chosen

    def _tokens(self, condition: ConditionBatch) -> Tensor | None:
        if condition.labels is not None and self.table is None:
            raise ConditionError("class labels were given to a model that was trained without classes")
        if condition.embeddings is not None and self.project is None:
            raise ConditionError("embeddings were given to a model that was trained without them")
        if condition.labels is not None and self.table is not None:
            safe = torch.where(condition.null, torch.zeros_like(condition.labels), condition.labels)
            if not ((safe >= 0) & (safe < self.classes)).all():
                raise ConditionError(f"the model has {self.classes} classes, numbered from 0; not {safe.tolist()}")
            return self.table(safe).reshape(len(safe), self.tokens, -1)  # type: ignore[no-any-return]
        if condition.embeddings is not None and self.project is not None:
            if condition.embeddings.shape[-1] != self.embedding_dim:
                raise ConditionError(
                    f"the model takes embeddings of width {self.embedding_dim}, not {condition.embeddings.shape[-1]}"
                )
            return self.project(condition.embeddings)  # type: ignore[no-any-return]
        return None
