"""Encoders of torchvision: ``torchvision:resnet50``, ``torchvision:resnet50/IMAGENET1K_V1``."""

from __future__ import annotations

import difflib
from typing import Any

from infbrush_wsi._optional import require
from infbrush_wsi.conditioning.encoders.network import NetworkEncoder, Preprocessing
from infbrush_wsi.conditioning.encoders.protocol import EncoderOptions
from infbrush_wsi.conditioning.encoders.weights import load_weights, obtaining
from infbrush_wsi.errors import ConfigError

FAMILY = "torchvision"


def torchvision_encoder(model: str, options: EncoderOptions) -> NetworkEncoder:
    """A classifier of torchvision without its last linear layer.

    Args:
        model: name, with the name of its weights if they are not the default ones.
        options: weights may be a file of that architecture; normalisation is still that of the named weights.

    Raises:
        ConfigError: if torchvision knows no such model or weights.
        CheckpointError: if the weights cannot be had.
        MissingExtraError: without torchvision.
    """
    models = require("torchvision.models", extra="encoders", purpose=f"use the encoder '{FAMILY}:{model}'")
    name, (architecture, _, tag) = f"{FAMILY}:{model}", model.partition("/")
    known = models.list_models(module=models)
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, 3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"torchvision knows no classifier {architecture!r}{hint}")
    weights = _weights(models, architecture, tag)
    how = (
        f"download {weights.url} on a machine with a network into the folder hub/checkpoints below what TORCH_HOME "
        "names (~/.cache/torch), or give it as a local file of weights"
    )
    with obtaining(name, how):
        network = models.get_model(architecture, weights=weights if options.weights is None else None)
    _drop_classifier(network, name, len(weights.meta["categories"]))
    if options.weights is not None:
        load_weights(network, options.weights, name)
    transform = weights.transforms()
    preprocessing = Preprocessing(
        transform.mean, transform.std, int(transform.crop_size[0]), str(transform.interpolation.value)
    )
    return NetworkEncoder(network, network, name, preprocessing, options.device)


def _weights(models: Any, architecture: str, tag: str) -> Any:
    known = models.get_model_weights(architecture)
    if not tag:
        return known.DEFAULT
    if tag not in known.__members__:
        raise ConfigError(
            f"torchvision knows no weights {tag!r} of {architecture}; it has {', '.join(known.__members__)}"
        )
    return known[tag]


def _drop_classifier(network: Any, name: str, classes: int) -> None:
    """Let the last linear layer hand on what it is given."""
    from torch import nn

    last = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not last or network.get_submodule(last[-1]).out_features != classes:
        raise ConfigError(f"the network {name!r} does not end in a linear classifier, so it is no encoder")
    parent, _, attribute = last[-1].rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
