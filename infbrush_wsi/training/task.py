"""What a system asks of the training loop, and the loop of a system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infbrush_wsi.models.bundle import ModelBundle

if TYPE_CHECKING:
    from infbrush_wsi.training.build import TrainingData
    from infbrush_wsi.training.config import RunConfig


class Batch(Protocol):
    """What the loader's workers make for one optimiser step."""

    @property
    def origin(self) -> tuple[str, ...]:
        """Where each image came from, for messages."""
        ...

    def to(self, device: torch.device | str) -> Any:
        """The same on another device."""
        ...


class Batches(Protocol):
    """A data set whose item k is the batch of optimiser step k of this process, a function of the run and k."""

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step."""
        ...

    def places(self, step: int) -> Sequence[object]:
        """Where the images of that batch are from, so that a message can say it."""
        ...


class Task(Protocol):
    """One system's training. The loop owns steps, averages, logs, checkpoints and resuming; a task owns the rest.

    Attributes:
        network: all that is trained, as one module, on the CPU and fresh; its parameters' names name the checkpoint's.
        learning_rate: that is used where the run's configuration gives none.
    """

    network: nn.Module
    learning_rate: float

    def prepare(self) -> None:
        """Called once when the network is on its device and its average has been made: compile, plan memory."""
        ...

    def losses(self, network: nn.Module, batch: Any) -> Tensor:
        """Loss of each image, (B,), on the batch's device.

        Args:
            network: the task's network as the loop runs it (wrapped for several processes): call it, do not reach in.
            batch: an item of the run's data set.
        """
        ...

    def preview(self, averaged: nn.Module, steps: int, side: int | None) -> NDArray[np.uint8] | None:
        """A sheet of samples of the averaged network, uint8 (h, w, 3), or None where there is nothing to show.

        Args:
            averaged: copy of the network with averaged weights.
            steps: network evaluations of a sample.
            side: of a sample in pixels; None: the training window.
        """
        ...

    def save(self, directory: Path, averaged: nn.Module, training: dict[str, Any]) -> None:
        """Write the model directory with averaged weights.

        Args:
            directory: of the run.
            averaged: copy of the network with averaged weights.
            training: facts that join the model's record of its training.

        Raises:
            OutputError: if it cannot be written.
        """
        ...

    def load(self, directory: Path) -> ModelBundle:
        """Read what `save` wrote."""
        ...


class Opponent(Protocol):
    """A second network that learns against the first, with an optimiser of its own (a GAN's discriminator).

    A task has one if it has an attribute `opponent` that is not None. The loop trains it after each step of the task,
    on the same batch, and keeps its weights and its optimiser in checkpoints; it is no part of the model.

    Attributes:
        network: all that is trained, on the CPU and fresh.
        learning_rate: that is used where the run's configuration gives none.
    """

    network: nn.Module
    learning_rate: float

    def losses(self, network: nn.Module, batch: Any) -> Tensor:
        """Loss of each image, (B,).

        Args:
            network: the opponent's network as the loop runs it.
            batch: that the task has just learnt from.
        """
        ...


@dataclass(frozen=True)
class Assembly:
    """A run's parts.

    Attributes:
        task: what is trained.
        dataset: item k is the batch of optimiser step k of this process.
        facts: what was measured at the start; kept in checkpoints and given back when the run is continued.
    """

    task: Task
    dataset: Batches
    facts: dict[str, Any]


Assemble = Callable[["RunConfig", "TrainingData", dict[str, Any], int, int], Assembly]
"""From (configuration, data, facts of a run that is continued or {}, rank, world) to the parts of a run."""
