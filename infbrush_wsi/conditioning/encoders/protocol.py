"""What an encoder is: anything that makes embeddings of patches and says which ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.conditioning.encoders.record import EncoderRecord
from infbrush_wsi.errors import ConditionError


@runtime_checkable
class Encoder(Protocol):
    """Makes embeddings of patches of images.

    Attributes:
        record: what travels with the embeddings.
    """

    @property
    def record(self) -> EncoderRecord:
        """What travels with the embeddings."""
        ...

    def __call__(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed patches: uint8 (n, h, w, C) to float32 (n, D); the same for a patch whatever the others are."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Makes embeddings of words in the space of an encoder's image embeddings.

    Attributes:
        record: that of the image embeddings.
    """

    @property
    def record(self) -> EncoderRecord:
        """That of the image embeddings."""
        ...

    def encode_text(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Embed prompts: float32 (n, D)."""
        ...


@dataclass(frozen=True)
class EncoderOptions:
    """What a factory of encoders is told besides the model's name.

    Attributes:
        weights: local file with the weights; None: the library finds or downloads them.
        device: where the network runs.
        channels: bands of the patches.
    """

    weights: Path | None = None
    device: str = "cpu"
    channels: int = 3


def encode_prompts(encoder: Encoder | TextEncoder, prompts: str | Sequence[str]) -> NDArray[np.float32]:
    """Embed prompts with an encoder that has a text tower.

    Args:
        encoder: from `load_encoder`, of the families open_clip or hf.
        prompts: one or several.

    Returns:
        float32 (n, D); a row is a condition of a model that was trained on this encoder's image embeddings.

    Raises:
        ConditionError: if the encoder knows no words, or a prompt is empty.
    """
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not isinstance(encoder, TextEncoder):
        raise ConditionError(
            f"the encoder {encoder.record.name!r} knows images only; prompts need a model with a text tower, "
            "e.g. open_clip:NAME/TAG or hf:NAME of the CLIP kind"
        )
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ConditionError("a prompt must be a text that is not empty")
    return encoder.encode_text(texts)


def check_patches(patches: NDArray[np.uint8], channels: int, name: str) -> None:
    """Refuse what is no batch of patches with these bands.

    Raises:
        ConditionError: if it is none.
    """
    if patches.ndim != 4 or patches.dtype != np.uint8 or patches.shape[3] != channels or 0 in patches.shape[1:]:
        raise ConditionError(
            f"the encoder {name!r} takes patches uint8 (n, h, w, {channels}), not {patches.dtype} {patches.shape}; "
            "choose bands"
        )
