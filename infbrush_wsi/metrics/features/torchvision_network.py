"""Networks of torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infbrush_wsi._optional import require
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.features.network import NetworkFeatures, Normalisation, by_library, load_weights

if TYPE_CHECKING:
    from torch import nn

    from infbrush_wsi.metrics.features.registry import FeatureSpec

DEFAULT_SIDE = 224


def torchvision_network(spec: FeatureSpec, device: str) -> NetworkFeatures:
    """``torchvision:NAME[@PATH]``: the input of the last linear layer; weights are the library's DEFAULT.

    Images are resized to the square that the weights were made for (224 for a file of weights), nothing is cut off.

    Raises:
        ConfigError: if torchvision has no such classifier.
        CheckpointError: if the weights cannot be loaded.
        MissingExtraError: if torchvision is not installed.
    """
    models = require("torchvision.models", extra="metrics", purpose=f"compute the features {spec.text!r}")
    name = spec.argument
    if name not in models.list_models(module=models):
        raise ConfigError(f"torchvision has no classifier named {name!r}; see torchvision.models.list_models()")
    label = f"torchvision:{name}"
    if spec.weights is None:
        model = by_library(label, "torchvision", lambda: models.get_model(name, weights="DEFAULT"))
        expects = _expected(models.get_model_weights(name).DEFAULT.transforms())
    else:
        model = models.get_model(name, weights=None)
        load_weights(label, spec.weights, model.load_state_dict)
        expects = Normalisation(DEFAULT_SIDE)
    return NetworkFeatures(label, _without_classifier(model, label), expects, device)


def _expected(transforms: Any) -> Normalisation:
    mode = "bicubic" if "bicubic" in str(transforms.interpolation).lower() else "bilinear"
    return Normalisation(int(transforms.crop_size[0]), tuple(transforms.mean), tuple(transforms.std), mode)


def _without_classifier(model: nn.Module, label: str) -> nn.Module:
    from torch import nn

    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError(f"{label!r} has no linear layer at its end, so its features are not known")
    model.set_submodule(linear[-1], nn.Identity())
    return model
