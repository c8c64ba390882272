"""The losses of INFD's autoencoder and how they are weighted against each other (INFD §4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from infbrush_wsi.errors import ConfigError

MOST_ADAPTIVE = 1e4


@dataclass(frozen=True)
class LossWeights:
    """Weights beside that of the mean absolute error, which is 1.

    Attributes:
        perceptual: of the distance of features.
        adversarial: of the critic's opinion, before the adaptive factor; 0: there is no critic. 0.75 published.
        bottleneck: of the KL divergence a latent value ('kl'), or of the commitment ('vq', published with 1).

    Raises:
        ConfigError: for a weight that is negative or unknown.
    """

    perceptual: float = 1.0
    adversarial: float = 0.75
    bottleneck: float = 1e-4

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not (isinstance(value, int | float) and 0 <= value < float("inf")):
                raise ConfigError(f"model.overrides.losses.{f.name} must be finite and not negative, not {value!r}")

    @classmethod
    def of(cls, given: dict[str, Any]) -> LossWeights:
        """From plain values.

        Raises:
            ConfigError: for an unknown name.
        """
        known = {f.name for f in fields(cls)}
        if not set(given) <= known:
            raise ConfigError(
                f"model.overrides.losses knows {', '.join(sorted(known))}, not {', '.join(sorted(set(given) - known))}"
            )
        return cls(**given)


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, layer: Tensor) -> Tensor:
    """|∇ reconstruction| / (|∇ adversarial| + 1e-4) at the weights of the last layer, at most 1e4; a constant.

    Args:
        reconstruction: scalar loss.
        adversarial: scalar loss.
        layer: the parameter.
    """
    wanted, opposing = (
        torch.autograd.grad(loss, layer, retain_graph=True)[0] for loss in (reconstruction, adversarial)
    )
    factor: Tensor = wanted.norm() / (opposing.norm() + 1e-4)
    return factor.clamp(0, MOST_ADAPTIVE).detach()


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network and none stay in it."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
