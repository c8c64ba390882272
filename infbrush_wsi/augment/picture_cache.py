"""Generated images kept as PNG files in a labelled folder, shared by processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infbrush_wsi.augment.claim import claim
from infbrush_wsi.errors import ConfigError, OutputError
from infbrush_wsi.writers.picture import write_picture

RECORD = "synthetic.json"
PICTURES = (1, 3)
"""Numbers of bands that a PNG holds as they are."""


class PictureCache:
    """Images by name; one that is missing or damaged is made anew.

    Args:
        folder: made if it is not there.
        record: of what makes the images; an existing folder must have the same.
        channels: of the images.

    Raises:
        ConfigError: for images that are neither grey nor RGB.
        OutputError: if the folder holds other images, or cannot be used.
    """

    def __init__(self, folder: Path, record: Mapping[str, Any], channels: int) -> None:
        if channels not in PICTURES:
            raise ConfigError(
                f"images of {channels} bands are no PNG files; leave the cache out, or write a Zarr stack"
            )
        self.folder, self.record, self.channels = folder, dict(record), channels
        claim(folder, RECORD, self.record, "with another model or other settings")

    def get(self, name: str, about: Mapping[str, Any], make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """An image, from its file if that is there and whole.

        Args:
            name: path within the folder, without suffix.
            about: of this image, written into it beside the record.
            make: computes it.

        Raises:
            OutputError: if it cannot be kept.
        """
        path = self.path(name)
        known = self._read(path)
        if known is not None:
            return known
        pixels = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder '{path.parent}': {error.strerror or error}") from error
        write_picture(pixels, path, provenance=self.record | dict(about), overwrite=True)
        return pixels

    def path(self, name: str) -> Path:
        """Where an image is kept."""
        return self.folder / f"{name}.png"

    def _read(self, path: Path) -> NDArray[np.uint8] | None:
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image)
        except (OSError, SyntaxError, ValueError):  # absent, cut off or damaged
            return None
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        return pixels if pixels.shape[2] == self.channels else None
