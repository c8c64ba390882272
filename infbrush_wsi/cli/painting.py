"""A layout from the options of `infbrush generate`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from infbrush_wsi.cli.console import notice
from infbrush_wsi.cli.options import pair, point
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.conditioning.layout import Layout
    from infbrush_wsi.conditioning.layout.polygons import PolygonLayout
    from infbrush_wsi.models.info import ModelInfo
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

GEOJSON = (".geojson", ".json")


@dataclass(frozen=True)
class Painting:
    """What was asked for.

    Attributes:
        file: GeoJSON or label raster.
        classes: text of ``class of the file=class of the model`` joined by commas.
        background: class of everywhere else.
        ignore: classes of the file joined by commas.
        mpp: pixel size of what was annotated, in units of the canvas.
        unit: of the coordinates.
        origin: x,y of the canvas's corner in the file.
        cell: distance of the layout's nodes.
        corner: of the canvas in its CRS, if it has a place.
    """

    file: Path
    classes: str | None = None
    background: str | None = None
    ignore: str | None = None
    mpp: float | None = None
    unit: str | None = None
    origin: str | None = None
    cell: float | None = None
    corner: tuple[float, float] | None = None

    def layout(self, pipe: InfBrushPipeline) -> Layout:
        """The layout for a model; warnings about the file become one line each.

        Raises:
            ConfigError: for options that cannot be understood.
            ConditionError: if the file cannot be used, or names classes that the model does not know.
        """
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            geojson = self.file.suffix.lower() in GEOJSON
            layout = self._polygons(pipe) if geojson else self._raster(pipe)
        for warning in told:
            notice(f"warning: {warning.message}")
        return layout

    def _polygons(self, pipe: InfBrushPipeline) -> Layout:
        from infbrush_wsi.conditioning.layout import polygons_from_geojson

        unit = self.unit or ("pixel" if pipe.info.unit == "micrometer" else "crs")
        return polygons_from_geojson(
            self.file,
            cell=self._cell(pipe.info, pipe),
            mpp=self.mpp if unit == "pixel" else None,
            unit=cast(Any, unit),
            classes=None if self.classes is None else cast(Any, mapping(self.classes)),
            known=pipe.classes,
            background=self.background,
            ignore=() if self.ignore is None else [name.strip() for name in self.ignore.split(",")],
            offset=self._offset(self.corner if unit == "crs" else None) or (0.0, 0.0),
        )

    def _raster(self, pipe: InfBrushPipeline) -> Layout:
        from infbrush_wsi.conditioning.layout import raster_from_file

        if self.ignore is not None or self.unit is not None:
            raise ConfigError("--ignore and --paint-unit are for GeoJSON; leave a raster's value out of --classes")
        values = None if self.classes is None else {_value(key): name for key, name in mapping(self.classes).items()}
        return raster_from_file(
            self.file,
            conditions=cast(Any, values),
            pixel=self.mpp,
            cell=self.cell,
            background=self.background,
            offset=self._offset(self.corner),
        )

    def _cell(self, info: ModelInfo, pipe: InfBrushPipeline) -> float:
        """By default a cell of the network's grid: it mixes what is finer."""
        return self.cell or min(info.spacing) * float(pipe.denoiser.config.grid_pitch)

    def _offset(self, default: tuple[float, float] | None) -> tuple[float, float] | None:
        if self.origin is None:
            return default
        return point(self.origin, "--paint-origin", "units of the image")


def mapping(text: str) -> dict[str, str]:
    """{'Tumor': 'Invasive'} from 'Tumor=Invasive'.

    Raises:
        ConfigError: if a part has no '=', or a name comes twice.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, meant = pair(part, "=", "every part of --classes")
        if name in found:
            raise ConfigError(f"--classes names {name!r} twice")
        found[name] = meant
    return found


def _value(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(
            f"--classes of a label raster must be VALUE=CLASS with whole numbers, not {text!r}"
        ) from error


def warn_of_miss(layout: Layout, size: tuple[float, float]) -> None:
    """Tell the user if no polygon touches a canvas of this (width, height) in its own units."""
    bounds = getattr(cast("PolygonLayout", layout), "bounds", None)
    if bounds is None:
        return
    x0, y0, x1, y1 = bounds
    if x1 <= 0 or y1 <= 0 or x0 >= size[0] or y0 >= size[1]:
        notice(
            f"warning: the areas lie at x {x0:g} to {x1:g}, y {y0:g} to {y1:g}, and the image ends at "
            f"{size[0]:g}, {size[1]:g}: none of them is in it; see --paint-origin, --paint-mpp and --paint-unit"
        )
