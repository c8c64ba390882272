"""YAML as plain values, whatever is in it."""

from __future__ import annotations

from typing import Any

import yaml

from infbrush_wsi.errors import ConfigError

MAX_CHARACTERS = 1 << 22
MAX_VALUES = 1 << 18
"""Aliases counted as often as they stand there: ten lines of aliases of aliases stand for a thousand million values."""


def plain_values(text: str, where: str) -> Any:
    """The content of a YAML text.

    Args:
        text: the YAML.
        where: how messages call it.

    Raises:
        ConfigError: if it is no YAML, too large, or nested in itself.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{where} has {len(text)} characters, too many for a configuration")
    try:
        values = yaml.safe_load(text)
        size = _size(values, {}, frozenset())
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError, AttributeError) as error:
        # Dates that do not exist, numbers of thousands of digits, lists nested too deeply: not all are YAML errors.
        raise ConfigError(f"{where} is not valid YAML: {error}") from error
    if size > MAX_VALUES:
        raise ConfigError(f"{where} stands for {size} values, too many for a configuration: it repeats itself")
    return values


def _size(value: Any, known: dict[int, int], above: frozenset[int]) -> int:
    """How many values there are, aliases written out.

    Raises:
        ValueError: if a value holds itself.
    """
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) in above:
        raise ValueError("a value holds itself")
    if id(value) not in known:
        inside = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(_size(each, known, above | {id(value)}) for each in inside)
    return known[id(value)]
