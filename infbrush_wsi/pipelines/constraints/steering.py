"""Constraints at several scales turn the estimate of a latent, step by step (INFD §5.3).

In each step the latent is estimated, decoded, and every box rendered at a fixed small size with CLIF, whatever its
extent; the gradient of the scores goes back to the latent. The cost does not depend on the canvas's resolution. The
gradient is taken at the estimate and not through the denoiser: half the cost, and the scheduler carries the change on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from infbrush_wsi.canvas.field_spec import FieldSpec
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.models.infd import FieldAutoencoder
from infbrush_wsi.operators.query import Query
from infbrush_wsi.pipelines.constraints.scores import Score

SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Constraint:
    """A wish for a box of the canvas.

    Attributes:
        box: in pixels of level 0.
        score: that is raised.
        side: of the picture of the box that is scored; 224 published.
        weight: against other constraints, above 0.

    Raises:
        ConfigError: for a side or weight out of range.
    """

    box: Box
    score: Score
    side: int = 64
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.side < SMALLEST_SIDE:
            raise ConfigError(f"a constraint's picture needs a side of at least {SMALLEST_SIDE} px, not {self.side}")
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"a constraint's weight must be positive, not {self.weight}")

    @property
    def record(self) -> str:
        """What is wished where, for the provenance of outputs."""
        b = self.box
        return f"{self.score.record} at ({b.x0}, {b.y0}) {b.w} x {b.h}, {self.side} px, weight {self.weight:g}"


class Steering:
    """Turns estimates of a latent towards constraints; an `Adjust` of `diffusion.latent_field`.

    Each constraint's gradient is scaled to the same size where it acts, so that a small box counts as a large one and a
    probability as a cosine; then the sum is scaled to `strength`.

    Args:
        autoencoder: decodes and renders.
        spec: the generation.
        constraints: at least one, inside the canvas.
        deviation: standard deviation of latents.
        strength: length of a change where it acts, in deviations.
        iterations: changes in a step.

    Raises:
        ConfigError: without constraints, or for settings out of range.
        RegionError: for a box that is empty or reaches outside of the canvas.
    """

    def __init__(
        self,
        autoencoder: FieldAutoencoder,
        spec: FieldSpec,
        constraints: Sequence[Constraint],
        deviation: float,
        strength: float = 0.1,
        iterations: int = 1,
    ) -> None:
        if not constraints:
            raise ConfigError("there is no constraint to hold the image to; give at least one")
        if not 0 < strength <= 5 or iterations < 1:
            raise ConfigError(
                f"strength must be above 0 and at most 5, iterations at least 1, not {strength}, {iterations}"
            )
        for constraint in constraints:
            if constraint.box.empty or constraint.box.clip(spec.shape) != constraint.box:
                raise RegionError(
                    f"the constraint on {constraint.box} does not lie inside the canvas of {spec.shape.w} x "
                    f"{spec.shape.h} pixels"
                )
        self.autoencoder, self.cell, self.constraints = autoencoder, spec.cell, tuple(constraints)
        self.step, self.iterations = strength * deviation, iterations

    def __call__(self, latent: Tensor, number: int) -> Tensor:
        """A latent (1, c, h, w) with higher scores."""
        for _ in range(self.iterations):
            latent = latent + self.step * _levelled(self._gradient(latent))
        return latent

    @torch.no_grad()
    def scores(self, latent: Tensor) -> tuple[float, ...]:
        """Of each constraint."""
        features = self.autoencoder.features(latent.to(self.autoencoder.device))
        return tuple(float(c.score(self.picture(features, c))) for c in self.constraints)

    def picture(self, features: Tensor, constraint: Constraint) -> Tensor:
        """The picture of a constraint's box, (1, C, side, side).

        Where its pixels are larger than a feature, as none was in training, it is rendered finer and averaged.
        """
        box, side = constraint.box, constraint.side
        cells = box.h * self.cell / side, box.w * self.cell / side
        finer = max(1, math.ceil(max(cells) - 1e-6))
        window = Box(0, 0, side * finer, side * finer)
        origin = (box.y0 * self.cell, box.x0 * self.cell)
        query = Query.window(window, (cells[0] / finer, cells[1] / finer), origin).to(features.device)
        return functional.avg_pool2d(self.autoencoder.render(features, query), finer)

    @torch.enable_grad()
    def _gradient(self, latent: Tensor) -> Tensor:
        start = latent.detach().requires_grad_()
        features = self.autoencoder.features(start)
        leaf = features.detach().requires_grad_()
        wanted = torch.zeros_like(leaf)
        for constraint in self.constraints:
            score = constraint.score(self.picture(leaf, constraint))
            (found,) = torch.autograd.grad(score, leaf)
            wanted = wanted + constraint.weight * _levelled(found)
        (gradient,) = torch.autograd.grad(features, start, wanted)
        return gradient


def _levelled(gradient: Tensor) -> Tensor:
    """Divided by its root mean square where it is not small: √(Σ g⁴ / Σ g²), which zeros around do not change."""
    squared = gradient.square()
    size = (squared.square().sum() / squared.sum().clamp_min(1e-30)).sqrt()
    return gradient / size.clamp_min(1e-30)
