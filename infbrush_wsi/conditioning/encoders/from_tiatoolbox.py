"""Encoders of TIAToolbox: ``tiatoolbox:UNI``, ``tiatoolbox:resnet18-kather100k``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infbrush_wsi._optional import require
from infbrush_wsi.conditioning.encoders.from_timm import TimmFeatures, timm_preprocessing
from infbrush_wsi.conditioning.encoders.network import NetworkEncoder, Preprocessing
from infbrush_wsi.conditioning.encoders.protocol import EncoderOptions
from infbrush_wsi.conditioning.encoders.weights import hub_hint, load_weights, obtaining
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

FAMILY = "tiatoolbox"
TRAINED_MPP = {
    "UNI": 0.5,
    "UNI2": 0.5,
    "prov-gigapath": 0.5,
    "H-optimus-0": 0.5,
    "H-optimus-1": 0.5,
    "H0-mini": 0.5,
    "Virchow": 0.5,
}
"""Micrometres per pixel of the patches that these were trained with (20x); others saw several magnifications."""


def tiatoolbox_encoder(model: str, options: EncoderOptions) -> NetworkEncoder:
    """A tile encoder, or a patch classifier without its classifier, that TIAToolbox knows by name.

    Args:
        model: one of its foundation models (UNI, UNI2, prov-gigapath, H-optimus-0, Virchow, kaiko, ...) or of its
            patch classifiers (resnet18-kather100k, ...).
        options: weights may be a file of that network.

    Raises:
        ConfigError: if TIAToolbox knows no such model.
        CheckpointError: if the weights cannot be had.
        MissingExtraError: without TIAToolbox.
    """
    purpose = f"use the encoder '{FAMILY}:{model}'"
    vanilla = require("tiatoolbox.models.architecture.vanilla", extra="tiatoolbox", purpose=purpose)
    if model in vanilla.timm_arch_dict:
        return _foundation(vanilla, model, options)
    architecture = require("tiatoolbox.models.architecture", extra="tiatoolbox", purpose=purpose)
    return _classifier(architecture, vanilla, model, options)


def _foundation(vanilla: Any, model: str, options: EncoderOptions) -> NetworkEncoder:
    name = f"{FAMILY}:{model}"
    repository = str(vanilla.timm_arch_dict[model]["model"]).partition(":")[2]
    with obtaining(name, hub_hint(repository)):
        network = vanilla.TimmBackbone(model, pretrained=options.weights is None).feat_extract
    if options.weights is not None:
        load_weights(network, options.weights, name)
    preprocessing = timm_preprocessing(network, name)
    mpp = TRAINED_MPP.get(model)
    return NetworkEncoder(network, TimmFeatures(network), name, preprocessing, options.device, mpp=mpp)


def _classifier(architecture: Any, vanilla: Any, model: str, options: EncoderOptions) -> NetworkEncoder:
    name = f"{FAMILY}:{model}"
    if model not in architecture.PRETRAINED_INFO:
        raise ConfigError(
            f"TIAToolbox knows no encoder {model!r}; it has {', '.join(vanilla.timm_arch_dict)} and patch classifiers "
            "such as resnet18-kather100k"
        )
    how = (
        "TIAToolbox downloads it on a machine with a network, into ~/.tiatoolbox/models; copy that folder here, or "
        "give a local file of weights"
    )
    with obtaining(name, how):
        network, settings = architecture.get_pretrained_model(
            model, pretrained_weights=None if options.weights is None else str(options.weights)
        )
    # Their subclasses normalise in ways of their own.
    if type(network) not in (vanilla.CNNModel, vanilla.TimmModel):
        raise ConfigError(f"the network {name!r} is no patch classifier, so it is no encoder")
    side = int(settings.patch_input_shape[0])
    resolution = settings.input_resolutions[0]
    mpp = float(resolution["resolution"]) if resolution["units"] == "mpp" else None
    # TIAToolbox feeds these networks with pixels in [0, 1].
    preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3, side)
    return NetworkEncoder(network, _Pooled(network), name, preprocessing, options.device, mpp=mpp)


class _Pooled:
    """What the classifier is given: (n, D)."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, pixels: Tensor) -> Tensor:
        found: Tensor = self._network.feat_extract(pixels)
        pool = getattr(self._network, "pool", None)
        return (found if pool is None else pool(found)).flatten(1)
