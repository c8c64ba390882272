"""How a latent z enters a block: one more scale for each channel, on top of the modulation by time (∞-Diff §1.7)."""

from __future__ import annotations

from torch import Tensor, nn


class LatentScale(nn.Module):
    """``1 + Linear(GELU(Linear(z)))``, by which a modulated norm is multiplied.

    Args:
        latent: width of z.
        channels: of the block.
    """

    def __init__(self, latent: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent, channels), nn.GELU(), nn.Linear(channels, channels))

    def forward(self, latent: Tensor) -> Tensor:
        """(B, Z) → (B, 1, C)."""
        return 1 + self.layers(latent).unsqueeze(1)  # type: ignore[no-any-return]

    def applied(self, latent: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift of ``(norm(x) scale + shift) (1 + z)``, broadcast to (B, 1, C)."""
        factor = self(latent)
        return scale * factor, shift * factor
