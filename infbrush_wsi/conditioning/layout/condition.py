"""The condition of one place: a class, an embedding or none, as plain values that compare, hash and go into JSON."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from infbrush_wsi.errors import ConditionError

Condition = str | tuple[float, ...] | tuple[tuple[float, ...], ...] | None
"""Name of a class, an embedding (D,) or (M, D) of float32 values, or None for no condition."""


def as_condition(value: str | ArrayLike | None, where: str = "a condition") -> Condition:
    """Make a class name, an array of numbers or None a `Condition`.

    Args:
        value: what the caller gave.
        where: how a message begins.

    Raises:
        ConditionError: if it is an empty name, or no finite array of numbers (D,) or (M, D).
    """
    if value is None:
        return None
    if isinstance(value, str):
        if not value.strip():
            raise ConditionError(f"{where} is an empty class name; give a name, or None for no condition")
        return value
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ConditionError(f"{where} must be a class name, an array of numbers or None: {error}") from error
    if array.ndim not in (1, 2) or array.size == 0 or not np.isfinite(array).all():
        raise ConditionError(f"{where} must be a finite embedding (D,) or (M, D), not an array of shape {array.shape}")
    values = array.tolist()
    return tuple(values) if array.ndim == 1 else tuple(map(tuple, values))


def condition_name(condition: Condition) -> str:
    """What a reader calls it: the class, 'embedding' or 'no condition'."""
    if condition is None:
        return "no condition"
    return condition if isinstance(condition, str) else "embedding"


def match_class(name: str, known: Collection[str], where: str) -> str:
    """The class among `known` that `name` means; upper and lower case differ only where they must.

    Raises:
        ConditionError: if there is none.
    """
    if name in known:
        return name
    folded = [candidate for candidate in known if candidate.casefold() == name.casefold()]
    if len(folded) == 1:
        return folded[0]
    listed = ", ".join(known) if known else "none: the model was trained without classes"
    raise ConditionError(f"{where} has the class {name!r}, which the model does not know; its classes are {listed}")


def conditions_from_json(values: Any) -> tuple[Condition, ...]:
    """Conditions as a layout's JSON holds them.

    Raises:
        ConditionError: if there are none, or one of them is none.
    """
    if not isinstance(values, list) or not values:
        raise ConditionError("a stored layout names no conditions: it is damaged; make it again")
    return tuple(as_condition(value, f"condition {number} of a stored layout") for number, value in enumerate(values))
