"""The systems that can be trained, by name."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.training.task import Assemble

SYSTEMS = {
    "infbrush": "infbrush_wsi.training.infbrush:assemble",
    "infd": "infbrush_wsi.training.infd.assemble:assemble",
    "infd-latent": "infbrush_wsi.training.infd.assemble:assemble",
    "infdiff": "infbrush_wsi.training.infdiff:assemble",
    "infdiff-latent": "infbrush_wsi.training.infdiff_latent:assemble",
    "multilevel": "infbrush_wsi.training.multilevel:assemble",
}
"""Where each system's parts are put together; imported on use. A system that is trained in two runs has two names."""


def system(name: str) -> Assemble:
    """What makes the parts of a run.

    Raises:
        ConfigError: for a name that is not known.
    """
    if name not in SYSTEMS:
        raise ConfigError(f"model.system must be one of {', '.join(SYSTEMS)}, not {name!r}")
    module, function = SYSTEMS[name].split(":")
    return cast(Assemble, getattr(import_module(module), function))
