"""From constraints to a canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.field_spec import FieldSpec
from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.pipelines.call import condition_of
from infbrush_wsi.pipelines.constraints.steering import Constraint, Steering

if TYPE_CHECKING:
    from infbrush_wsi.pipelines.infd import InfdPipeline


@dataclass(frozen=True)
class Constrained:
    """A canvas with what its constraints say of it.

    Attributes:
        canvas: rendered when it is read, as any.
        scores: of each constraint.
        unconstrained: scores of the image of the same seed without constraints.
    """

    canvas: Canvas
    scores: tuple[float, ...]
    unconstrained: tuple[float, ...]


def constrained(
    pipe: InfdPipeline,
    constraints: Sequence[Constraint],
    *,
    strength: float = 0.1,
    iterations: int = 1,
    progress: Progress | None = None,
    **call: Any,
) -> Constrained:
    """Sample a latent under constraints, and describe the canvas that has it.

    The latent is sampled now, twice: with and without constraints.

    Args:
        pipe: a model with both stages.
        constraints: boxes at any scales, each with a score.
        strength: see `Steering`.
        iterations: see `Steering`.
        progress: called with (steps done, steps in all).
        **call: arguments of the pipeline: condition, size, mpp, seed, ...

    Raises:
        CheckpointError: if the model has no denoiser.
        ConfigError, ConditionError, RegionError: for what the pipeline or a constraint refuses.
    """
    spec = pipe(**call).spec
    assert isinstance(spec, FieldSpec)  # noqa: S101
    if pipe.denoiser is None or pipe.process is None:
        raise CheckpointError("this model has no denoiser to constrain: train its second stage (--system infd-latent)")
    deviation = pipe.process.config.data_std
    steering = Steering(pipe.autoencoder, spec, constraints, deviation, strength, iterations)
    batch, _ = condition_of(pipe.info, pipe.denoiser.config.embedding_dim, call.get("condition"))
    plain = steering.scores(pipe.sample(spec, batch, None))
    latent = pipe.sample(spec, batch, steering, progress)
    records = (*(c.record for c in constraints), f"strength {strength:g}, {iterations} iterations")
    canvas = pipe(**call, latent=latent[0].numpy(), constraints=records)
    return Constrained(canvas, steering.scores(latent), plain)
