"""Denoiser and encoder of ∞-Diff as one network: what is trained together, and averaged together."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.infdiff.encoder import InfDiffEncoder
from infbrush_wsi.points.support import Support


class InfDiffAutoencoder(nn.Module):
    """A denoiser whose latent the encoder makes from other points of the same image (∞-Diff §1.9).

    Args:
        denoiser: with a latent, or without one for the unconditional model.
        encoder: makes the latent; None for the unconditional model.
    """

    def __init__(self, denoiser: InfBrushDenoiser, encoder: InfDiffEncoder | None) -> None:
        super().__init__()
        self.denoiser, self.encoder = denoiser, encoder

    def forward(
        self,
        x: Tensor,
        support: Support,
        timestep: Tensor,
        condition: ConditionBatch,
        log_magnification: Tensor | None = None,
        reference: tuple[Tensor, Support] | None = None,
    ) -> Tensor:
        """As `InfBrushDenoiser.forward`, with the latent of each image that has a condition.

        Args:
            x: (B, N, channels) scaled noisy values.
            support: where they are.
            timestep: (B,).
            condition: which images have none.
            log_magnification: (B,) or None.
            reference: T x_0 (B, M, channels) at the encoder's own points, and where these are.

        Returns:
            (B, N, channels).
        """
        if self.encoder is not None and reference is not None:
            condition = replace(condition, embeddings=self.encoder(*reference)[:, None])
        return self.denoiser(x, support, timestep, condition, log_magnification)  # type: ignore[no-any-return]
