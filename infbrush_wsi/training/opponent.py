"""Steps of a network that learns against the one that is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator

from infbrush_wsi.training.checkpoint import Trained
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.task import Opponent, Task


class OpponentSteps:
    """An opponent with its optimiser.

    Args:
        opponent: what learns.
        config: of the run; the learning rate, betas and clipping are those of the task.
        accelerator: that the run computes with.
    """

    def __init__(self, opponent: Opponent, config: RunConfig, accelerator: Accelerator) -> None:
        self.opponent, self.accelerator, self.clip = opponent, accelerator, config.optim.clip
        self.rate = config.optim.learning_rate or opponent.learning_rate
        opponent.network.to(accelerator.device)
        made = torch.optim.Adam(opponent.network.parameters(), lr=self.rate, betas=config.optim.betas, fused=True)
        self.network, self.optimizer = accelerator.prepare(opponent.network, made)
        self._seen: list[float] = []

    @property
    def trained(self) -> Trained:
        """The bare network and its optimiser, for checkpoints."""
        return self.opponent.network, self.optimizer.optimizer

    def step(self, batch: Any, share: float, check: Callable[[float], None]) -> None:
        """Learn from a batch.

        Args:
            batch: that the task has just learnt from.
            share: of the full learning rate.
            check: is called with the loss (mean of all processes) before anything changes, and may raise.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share
        self.network.train()
        with self.accelerator.autocast():
            loss = self.opponent.losses(self.network, batch).mean()
        self._seen.append(float(self.accelerator.reduce(loss.detach(), "mean")))
        check(self._seen[-1])
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()

    def mean_loss(self) -> float:
        """Since the last call."""
        seen, self._seen = self._seen, []
        return sum(seen) / max(len(seen), 1)


def opposed(task: Task, config: RunConfig, accelerator: Accelerator) -> OpponentSteps | None:
    """The steps of a task's opponent, if it has one."""
    opponent: Opponent | None = getattr(task, "opponent", None)
    return None if opponent is None else OpponentSteps(opponent, config, accelerator)
