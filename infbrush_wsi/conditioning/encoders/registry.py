"""Finding an encoder by its name."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from infbrush_wsi.conditioning.encoders.protocol import Encoder, EncoderOptions
from infbrush_wsi.conditioning.encoders.record import EncoderRecord
from infbrush_wsi.errors import ConfigError

GROUP = "infbrush_wsi.encoders"
"""Entry point group in which other packages register a factory under the name of its family."""

Factory = Callable[[str, EncoderOptions], Encoder]
"""Called with what follows the family and a colon in the encoder's name (or '') and the options."""

BUILT_IN = {
    "statistics": "infbrush_wsi.conditioning.encoders.statistics:statistics_encoder",
    "timm": "infbrush_wsi.conditioning.encoders.from_timm:timm_encoder",
    "torchvision": "infbrush_wsi.conditioning.encoders.from_torchvision:torchvision_encoder",
    "tiatoolbox": "infbrush_wsi.conditioning.encoders.from_tiatoolbox:tiatoolbox_encoder",
    "open_clip": "infbrush_wsi.conditioning.encoders.from_open_clip:open_clip_encoder",
    "hf": "infbrush_wsi.conditioning.encoders.from_hf:hf_encoder",
}
DEFAULT = "statistics"
log = logging.getLogger(__name__)


@cache
def families() -> dict[str, Factory]:
    """Factories by family: built-in ones and installed plugins."""
    found: dict[str, Factory] = {}
    for name, target in BUILT_IN.items():
        module, _, attribute = target.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    for entry in entry_points(group=GROUP):
        _add_plugin(found, entry)
    return found


def _add_plugin(found: dict[str, Factory], entry: EntryPoint) -> None:
    if entry.name in found:
        log.warning("the encoders %r (%s) are left out: the name is taken", entry.name, entry.value)
        return
    try:
        factory = entry.load()
        if not callable(factory):
            raise TypeError(f"{factory!r} cannot be called")
    except Exception as error:
        # Somebody else's broken package must not keep this one from working.
        log.warning("the encoders %r (%s) cannot be used: %s", entry.name, entry.value, error)
        return
    found[entry.name] = cast(Factory, factory)


def load_encoder(
    name: str = DEFAULT, *, weights: str | Path | None = None, device: str = "cpu", channels: int = 3
) -> Encoder:
    """Load an encoder by name.

    Args:
        name: 'statistics' (needs no weights), 'timm:NAME', 'torchvision:NAME', 'tiatoolbox:NAME', 'open_clip:NAME/TAG',
            'hf:NAME', or a plugin's family and what it calls its models.
        weights: local file with the weights, for a machine without a network; None: the library finds or downloads
            them.
        device: where a network runs.
        channels: bands of the patches; networks take three.

    Raises:
        ConfigError: if the name is not known, or the encoder does not take so many bands.
        CheckpointError: if the weights cannot be had; the message says how to get them.
        MissingExtraError: if the library is not installed.

    Example:
        >>> load_encoder("statistics").record.dimension
        34
    """
    family, _, model = name.partition(":")
    known = families()
    if family not in known:
        raise ConfigError(f"there is no encoder {name!r}; its family must be one of {', '.join(known)} (timm:resnet50)")
    if family in BUILT_IN and family != "statistics":
        if not model:
            raise ConfigError(f"the encoder {name!r} names no model; write {family}:NAME")
        if channels != 3:
            raise ConfigError(f"the encoder {name!r} takes 3 bands, not {channels}; choose bands, or use 'statistics'")
    encoder = known[family](model, EncoderOptions(None if weights is None else Path(weights), device, channels))
    if not isinstance(encoder, Encoder) or not isinstance(encoder.record, EncoderRecord):
        raise ConfigError(f"the plugin for {name!r} made a {type(encoder).__name__}, which is no encoder")
    return encoder
