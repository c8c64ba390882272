"""Networks of timm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infbrush_wsi._optional import require
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.features.network import NetworkFeatures, Normalisation, by_library, load_weights

if TYPE_CHECKING:
    from infbrush_wsi.metrics.features.registry import FeatureSpec


def timm_network(spec: FeatureSpec, device: str) -> NetworkFeatures:
    """``timm:NAME[@PATH]``: pooled features before the classifier; input as the model's own configuration says.

    Images are resized to the square that the network takes, nothing is cut off.

    Raises:
        ConfigError: if no network is named, or timm does not know it.
        CheckpointError: if the weights cannot be loaded.
        MissingExtraError: if timm is not installed.
    """
    timm = require("timm", extra="metrics", purpose=f"compute the features {spec.text!r}")
    name = spec.argument
    if not name or not (":" in name or timm.is_model(name)):
        raise ConfigError(f"timm has no model named {name!r}; see timm.list_models(pretrained=True)")
    if spec.weights is None:
        label = f"timm:{name}"
        model = by_library(label, "timm", lambda: timm.create_model(name, pretrained=True, num_classes=0))
    else:
        model = timm.create_model(name, pretrained=False, num_classes=0)
        head = {f"{part}." for part in _classifiers(model)}
        load_weights(
            f"timm:{name}",
            spec.weights,
            lambda state: model.load_state_dict({k: v for k, v in state.items() if not k.startswith(tuple(head))}),
        )
    config = timm.data.resolve_model_data_config(model)
    expects = Normalisation(
        int(config["input_size"][-1]), tuple(config["mean"]), tuple(config["std"]), _mode(str(config["interpolation"]))
    )
    return NetworkFeatures(f"timm:{name}", model, expects, device)


def _classifiers(model: object) -> tuple[str, ...]:
    found = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return (found,) if isinstance(found, str) else tuple(found)


def _mode(name: str) -> str:
    return name if name in ("bilinear", "bicubic") else "bicubic"
