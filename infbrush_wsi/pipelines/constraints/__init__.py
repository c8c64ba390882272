"""Multi-scale constraints on a generated image: what boxes of it, at any scale, shall look like (INFD §5.3)."""

from infbrush_wsi.pipelines.constraints.generate import Constrained, constrained
from infbrush_wsi.pipelines.constraints.scores import ClassScore, ReferenceScore, Score, TextScore, feature_score
from infbrush_wsi.pipelines.constraints.steering import Constraint, Steering

__all__ = [
    "ClassScore",
    "Constrained",
    "Constraint",
    "ReferenceScore",
    "Score",
    "Steering",
    "TextScore",
    "constrained",
    "feature_score",
]
