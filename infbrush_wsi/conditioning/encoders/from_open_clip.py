"""Encoders of OpenCLIP, for images and prompts: ``open_clip:ViT-B-32/laion2b_s34b_b79k``, ``open_clip:hf-hub:...``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi._optional import require
from infbrush_wsi.conditioning.encoders.network import NetworkEncoder, Preprocessing
from infbrush_wsi.conditioning.encoders.protocol import EncoderOptions
from infbrush_wsi.conditioning.encoders.weights import hub_hint, obtaining
from infbrush_wsi.errors import CheckpointError, ConfigError

FAMILY = "open_clip"


class OpenClipEncoder(NetworkEncoder):
    """Image and text tower of one model of OpenCLIP; both give vectors of length 1 in one space.

    Args:
        network: the whole model; the hash is over both towers.
        tokenizer: prompts to token numbers.
        name: as in `EncoderRecord`.
        preprocessing: of the image tower.
        device: where it runs.
    """

    def __init__(self, network: Any, tokenizer: Any, name: str, preprocessing: Preprocessing, device: str) -> None:
        self._tokenizer, self._model = tokenizer, network
        super().__init__(network, network.encode_image, name, preprocessing, device, unit_length=True)

    def encode_text(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Embed prompts: float32 (n, D), of length 1; words beyond the model's context are cut off.

        Raises:
            ConditionError: if an embedding is not finite.
        """
        import torch

        with torch.inference_mode():
            return self.finished(self._model.encode_text(self._tokenizer(list(prompts)).to(self.device)))


def open_clip_encoder(model: str, options: EncoderOptions) -> OpenClipEncoder:
    """A model of OpenCLIP.

    Args:
        model: 'ARCHITECTURE/TAG' as ``open_clip.list_pretrained()`` has them, 'hf-hub:OWNER/MODEL', or
            'local-dir:PATH'; 'ARCHITECTURE' alone with a local file of weights.
        options: weights may be a file of that architecture.

    Raises:
        ConfigError: if OpenCLIP knows no such model, or no weights are named.
        CheckpointError: if the weights cannot be had.
        MissingExtraError: without OpenCLIP.
    """
    library = require("open_clip", extra="encoders", purpose=f"use the encoder '{FAMILY}:{model}'")
    name = f"{FAMILY}:{model}"
    architecture, tag = (model, "") if ":" in model else (model.partition("/")[0], model.partition("/")[2])
    if ":" not in model:
        _check(library, architecture, tag, options)
    if options.weights is not None and not options.weights.is_file():
        raise CheckpointError(f"there is no file of weights at {options.weights}")
    weights = str(options.weights) if options.weights is not None else tag or None
    with obtaining(name, hub_hint(_repository(library, model, architecture, tag))):
        network = library.create_model(architecture, pretrained=weights)
        tokenizer = library.get_tokenizer(architecture)
        settings = library.get_model_preprocess_cfg(network)
    size = settings["size"]
    side = int(size if isinstance(size, int) else max(size))
    preprocessing = Preprocessing(settings["mean"], settings["std"], side, str(settings["interpolation"]))
    return OpenClipEncoder(network, tokenizer, name, preprocessing, options.device)


def _check(library: Any, architecture: str, tag: str, options: EncoderOptions) -> None:
    known = library.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, 3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"OpenCLIP knows no model {architecture!r}{hint}")
    tags = library.list_pretrained_tags_by_model(architecture)
    if options.weights is None and tag not in tags:
        listed = ", ".join(tags) or "none: give a local file"
        raise ConfigError(
            f"{FAMILY}:{architecture} needs the tag of its weights ({FAMILY}:{architecture}/TAG), not {tag!r}; they "
            f"are {listed}"
        )


def _repository(library: Any, model: str, architecture: str, tag: str) -> str:
    if ":" in model:
        return model.partition(":")[2]
    found = library.get_pretrained_cfg(architecture, tag) or {}
    return str(found.get("hf_hub") or found.get("url") or model).rstrip("/")
