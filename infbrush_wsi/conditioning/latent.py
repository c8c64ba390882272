"""A latent as condition: one vector z for each image, as an encoder of the same system gives it (∞-Diff §1.9)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.errors import ConditionError


class LatentInput(nn.Module):
    """Takes z from where a `ConditionBatch` holds embeddings; images without a condition have a learnt one.

    Args:
        width: of z.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.null = nn.Parameter(torch.randn(width))

    def forward(self, condition: ConditionBatch) -> tuple[Tensor, ConditionBatch]:
        """(B, width) latents, and what is left of the condition.

        Raises:
            ConditionError: if the batch holds something else than one latent of that width for each image.
        """
        null = self.null.expand(len(condition.null), -1)
        found = condition.embeddings
        if found is None:
            return null, condition
        if found.shape[1:] != (1, len(self.null)):
            raise ConditionError(f"the model takes one latent of width {len(self.null)}, not {tuple(found.shape[1:])}")
        latent = torch.where(condition.null[:, None], null, found[:, 0].to(null.dtype))
        return latent, replace(condition, embeddings=None)
