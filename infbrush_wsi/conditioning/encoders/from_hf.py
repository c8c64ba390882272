"""Encoders of Hugging Face's transformers: ``hf:OWNER/MODEL`` or ``hf:FOLDER``; prompts too for models like CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.conditioning.encoders.network import NetworkEncoder, Preprocessing
from infbrush_wsi.conditioning.encoders.protocol import EncoderOptions
from infbrush_wsi.conditioning.encoders.weights import hub_hint, obtaining
from infbrush_wsi.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor

FAMILY = "hf"
PILLOW_BICUBIC = 3


class HfClipEncoder(NetworkEncoder):
    """Image and text tower of one model like CLIP or SigLIP; both give vectors of length 1 in one space.

    Args:
        network: the whole model; the hash is over both towers.
        tokenizer: of its text tower.
        name: as in `EncoderRecord`.
        preprocessing: of the image tower.
        device: where it runs.
    """

    def __init__(self, network: Any, tokenizer: Any, name: str, preprocessing: Preprocessing, device: str) -> None:
        self._tokenizer, self._model = tokenizer, network
        super().__init__(
            network,
            lambda pixels: _vector(network.get_image_features(pixel_values=pixels)),
            name,
            preprocessing,
            device,
            unit_length=True,
        )

    def encode_text(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Embed prompts: float32 (n, D), of length 1; words beyond the model's context are cut off.

        Raises:
            ConditionError: if an embedding is not finite.
        """
        import torch

        # SigLIP was trained with prompts padded to the full length, without a mask.
        padding = "max_length" if "siglip" in self._model.config.model_type else True
        tokens = self._tokenizer(list(prompts), padding=padding, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            found = self._model.get_text_features(**{key: value.to(self.device) for key, value in tokens.items()})
            return self.finished(_vector(found))


def hf_encoder(model: str, options: EncoderOptions) -> NetworkEncoder:
    """A vision model of transformers, pooled as it pools, or its class token.

    Args:
        model: repository on the hub, or a folder with config.json, weights and preprocessor_config.json.
        options: the device; weights lie in the folder.

    Raises:
        ConfigError: if the model takes no images, or a file of weights is given.
        CheckpointError: if the weights cannot be had or are incomplete.
        MissingExtraError: without transformers.
    """
    library = require("transformers", extra="encoders", purpose=f"use the encoder '{FAMILY}:{model}'")
    name = f"{FAMILY}:{model}"
    if options.weights is not None:
        raise ConfigError(f"the encoder {name!r} takes no file of weights; write {FAMILY}:FOLDER with all of its files")
    with obtaining(name, hub_hint(model)):
        settings = library.AutoImageProcessor.from_pretrained(model)
        network, report = library.AutoModel.from_pretrained(model, output_loading_info=True)
    missing = {str(key) for key in report["missing_keys"]}
    if any(not key.startswith("pooler.") for key in missing):
        raise CheckpointError(
            f"the weights of {name!r} are incomplete: {len(missing)} are missing ({', '.join(sorted(missing)[:3])})"
        )
    preprocessing = _preprocessing(settings, name)
    if hasattr(network, "get_image_features"):
        with obtaining(name, hub_hint(model)):
            tokenizer = library.AutoTokenizer.from_pretrained(model)
        return HfClipEncoder(network, tokenizer, name, preprocessing, options.device)
    if missing:
        network.pooler = None  # it was never trained: transformers has just drawn it at random
    return NetworkEncoder(
        network, lambda pixels: _vector(network(pixel_values=pixels)), name, preprocessing, options.device
    )


def _vector(found: Any) -> Tensor:
    """(n, D): what the model pools, or its class token."""
    pooled = getattr(found, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)  # type: ignore[no-any-return]
    tokens = getattr(found, "last_hidden_state", None)
    return found if tokens is None else tokens[:, 0]  # type: ignore[no-any-return]


def _preprocessing(settings: Any, name: str) -> Preprocessing:
    """Normalisation and size from the model's own image processor.

    Raises:
        ConfigError: if it says none.
    """
    mean, std = getattr(settings, "image_mean", None), getattr(settings, "image_std", None)
    size = (getattr(settings, "do_center_crop", False) and settings.crop_size) or getattr(settings, "size", None)
    side = _side(size)
    if not mean or not std or len(mean) != 3 or side is None:
        raise ConfigError(f"the image processor of {name!r} does not say mean, deviation and size of RGB patches")
    interpolation = "bicubic" if getattr(settings, "resample", None) == PILLOW_BICUBIC else "bilinear"
    return Preprocessing(tuple(mean), tuple(std), side, interpolation)


def _side(size: Any) -> int | None:
    values = size if isinstance(size, Mapping) else {k: getattr(size, k, None) for k in ("height", "shortest_edge")}
    found = values.get("height") or values.get("shortest_edge")
    return None if found is None else int(found)
