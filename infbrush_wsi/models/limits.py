"""Sizes beyond which nothing is a network: asked before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infbrush_wsi.errors import ConfigError

LARGEST = 1 << 16
"""Of any number among the arguments of a network."""
MOST_BLOCKS = 256
"""Of arguments that say how often something is repeated."""
LONGEST = 1 << 16
"""Of a list, such as the names of classes."""
LARGEST_BYTES = 1 << 36
"""Of the weights of a network, as float32: 17 thousand million parameters."""


def check_arguments(arguments: Mapping[str, Any], where: str) -> None:
    """Refuse arguments of a network of which a computer would only run out of memory or time.

    Args:
        arguments: by name, plain values; nested lists and mappings are looked into.
        where: how a message begins.

    Raises:
        ConfigError: naming the argument.
    """
    waiting: list[tuple[str, Any]] = list(arguments.items())
    seen = 0
    while waiting:
        name, value = waiting.pop()
        seen += 1
        most = MOST_BLOCKS if any(word in str(name) for word in ("block", "layers")) else LARGEST
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not abs(value) <= most:  # nor if it is not a number
            raise ConfigError(f"{where}: {name} is {str(value)[:40]}, beyond {most}, the largest that makes a network")
        if isinstance(value, Mapping):
            waiting += [(f"{name}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(str(name), each) for each in value]
        if seen + len(waiting) > LONGEST:
            raise ConfigError(f"{where}: {name} holds more than {LONGEST} values")


def fits_memory(parameters: int) -> bool:
    """Whether the weights of a network are not beyond any memory."""
    return 4 * parameters <= LARGEST_BYTES
