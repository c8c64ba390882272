"""Which settings a pipeline of any system takes."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.pipelines.base import DEFAULTS

OF_DENOISERS: dict[str, Any] = {"precision": "float32", "engine": "lazy", "frame": None, "coarse": True}
"""Settings that only pipelines with plans have, as they are when nobody gives them."""


def settings_of(pipe: Any) -> set[str]:
    """Names of the arguments of a pipeline's call."""
    arguments = signature(type(pipe).__call__).parameters
    more = any(argument.kind is Parameter.VAR_KEYWORD for argument in arguments.values())
    return {*arguments, *(DEFAULTS if more else ())}


def taken(pipe: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a pipeline has; those that it has not are left out where they say what is so anyway.

    Args:
        pipe: of any system.
        given: settings by name; a `tile` of None is left out too.

    Raises:
        ConfigError: if another one was given.
    """
    known = settings_of(pipe)
    strange = [name for name, value in given.items() if name not in known and value != OF_DENOISERS.get(name)]
    if strange:
        raise ConfigError(f"a model of {pipe.info.system} has no setting {', '.join(strange)}; leave it out")
    return {name: value for name, value in given.items() if name in known and not (name == "tile" and value is None)}
