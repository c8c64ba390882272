"""Encoders of timm: ``timm:resnet50.a1_in1k``, ``timm:hf-hub:OWNER/MODEL``, ``timm:local-dir:PATH``."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from infbrush_wsi._optional import require
from infbrush_wsi.conditioning.encoders.network import NetworkEncoder, Preprocessing, pooled_tokens
from infbrush_wsi.conditioning.encoders.protocol import EncoderOptions
from infbrush_wsi.conditioning.encoders.weights import hub_hint, load_weights, obtaining
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

FAMILY = "timm"


def timm_encoder(model: str, options: EncoderOptions) -> NetworkEncoder:
    """A backbone of timm, without its classifier, pooled as timm pools it.

    Args:
        model: name, with a tag of weights if it is not the default one.
        options: weights may be a file of that architecture.

    Raises:
        ConfigError: if timm knows no such model.
        CheckpointError: if the weights cannot be had.
        MissingExtraError: without timm.
    """
    timm = require("timm", extra="encoders", purpose=f"use the encoder '{FAMILY}:{model}'")
    name = f"{FAMILY}:{model}"
    if ":" not in model and not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), 3)
        raise ConfigError(f"timm knows no model {model!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    with obtaining(name, hub_hint(_repository(timm, model))):
        network = timm.create_model(model, pretrained=options.weights is None, num_classes=0)
    if options.weights is not None:
        load_weights(network, options.weights, name)
    return NetworkEncoder(network, TimmFeatures(network), name, timm_preprocessing(network, name), options.device)


def timm_preprocessing(network: Any, name: str) -> Preprocessing:
    """Normalisation and size from timm's data configuration of these weights.

    Raises:
        ConfigError: if the network takes other than square RGB patches.
    """
    data = require("timm.data", extra="encoders", purpose=f"use the encoder '{name}'")
    config = data.resolve_model_data_config(network)
    bands, h, w = config["input_size"]
    if bands != 3 or h != w:
        raise ConfigError(f"the network {name!r} takes {bands} bands of {h} x {w} pixels; an encoder takes square RGB")
    return Preprocessing(config["mean"], config["std"], int(h), str(config["interpolation"]))


class TimmFeatures:
    """From pixels to (n, D): pooled by timm, or class token and mean patch token where it hands out all tokens."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (n, 3, h, w) to (n, D)."""
        found: Tensor = self._network(pixels)
        if found.ndim == 3:
            return pooled_tokens(found, int(getattr(self._network, "num_prefix_tokens", 1)))
        return found.flatten(1)


def _repository(timm: Any, model: str) -> str:
    if ":" in model:
        return model.partition(":")[2]
    config = timm.get_pretrained_cfg(model, allow_unregistered=True)
    return str(getattr(config, "hf_hub_id", None) or f"timm/{model}")
