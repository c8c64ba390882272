"""The classifier of both arms: a backbone by name, trained for a fixed number of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from infbrush_wsi._optional import require
from infbrush_wsi.errors import ConfigError


@dataclass(frozen=True)
class ClassifierConfig:
    """How classifiers are made and trained; both arms use the same.

    Attributes:
        backbone: ``torchvision:NAME`` or ``timm:NAME``.
        pretrained: start from the weights that the library finds; else at random.
        side: of the images in pixels.
        steps: of the optimiser, the same for both arms however many images they have.
        batch: images a step.
        learning_rate: largest of a one-cycle schedule of AdamW.
        weight_decay: of AdamW.
        device: torch device.

    Raises:
        ConfigError: for numbers that make no sense.
    """

    backbone: str = "torchvision:resnet18"
    pretrained: bool = False
    side: int = 224
    steps: int = 500
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    device: str = "cpu"

    def __post_init__(self) -> None:
        if min(self.side, self.steps, self.batch) < 1 or self.learning_rate <= 0:
            raise ConfigError(f"side, steps, batch and learning rate of a classifier must be positive, not {self}")


class Classifier:
    """A trained backbone.

    Args:
        net: logits from normalised images.
        mean: of the training images, in [0, 1] for each channel.
        std: the same.
        device: where it runs.
    """

    def __init__(self, net: nn.Module, mean: Tensor, std: Tensor, device: str) -> None:
        self.net, self.mean, self.std, self.device = net, mean, std, device

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (B, C, side, side) → probabilities (B, K); what `augment.confident` takes."""
        self.net.eval()
        with torch.no_grad():
            logits = self.net(self.normalised(images.to(self.device)))
        return torch.softmax(logits.double(), dim=1).cpu()

    def classes_of(self, images: NDArray[np.uint8], batch: int = 64) -> NDArray[np.int64]:
        """Most probable class of each of (N, side, side, C)."""
        tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        found = [self(part).argmax(dim=1) for part in tensor.split(batch)]
        return np.asarray(torch.cat(found).numpy(), np.int64)

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 → float32 of mean 0 and deviation 1 over the training images."""
        return (images.float() / 255 - self.mean[:, None, None]) / self.std[:, None, None]


def fit_classifier(
    images: Dataset[Any], reference: Tensor, classes: int, config: ClassifierConfig, seed: int
) -> Classifier:
    """Train a classifier.

    Weights, batches and flips follow from the seed. Batches are drawn with replacement; each image is turned and
    flipped by one of the eight symmetries of the square.

    Args:
        images: (uint8 (C, side, side), class number).
        reference: uint8 (N, C, side, side), the real training images, whose mean and deviation normalise both arms.
        classes: number of them.
        config: of the training.
        seed: of this run.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = make_backbone(config, reference.shape[1], classes).to(config.device)
        values = reference.float() / 255
        mean, std = values.mean(dim=(0, 2, 3)), values.std(dim=(0, 2, 3)).clamp_min(1e-3)
        classifier = Classifier(net, mean.to(config.device), std.to(config.device), config.device)
        _fit(classifier, images, config, seed)
    return classifier


def _fit(classifier: Classifier, images: Dataset[Any], config: ClassifierConfig, seed: int) -> None:
    net = classifier.net.train()
    optimiser = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.steps)
    turns = torch.Generator().manual_seed(seed)
    for pixels, labels in _batches(images, config, seed):
        turned = turn(pixels, torch.randint(8, (1,), generator=turns).item())
        logits = net(classifier.normalised(turned.to(config.device)))
        loss = nn.functional.cross_entropy(logits, labels.to(config.device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()


def _batches(images: Dataset[Any], config: ClassifierConfig, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    chance = torch.Generator().manual_seed(seed)
    sampler = RandomSampler(images, replacement=True, num_samples=config.steps * config.batch, generator=chance)  # type: ignore[arg-type]
    yield from DataLoader(images, config.batch, sampler=sampler)


def turn(images: Tensor, which: float) -> Tensor:
    """One of the eight symmetries of the square, of (..., h, w)."""
    number = int(which)
    turned = torch.rot90(images, number % 4, dims=(-2, -1))
    return turned.flip(-1) if number >= 4 else turned


def make_backbone(config: ClassifierConfig, channels: int, classes: int) -> nn.Module:
    """A network by name with a last layer for so many classes.

    Raises:
        ConfigError: for a name that is not known, weights that are not there, or channels that it cannot take.
        MissingExtraError: if its library is not installed.
    """
    family, _, name = config.backbone.partition(":")
    try:
        if family == "timm":
            timm = require("timm", extra="encoders", purpose="make classifiers of timm")
            return timm.create_model(  # type: ignore[no-any-return]
                name, pretrained=config.pretrained, num_classes=classes, in_chans=channels
            )
        if family == "torchvision":
            return _torchvision(name, config.pretrained, channels, classes)
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise ConfigError(f"the backbone {config.backbone!r} cannot be made: {error}") from error
    raise ConfigError(f"a backbone is torchvision:NAME or timm:NAME, not {config.backbone!r}")


def _torchvision(name: str, pretrained: bool, channels: int, classes: int) -> nn.Module:
    models = require("torchvision.models", extra="augment", purpose="make classifiers of torchvision")
    if channels != 3:
        raise ValueError(f"torchvision's networks take three channels, not {channels}; timm's take any number")
    if not pretrained:
        return models.get_model(name, weights=None, num_classes=classes)  # type: ignore[no-any-return]
    net = models.get_model(name, weights="DEFAULT")
    last_name, last = _last_linear(list(net.named_modules()))
    parent = net.get_submodule(last_name.rpartition(".")[0])
    setattr(parent, last_name.rpartition(".")[2], nn.Linear(last.in_features, classes))
    return net  # type: ignore[no-any-return]


def _last_linear(modules: Sequence[tuple[str, nn.Module]]) -> tuple[str, nn.Linear]:
    for name, module in reversed(modules):
        if isinstance(module, nn.Linear):
            return name, module
    raise ValueError("it has no linear layer at its end")
