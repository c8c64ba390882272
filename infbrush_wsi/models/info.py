"""What a saved model says of itself beside its weights: units, bands, classes, process, training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from infbrush_wsi.errors import CheckpointError
from infbrush_wsi.formats import MODEL

LARGEST_WINDOW = 1 << 20


@dataclass(frozen=True)
class ModelInfo:
    """Facts that must travel with the weights.

    Attributes:
        system: which of the published systems, e.g. 'infbrush'.
        spacing: pixel size of training in `unit`, the finest first if there were several.
        unit: 'micrometer' for slides, the CRS's unit for rasters, 'pixel' if unknown.
        window: side of the training window in pixels.
        channel_names: bands in order.
        classes: class names in order of their index.
        sigma: standard deviation of the mollifier in training pixels.
        process: fields of `diffusion.process.ProcessConfig`.
        training: what it was trained on and how long (steps, points, source fingerprints, ...).
        crs: coordinate reference system of the training rasters, if they shared one.
        package_version: that wrote it.
        format_version: of this record, see `formats`.
    """

    system: str
    spacing: tuple[float, ...]
    unit: str
    window: int
    channel_names: tuple[str, ...]
    classes: tuple[str, ...]
    sigma: float
    process: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    crs: str | None = None
    package_version: str = ""
    format_version: int | str = MODEL.stamp

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def with_training(self, facts: dict[str, Any]) -> ModelInfo:
        """The same with more facts about the training."""
        return replace(self, training=self.training | facts)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelInfo:
        """From `to_dict`'s output.

        Raises:
            CheckpointError: for a newer format, or missing, unknown or wrong fields.
        """
        version, where = values.get("format_version"), "the model's record"
        values = MODEL.migrated(values, version, where=where, error=CheckpointError)
        known = {f.name for f in fields(cls)}
        if MODEL.check(version, where=where, error=CheckpointError):
            values = {name: value for name, value in values.items() if name in known}
        values = values | {"format_version": MODEL.stamp}
        if not set(values) <= known:
            raise CheckpointError(f"the model's record has unknown fields: {', '.join(sorted(set(values) - known))}")
        try:
            record = TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
            raise CheckpointError(f"the model's record is not valid: {wrong}") from error
        if not record.spacing or not all(0 < spacing < math.inf for spacing in record.spacing):
            raise CheckpointError(f"the model's record needs positive pixel sizes, not {record.spacing}")
        if not 1 <= record.window <= LARGEST_WINDOW or not 0 <= record.sigma < math.inf or not record.channel_names:
            raise CheckpointError(
                f"the model's record needs a window of 1 to {LARGEST_WINDOW} pixels, a sigma and bands, not "
                f"{record.window}, {record.sigma} and {record.channel_names}"
            )
        return record
