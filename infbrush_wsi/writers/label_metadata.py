"""The OME block of a label image: levels with their physical scale, names and colours of the labels."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affine import Affine

from infbrush_wsi import __version__
from infbrush_wsi.domain import XY, Lattice
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.writers.layout import StoreLayout

AXES = ("y", "x")
GOLDEN = 0.6180339887498949
"""Hues this far apart stay apart, however many there are."""


@dataclass(frozen=True)
class ImagePlace:
    """What a store says of its image.

    Attributes:
        transform: from level-0 pixels to physical space, as recorded by the writer.
        unit: of the physical space.
        scale: OME's scale of level 0.
        translation: OME's place of the centre of its first pixel.
        axes: OME's axes y and x.
    """

    transform: Affine
    unit: str
    scale: XY
    translation: XY
    axes: tuple[Mapping[str, Any], Mapping[str, Any]]

    @classmethod
    def of(cls, multiscale: Mapping[str, Any], record: Mapping[str, Any]) -> ImagePlace:
        """From the attributes of a store's root; KeyError and the like if they are not as the writer leaves them."""
        axes = multiscale["axes"]
        y, x = ([axis["name"] for axis in axes].index(name) for name in AXES)
        scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
        s, t = scale["scale"], translation["translation"]
        lattice = record["lattice"]
        return cls(Affine(*lattice["transform"]), lattice["unit"], XY(s[x], s[y]), XY(t[x], t[y]), (axes[y], axes[x]))


def label_transformations(place: ImagePlace, lattice: Lattice, levels: int) -> list[list[dict[str, Any]]]:
    """Scale and translation of every level in (y, x), in the frame of the image's own.

    OME's translation is that of a pixel's centre, so that the labels' first one lies further in than the image's.

    Raises:
        RegionError: if the labels' axes are not the image's.
    """
    to_image = ~place.transform @ lattice.transform
    if lattice.unit != place.unit or abs(to_image.b) + abs(to_image.d) > 1e-9 or min(to_image.a, to_image.e) <= 0:
        raise RegionError(
            f"a label image needs the image's axes and unit: its lattice is in {lattice.unit} with "
            f"{lattice.transform!r}, the image's in {place.unit} with {place.transform!r}"
        )
    made = []
    for number in range(levels):
        side_x, side_y = to_image.a * 2**number, to_image.e * 2**number
        x = place.translation.x + place.scale.x * (to_image.c + side_x / 2 - 0.5)
        y = place.translation.y + place.scale.y * (to_image.f + side_y / 2 - 0.5)
        scale = [place.scale.y * side_y, place.scale.x * side_x]
        made.append([{"type": "scale", "scale": scale}, {"type": "translation", "translation": [y, x]}])
    return made


def label_attributes(
    form: StoreLayout,
    name: str,
    place: ImagePlace,
    transformations: Sequence[Sequence[Mapping[str, Any]]],
    names: Mapping[int, str],
    colours: Mapping[int, Sequence[int]] | None,
) -> dict[str, Any]:
    """Attributes of a label image's group, as the version of the store wants them.

    Raises:
        ConfigError: if a colour is not four whole numbers from 0 to 255, or of a label without a name.
    """
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": [dict(axis) for axis in place.axes],
        "datasets": [
            {"path": form.level_path(number), "coordinateTransformations": list(each)}
            for number, each in enumerate(transformations)
        ],
        "type": "nearest",
        "metadata": {
            "description": "every second pixel of the next finer level",
            "method": "infbrush_wsi.writers.label_image.write_label_image",
            "version": __version__,
        },
    }
    rgba = _colours(names, colours or {})
    label: dict[str, Any] = {"source": {"image": "../../"}}
    if names:
        label["colors"] = [{"label-value": value, "rgba": rgba[value]} for value in sorted(names)]
        label["properties"] = [{"label-value": value, "class": names[value]} for value in sorted(names)]
    if form.version == "0.4":
        return {"multiscales": [{"version": "0.4", **multiscale}], "image-label": {"version": "0.4", **label}}
    return {"ome": {"version": "0.5", "multiscales": [multiscale], "image-label": label}}


def _colours(names: Mapping[int, str], given: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    for value, colour in given.items():
        if value not in names:
            raise ConfigError(f"a colour was given for the label {value}, which has no name")
        if len(colour) != 4 or not all(isinstance(part, int) and 0 <= part <= 255 for part in colour):
            raise ConfigError(
                f"the colour of label {value} must be (red, green, blue, alpha) from 0 to 255, not {colour!r}"
            )
    return {value: list(given.get(value) or label_colour(value)) for value in names}


def label_colour(value: int) -> list[int]:
    """(red, green, blue, alpha), 0 to 255, of a label that was given none."""
    return [*(round(255 * part) for part in colorsys.hsv_to_rgb(value * GOLDEN % 1.0, 0.75, 0.9)), 255]
