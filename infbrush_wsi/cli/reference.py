"""`--reference` of a command: the latent of a real image or of a region of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infbrush_wsi.errors import ConditionError, ConfigError

NUMBERS = 4
SYSTEM = "infdiff"


@dataclass(frozen=True)
class Reference:
    """An image as it was named.

    Args:
        path: of the image.
        region: 'x,y,width,height' in its level-0 pixels; None: all of it.

    Raises:
        ConfigError: if the region is not four whole numbers.
    """

    path: Path
    region: str | None
    _box: tuple[int, ...] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.region is None:
            return
        try:
            box = tuple(int(part) for part in self.region.split(","))
        except ValueError:
            box = ()
        if len(box) != NUMBERS:
            raise ConfigError(f"--reference-region needs x,y,width,height in whole pixels, not {self.region!r}")
        object.__setattr__(self, "_box", box)

    def latent(self, pipe: Any) -> Any:
        """Its latent, by a pipeline that has an encoder.

        Raises:
            ConditionError: if the model is of another system.
        """
        if pipe.info.system != SYSTEM:
            raise ConditionError(
                f"a model of the system {pipe.info.system} takes no latent of an image; --reference is for {SYSTEM}"
            )
        if self._box is None:
            return pipe.encode(self.path)
        return pipe.encode(self.path, self._box[:2], self._box[2:])
