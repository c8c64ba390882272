"""The first stage of INFD: encoder, decoder and renderer, against a critic of patches (INFD §4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infbrush_wsi.domain import Box
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infd import FieldAutoencoder
from infbrush_wsi.models.infd.critic import PatchCritic, hinge_losses
from infbrush_wsi.models.infd.perceptual import PerceptualDistance
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.operators.query import Query
from infbrush_wsi.training.infd.batch import FieldBatch
from infbrush_wsi.training.infd.dataset import FieldDataset
from infbrush_wsi.training.infd.losses import LossWeights, adaptive_weight, frozen
from infbrush_wsi.training.infd.sheet import sheet

SHOWN = 4


class AutoencoderTask:
    """The autoencoder as a `training.task.Task`.

    Args:
        autoencoder: fresh, or around a given one.
        critic: fresh; None: no adversarial loss.
        weights: of the losses.
        info: facts of the model to save.
        dataset: whose first windows are previewed.
        learning_rate: of a run that gives none.
    """

    def __init__(
        self,
        autoencoder: FieldAutoencoder,
        critic: PatchCritic | None,
        weights: LossWeights,
        info: ModelInfo,
        dataset: FieldDataset,
        learning_rate: float,
    ) -> None:
        self.autoencoder, self.weights, self.info, self.dataset = autoencoder, weights, info, dataset
        self.network: nn.Module = autoencoder
        self.learning_rate = learning_rate
        self.perceptual = PerceptualDistance() if weights.perceptual else None
        self.opponent = None if critic is None else CriticTask(critic, learning_rate)

    def prepare(self) -> None:
        """Put the feature network where the autoencoder is."""
        if self.perceptual is not None:
            self.perceptual.to(self.autoencoder.device)

    def losses(self, network: nn.Module, batch: FieldBatch) -> Tensor:
        """L1 + perceptual + bottleneck + adaptive weight x adversarial loss of each window, (B,)."""
        picture, own = network(batch.image, batch.query)
        # Where nothing is known the picture is taken as right: then no loss sees a difference there.
        picture = torch.where(batch.valid, picture, batch.target)
        seen = (picture - batch.target).abs().mean((1, 2, 3))
        if self.perceptual is not None:
            seen = seen + self.weights.perceptual * self.perceptual(picture, batch.target)
        losses: Tensor = seen + self.weights.bottleneck * own
        if self.opponent is not None:
            with frozen(self.opponent.network):
                doubted = -self.opponent.network(picture).mean((1, 2, 3))
            last = self.autoencoder.renderer.leave.weight
            factor = adaptive_weight(seen.mean(), doubted.mean(), last)
            losses = losses + self.weights.adversarial * factor * doubted
            self.opponent.made = picture.detach()
        return losses

    @torch.no_grad()
    def preview(self, averaged: nn.Module, steps: int, side: int | None) -> NDArray[np.uint8]:
        """Windows as the encoder sees them, and as they are rendered at the finest pixel size."""
        network = cast(FieldAutoencoder, averaged)
        image = self.dataset[0].image[:SHOWN].to(network.device)
        window = image.shape[-1]
        side = side or round(window * max(self.info.spacing) / min(self.info.spacing))
        query = Query.stacked([Query.window(Box(0, 0, side, side), (window / side, window / side))] * len(image))
        rendered = network.render(network.features(network.encode(image)), query.to(network.device))
        shown = nn.functional.interpolate(image, size=(side, side), mode="nearest")
        return sheet([shown, rendered])

    def save(self, directory: Path, averaged: nn.Module, training: dict[str, Any]) -> None:
        """Write the model directory; it renders, and does not generate yet."""
        ModelBundle.save(directory, {"autoencoder": averaged}, self.info.with_training(training))

    def load(self, directory: Path) -> ModelBundle:
        """Read the model directory."""
        return ModelBundle.load(directory, {"autoencoder": FieldAutoencoder})


class CriticTask:
    """The critic as a `training.task.Opponent`: hinge loss on what the autoencoder has just made.

    Args:
        critic: fresh.
        learning_rate: of a run that gives none.
    """

    def __init__(self, critic: PatchCritic, learning_rate: float) -> None:
        self.network: nn.Module = critic
        self.learning_rate = learning_rate
        self.made: Tensor | None = None

    def losses(self, network: nn.Module, batch: FieldBatch) -> Tensor:
        """Of each window, (B,)."""
        assert self.made is not None  # noqa: S101
        # One call, so that a network that is wrapped for several processes reduces its gradients once.
        real, fake = network(torch.cat([batch.target, self.made])).chunk(2)
        return hinge_losses(real, fake)
