"""Constraints from a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import yaml
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.pipelines.constraints.scores import ClassScore, Score, TextScore, feature_score
from infbrush_wsi.pipelines.constraints.steering import Constraint

CLIP = ("ViT-B-32", "laion2b_s34b_b79k")


class ConstraintSettings(BaseModel):
    """One constraint as a user writes it: a box, and one of `like`, `text` or `classifier`.

    Attributes:
        box: x, y, width, height in pixels of level 0.
        like: a picture whose features the box shall have.
        text: what the box shall show, for open_clip.
        model: architecture and weights of open_clip.
        classifier: a program of `torch.export` (.pt2): pictures (1, C, side, side) in [-1, 1] to logits (1, K).
        index: of the class that the box shall have.
        side: of the picture that is scored.
        weight: against other constraints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    box: tuple[int, int, int, int]
    like: str | None = None
    text: str | None = None
    model: tuple[str, str] = CLIP
    classifier: str | None = None
    index: int = Field(default=0, ge=0)
    side: int = 64
    weight: float = 1.0

    @model_validator(mode="after")
    def _one_wish(self) -> Self:
        if sum(wish is not None for wish in (self.like, self.text, self.classifier)) != 1:
            raise ValueError("give one of like, text and classifier")
        return self

    def constraint(self, folder: Path) -> Constraint:
        """What it means; paths are relative to `folder`.

        Raises:
            ConfigError: if a file cannot be read, or a value is out of range.
            MissingExtraError: for a text without open_clip.
        """
        return Constraint(Box(*self.box), self._score(folder), self.side, self.weight)

    def _score(self, folder: Path) -> Score:
        if self.text is not None:
            return TextScore(self.text, *self.model)
        if self.like is not None:
            return feature_score(_picture(folder / self.like, self.side), Path(self.like).name)
        assert self.classifier is not None  # noqa: S101
        return ClassScore(_program(folder / self.classifier), self.index, f"{Path(self.classifier).name}:{self.index}")


def read_constraints(path: str | Path) -> list[Constraint]:
    """The constraints of a YAML file: a list, or a mapping with the list under 'constraints'.

    Raises:
        ConfigError: naming every wrong field, or a file that cannot be read.
        MissingExtraError: for a text without open_clip.
    """
    path = Path(path)
    try:
        values: Any = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the constraints in {path}: {error}") from error
    entries = values.get("constraints") if isinstance(values, dict) else values
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path} must hold a list of constraints, such as - {{box: [0, 0, 512, 512], like: a.png}}")
    made = []
    for number, entry in enumerate(entries, start=1):
        try:
            made.append(ConstraintSettings.model_validate(entry).constraint(path.parent))
        except ValidationError as error:
            lines = [f"{'.'.join(str(p) for p in e['loc']) or 'constraint'}: {e['msg']}" for e in error.errors()]
            raise ConfigError(f"constraint {number} of {path} is not valid: " + "; ".join(lines)) from error
    return made


def _picture(path: Path, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A reference, resized as boxes are."""
    try:
        with Image.open(path) as image:
            shown = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    except (OSError, Image.DecompressionBombError) as error:
        raise ConfigError(f"cannot read the reference {path}: {error}; give a PNG or JPEG") from error
    return np.asarray(shown)


def _program(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"there is no classifier {path}; save one with torch.export.save(torch.export.export(...))")
    try:
        return torch.export.load(path).module()
    except Exception as error:  # zip, JSON and torch each have their own
        raise ConfigError(f"cannot load the classifier {path}: {error}; save it with torch.export.save") from error
