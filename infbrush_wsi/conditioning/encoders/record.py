"""What makes two encoders the same: name, weights, normalisation and dimension, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from infbrush_wsi.errors import ConditionError

COMPARED = ("name", "sha256", "dimension", "mean", "std", "size", "interpolation", "unit_length")
"""Fields that change embeddings; the others are advice."""


@dataclass(frozen=True)
class EncoderRecord:
    """Facts of an encoder that must travel with its embeddings and with a model that was trained on them.

    Attributes:
        name: as `load_encoder` takes it, e.g. 'timm:resnet50.a1_in1k'.
        sha256: of the weights, see `state_dict_sha256`; of the version of the code for encoders without weights.
        dimension: D of the embeddings.
        mean: subtracted from pixels in [0, 1], one value a band.
        std: they are then divided by, one value a band.
        size: side in pixels to which patches are resized; None: they are taken as they are.
        interpolation: of the resizing, 'bicubic' or 'bilinear'; None without `size`.
        unit_length: whether embeddings are scaled to length 1.
        mpp: micrometres per pixel of the patches that it was trained with, where its authors say so.
    """

    name: str
    sha256: str
    dimension: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None = None
    interpolation: str | None = None
    unit_length: bool = False
    mpp: float | None = None

    @property
    def channels(self) -> int:
        """Bands of the patches."""
        return len(self.mean)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Any) -> EncoderRecord:
        """From `to_dict`'s output.

        Raises:
            ConditionError: for missing, unknown or wrong fields.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or not set(values) <= known:
            found = sorted(set(values) - known) if isinstance(values, Mapping) else [repr(values)]
            raise ConditionError(
                f"an encoder's record has unknown fields ({', '.join(map(str, found))}); install the version of "
                "infbrush_wsi that wrote it"
            )
        try:
            record: EncoderRecord = TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
            raise ConditionError(f"an encoder's record is not valid ({wrong}); embed the images again") from error
        if record.dimension < 1 or not record.mean or len(record.mean) != len(record.std) or min(record.std) <= 0:
            raise ConditionError(
                "an encoder's record needs a dimension, and a mean and a positive deviation for each band; embed the "
                "images again"
            )
        return record


def check_same_encoder(trained: EncoderRecord, given: EncoderRecord, what: str = "the embeddings") -> None:
    """Refuse embeddings of another encoder than the one that a model was trained with.

    Args:
        trained: from the model's record.
        given: of the encoder or the store at hand.
        what: how the message begins.

    Raises:
        ConditionError: naming each field that differs.
    """
    different = [
        f"{field} {_short(getattr(given, field))} and not {_short(getattr(trained, field))}"
        for field in COMPARED
        if getattr(given, field) != getattr(trained, field)
    ]
    if different:
        raise ConditionError(
            f"{what} come from another encoder than the model was trained with: {'; '.join(different)}. "
            f"Use the encoder {trained.name!r} with the same weights"
        )


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text
