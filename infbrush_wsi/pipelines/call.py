"""What the calls of all pipelines have in common: where the image lies, which condition it has, what is recorded."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from affine import Affine

from infbrush_wsi.canvas.spec import whole_pair
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.domain import MICROMETERS_PER_UNIT, Lattice, Shape
from infbrush_wsi.errors import CheckpointError, ConditionError, ConfigError, RegionError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.pipelines.vectors import finite_rows


def whole(name: str, value: Any) -> int:
    """A whole number.

    Raises:
        ConfigError: if it is none.
    """
    try:
        return operator.index(value)
    except TypeError as error:
        raise ConfigError(f"{name} must be a whole number, not {value!r}") from error


def spacing_of(info: ModelInfo, mpp: float | None, resolution: float | None) -> float:
    """The pixel size in the model's unit; its finest one if none is given.

    Raises:
        ConfigError: if both are given, or micrometres for a model whose unit is no length.
    """
    if mpp is not None and resolution is not None:
        raise ConfigError("give mpp (micrometres) or resolution (CRS units), not both")
    if mpp is None:
        return resolution if resolution is not None else info.spacing[0]
    factor = MICROMETERS_PER_UNIT.get(info.unit)
    if factor is None:
        raise ConfigError(f"this model's pixels are measured in {info.unit}, so mpp has no meaning; use resolution=")
    return mpp / factor


def lattice_of(
    info: ModelInfo, size: tuple[int, int], spacing: float, origin: tuple[float, float] | None, crs: str | None
) -> Lattice:
    """The pixels of level 0 in physical space.

    Raises:
        RegionError: for a size, pixel size or origin that makes no sense.
    """
    width, height = whole_pair(size, "size")
    if width < 1 or height < 1:
        raise RegionError(f"size must be a positive (width, height) in pixels, not {size}")
    if not (math.isfinite(spacing) and spacing > 0):
        raise RegionError(f"the pixel size must be positive, not {spacing}")
    shape = Shape(height, width)
    if origin is None and crs is None:
        return Lattice.regular(shape, spacing, info.unit)
    x, y = origin or (0.0, 0.0)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise RegionError(f"origin must be a finite (x, y) in CRS units, not {origin}")
    return Lattice(shape, Affine(spacing, 0.0, x, 0.0, -spacing, y), info.unit, crs or info.crs)


def condition_of(info: ModelInfo, width: int, condition: Any) -> tuple[ConditionBatch, Any]:
    """One condition as a batch of one, and as it is recorded.

    Args:
        info: the model's record.
        width: of the embeddings that the network takes; 0: none.
        condition: a class name, an embedding (D,) or (M, D), or None.

    Raises:
        ConditionError: if the model does not know it.
    """
    if condition is None:
        return ConditionBatch.none(1), None
    present = torch.zeros(1, dtype=torch.bool)
    if isinstance(condition, str):
        index = _class_index(info, condition)
        return ConditionBatch(present, labels=torch.tensor([index])), info.classes[index]
    if not width:
        raise ConditionError("this model takes no embeddings; " + known_classes(info))
    embedding = finite_rows(condition, width, "an embedding")
    batch = ConditionBatch(present, embeddings=torch.from_numpy(embedding)[None])
    return batch, tuple(map(tuple, embedding.tolist()))


def _class_index(info: ModelInfo, name: str) -> int:
    folded = [known.casefold() for known in info.classes]
    if name in info.classes:
        return info.classes.index(name)
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    raise ConditionError(f"the model knows no class {name!r}; {known_classes(info)}")


def known_classes(info: ModelInfo) -> str:
    """What to say of the model's classes in a message."""
    return f"its classes are {', '.join(info.classes)}" if info.classes else "it was trained without classes"


def provenance_of(bundle: ModelBundle) -> dict[str, Any]:
    """Facts about the model that are written into every output."""
    info = bundle.info
    training = {k: v for k, v in info.training.items() if k in ("steps", "images")}
    model = {"sha256": bundle.weights_sha256, "training": training, "process": info.process}
    return {"system": info.system, "model": model}


def process_of(info: ModelInfo) -> MollifiedProcess:
    """The diffusion process of a model's record.

    Raises:
        CheckpointError: if it holds none that can be used.
    """
    try:
        return MollifiedProcess(ProcessConfig.from_dict(info.process))
    except ConfigError as error:
        raise CheckpointError(f"the model's record holds no diffusion process that can be used: {error}") from error
