"""Constraints raise their scores where they act and nowhere else, at two scales at once."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import CheckpointError, ConfigError, RegionError
from infbrush_wsi.operators.query import Query
from infbrush_wsi.pipelines.constraints import (
    ClassScore,
    Constraint,
    ReferenceScore,
    Steering,
    constrained,
    feature_score,
)
from infbrush_wsi.pipelines.infd import InfdPipeline
from tests.infd_model import small_bundle

CALL: dict[str, Any] = {"condition": "Benign", "size": (256, 256), "mpp": 0.5, "seed": 1, "num_inference_steps": 4}


def colours(picture: Tensor) -> Tensor:
    """A feature extractor: mean colour of the quarters."""
    return nn.functional.adaptive_avg_pool2d(picture, 2).flatten(1)


class Colours(nn.Module):
    """A classifier: which band is brightest."""

    def forward(self, picture: Tensor) -> Tensor:
        return 4 * picture.mean((2, 3))


@pytest.fixture(scope="module")
def pipe() -> InfdPipeline:
    return InfdPipeline(small_bundle())


def two_scales() -> list[Constraint]:
    reference = torch.tensor([0.5, -0.5, 0.2] * 4).reshape(4, 3).T.flatten()
    return [
        Constraint(Box(0, 0, 256, 256), ReferenceScore(colours, reference, "plain"), side=32),
        Constraint(Box(160, 32, 64, 64), ClassScore(Colours(), 1, "green"), side=16),
    ]


def test_two_scales_raise_their_scores(pipe: InfdPipeline) -> None:
    found = constrained(pipe, two_scales(), strength=0.5, iterations=2, **CALL)
    assert all(after > before + 0.02 for after, before in zip(found.scores, found.unconstrained, strict=True))
    canvas = found.canvas
    assert canvas.provenance["constraints"][0].startswith("like plain")
    again = constrained(pipe, two_scales(), strength=0.5, iterations=2, **CALL)
    assert again.canvas.token == canvas.token != pipe(**CALL).token
    assert np.array_equal(canvas.read_region((100, 0), 0, (64, 64)), again.canvas.read_region((100, 0), 0, (64, 64)))
    plain = pipe(**CALL)
    steering = Steering(pipe.autoencoder, plain.spec, two_scales(), 0.7)  # type: ignore[arg-type]
    assert steering.scores(torch.from_numpy(pipe.latent_of(plain))[None]) == pytest.approx(found.unconstrained)


def test_a_change_follows_the_gradient_of_the_score(pipe: InfdPipeline) -> None:
    """Against differences of the score along the step, in float64."""
    autoencoder = copy.deepcopy(pipe.autoencoder).double()
    spec: Any = pipe(**CALL).spec
    constraint = two_scales()[1]
    steering = Steering(autoencoder, spec, [constraint], 1.0, strength=1e-5)
    latent = torch.from_numpy(pipe.latent_of(pipe(**CALL))).double()[None]
    ahead, back = steering(latent, 0), 2 * latent - steering(latent, 0)

    def score(z: Tensor) -> float:
        with torch.no_grad():
            return float(constraint.score(steering.picture(autoencoder.features(z), constraint)))

    gradient = steering._gradient(latent)
    change = ahead - latent
    cosine = torch.nn.functional.cosine_similarity(change.flatten(), gradient.flatten(), dim=0)
    assert float(cosine) == pytest.approx(1)
    slope = (score(ahead) - score(back)) / (2 * float(change.norm()))
    assert slope > 0
    # Along the step, not along any other direction of the same length, the score rises most.
    for seed in range(3):
        other = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        other = other / other.norm() * change.norm()
        assert score(latent + other) < score(ahead)


def test_boxes_are_rendered_at_a_fixed_size(pipe: InfdPipeline) -> None:
    spec: Any = pipe(**CALL).spec
    constraint = two_scales()[1]
    steering = Steering(pipe.autoencoder, spec, [constraint], 1.0)
    with torch.no_grad():
        features = pipe.autoencoder.features(torch.from_numpy(pipe.latent_of(pipe(**CALL)))[None])
        # 64 pixels of 0.25 features on 16: one feature a pixel, rendered as it is.
        expected = pipe.autoencoder.render(features, Query.window(Box(40, 8, 16, 16), (1.0, 1.0)))
        torch.testing.assert_close(steering.picture(features, constraint), expected, rtol=0, atol=1e-5)
        # The whole on 16: four features a pixel, rendered finer and averaged.
        whole = Constraint(Box(0, 0, 256, 256), constraint.score, side=16)
        fine = pipe.autoencoder.render(features, Query.window(Box(0, 0, 64, 64), (1.0, 1.0)))
        averaged = nn.functional.avg_pool2d(fine, 4)
        torch.testing.assert_close(steering.picture(features, whole), averaged, rtol=0, atol=1e-5)


def test_likeness_to_a_picture(pipe: InfdPipeline) -> None:
    from infbrush_wsi.domain import Shape
    from infbrush_wsi.phantom import hne_image

    image = hne_image("Invasive", Shape(64, 64), 0.5, 0)
    score = feature_score(image, "slide")
    as_tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 127.5 - 1
    assert float(score(as_tensor)) == pytest.approx(1)
    assert float(score(-as_tensor)) < 0.99
    found = constrained(pipe, [Constraint(Box(0, 0, 128, 128), score)], strength=0.3, **CALL)
    assert found.scores[0] > found.unconstrained[0]


def test_what_cannot_be_held_to_is_refused(pipe: InfdPipeline) -> None:
    score = ClassScore(Colours(), 1, "green")
    for box in (Box(200, 0, 64, 64), Box(0, 0, 0, 4)):
        with pytest.raises(RegionError, match="inside the canvas"):
            constrained(pipe, [Constraint(box, score)], **CALL)
    with pytest.raises(ConfigError, match="at least one"):
        constrained(pipe, [], **CALL)
    with pytest.raises(ConfigError, match="strength"):
        constrained(pipe, two_scales(), strength=0, **CALL)
    with pytest.raises(ConfigError, match="side"):
        Constraint(Box(0, 0, 64, 64), score, side=8)
    with pytest.raises(ConfigError, match="weight"):
        Constraint(Box(0, 0, 64, 64), score, weight=0)
    with pytest.raises(ConfigError, match="no class 7"):
        constrained(pipe, [Constraint(Box(0, 0, 64, 64), ClassScore(Colours(), 7, "x"))], **CALL)
    with pytest.raises(ConfigError, match="reference has 5"):
        constrained(pipe, [Constraint(Box(0, 0, 64, 64), ReferenceScore(colours, torch.ones(5), "x"))], **CALL)
    with pytest.raises(CheckpointError, match="second stage"):
        constrained(InfdPipeline(small_bundle(denoiser=False)), two_scales(), **CALL | {"condition": None})
