"""Differentiable scores of a picture: a class, a reference's features, a text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from infbrush_wsi._optional import require
from infbrush_wsi.errors import BandMismatchError, ConfigError
from infbrush_wsi.models.feature_network import DEVIATION, trained_network

Features = Callable[[Tensor], Tensor]
"""From pictures (B, C, h, w) in [-1, 1] to vectors (B, D), with gradients."""


class Score(Protocol):
    """How well a picture meets a wish; more is better."""

    @property
    def record(self) -> str:
        """What is wished, for the provenance of outputs."""
        ...

    def __call__(self, picture: Tensor) -> Tensor:
        """The score, a scalar with gradients, of one picture (1, C, h, w) in about [-1, 1]."""
        ...


@dataclass(frozen=True)
class ClassScore:
    """The logarithm of a class's probability.

    Attributes:
        classifier: pictures (B, C, h, w) in [-1, 1] to logits (B, K), with gradients; it normalises as it needs.
        index: of the class.
        name: of the class, for the record.
    """

    classifier: Callable[[Tensor], Tensor]
    index: int
    name: str

    @property
    def record(self) -> str:
        """The class."""
        return f"class {self.name}"

    def __call__(self, picture: Tensor) -> Tensor:
        """See `Score`.

        Raises:
            ConfigError: if the classifier gives no logits, or has no such class.
        """
        logits = self.classifier(picture)
        if logits.ndim != 2 or not 0 <= self.index < logits.shape[1]:
            raise ConfigError(f"the classifier gives {tuple(logits.shape)}, in which there is no class {self.index}")
        return functional.log_softmax(logits.float(), 1)[0, self.index]


@dataclass(frozen=True)
class ReferenceScore:
    """The cosine between the picture's features and given ones.

    Attributes:
        features: a feature extractor.
        reference: (D,) features to come near to.
        name: of the reference, for the record.
    """

    features: Features
    reference: Tensor
    name: str

    @property
    def record(self) -> str:
        """The reference, and a hash of its features."""
        digest = hashlib.sha256(self.reference.detach().cpu().numpy().astype(np.float32).tobytes()).hexdigest()
        return f"like {self.name} ({digest[:12]})"

    def __call__(self, picture: Tensor) -> Tensor:
        """See `Score`.

        Raises:
            ConfigError: if the extractor gives vectors of another width than the reference.
        """
        found = self.features(picture)
        if found.shape != (1, len(self.reference)):
            raise ConfigError(f"the features are {tuple(found.shape)}, the reference has {len(self.reference)} values")
        return functional.cosine_similarity(found.float(), self.reference.to(found.device)[None].float())[0]


@dataclass(frozen=True)
class TextScore:
    """The cosine between a picture and a text under a model of open_clip.

    Attributes:
        text: what the picture shall show.
        model: name of the architecture.
        pretrained: tag of the weights, or their file.

    Raises:
        MissingExtraError: if open_clip is not installed.
        ConfigError: if it knows no such model.
    """

    text: str
    model: str = "ViT-B-32"
    pretrained: str = "laion2b_s34b_b79k"
    _clip: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        open_clip = require("open_clip", extra="encoders", purpose="hold an image to a text")
        try:
            network, _, _ = open_clip.create_model_and_transforms(self.model, pretrained=self.pretrained)
            tokens = open_clip.get_tokenizer(self.model)([self.text])
        except (RuntimeError, OSError, KeyError, ValueError) as error:
            raise ConfigError(f"open_clip cannot load {self.model}/{self.pretrained}: {error}") from error
        network = network.eval().requires_grad_(False)
        with torch.no_grad():
            wanted = network.encode_text(tokens)[0]
        object.__setattr__(self, "_clip", (network, wanted))

    @property
    def record(self) -> str:
        """The text and the model."""
        return f"text {self.text!r} ({self.model}/{self.pretrained})"

    def __call__(self, picture: Tensor) -> Tensor:
        """See `Score`."""
        network, wanted = self._clip
        network.to(picture.device)
        size, visual = network.visual.image_size, network.visual
        size = size if isinstance(size, int) else size[0]
        mean, std = (picture.new_tensor(values)[:, None, None] for values in (visual.image_mean, visual.image_std))
        shown = functional.interpolate((three_bands(picture) + 1) / 2, (size, size), mode="bicubic", antialias=True)
        found = network.encode_image((shown - mean) / std)
        return functional.cosine_similarity(found.float(), wanted.to(found.device)[None].float())[0]


def feature_score(reference: NDArray[np.uint8], name: str, network: nn.Module | None = None) -> ReferenceScore:
    """Likeness to a picture under the feature network that comes with the package.

    Args:
        reference: uint8 (h, w, C); of about the size that boxes are rendered at.
        name: for the record.
        network: with a method `maps` (see `models.feature_network`) in place of it.

    Raises:
        BandMismatchError: if it is no picture.
    """
    if reference.ndim != 3 or reference.dtype != np.uint8 or min(reference.shape) < 1:
        raise BandMismatchError(f"a reference must be uint8 (h, w, C), not {reference.dtype} {reference.shape}")
    found = (network or trained_network()).eval().requires_grad_(False)

    def features(picture: Tensor) -> Tensor:
        maps = found.to(picture.device).maps(three_bands(picture) * (0.5 / DEVIATION))  # type: ignore[operator]
        # Means of every stage, each at its own scale: the last one alone forgets colour and grain.
        parts = [stage.mean((2, 3)) for stage in maps]
        return torch.cat([part / part.detach().norm(dim=1, keepdim=True).clamp_min(1e-6) for part in parts], 1)

    picture = torch.from_numpy(np.ascontiguousarray(reference.transpose(2, 0, 1)))[None].float() / 127.5 - 1
    with torch.no_grad():
        return ReferenceScore(features, features(picture)[0], name)


def three_bands(picture: Tensor) -> Tensor:
    """The first three bands, or the first one three times."""
    return picture[:, :3] if picture.shape[1] >= 3 else picture[:, :1].expand(-1, 3, -1, -1)
