"""From annotations in GeoJSON (QuPath's export) to a layout of polygons."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import ArrayLike

from infbrush_wsi.conditioning.layout.condition import Condition, as_condition, match_class
from infbrush_wsi.conditioning.layout.features import Feature, read_features, read_text
from infbrush_wsi.conditioning.layout.frame import Frame, Unit
from infbrush_wsi.conditioning.layout.polygons import PolygonLayout
from infbrush_wsi.errors import ConditionError

Classes = Mapping[str, str | ArrayLike | None]


def polygons_from_geojson(
    path: str | Path,
    *,
    cell: float,
    mpp: float | tuple[float, float] | None = None,
    unit: Unit = "pixel",
    classes: Classes | None = None,
    known: Collection[str] | None = None,
    background: str | ArrayLike | None = None,
    ignore: Collection[str] = (),
    offset: tuple[float, float] = (0.0, 0.0),
) -> PolygonLayout:
    """Read a GeoJSON file of areas with classes.

    Areas are Polygons and MultiPolygons with or without holes; later ones lie over earlier ones. Their class is
    ``properties.classification.name`` as QuPath writes it, or plain text there or in ``class`` or ``label``. Areas
    without a class are left out with a warning, and areas that cross themselves are filled by the even-odd rule, also
    with a warning.

    Args:
        path: of the file: a FeatureCollection, a list of features or a single one.
        cell: distance of the layout's nodes in units of the canvas: how finely borders are followed.
        mpp: micrometres per pixel of the annotated slide at level 0, or (x, y); needed for the unit 'pixel'.
        unit: of the coordinates: 'pixel' of level 0, 'micrometer', or 'crs' (those of a raster, y upwards).
        classes: condition of each class of the annotations. Classes that are not in it must be the model's own; without
            it, all must.
        known: classes of the model; others are refused. None: any name is accepted.
        background: condition of everywhere else.
        ignore: classes of the annotations that are left out.
        offset: (x, y) of the canvas's top left corner in the annotated slide, in units of the canvas (µm, CRS units).

    Raises:
        ConditionError: if the file cannot be used, naming the feature, or an argument is not valid.
    """
    return parse_geojson(
        read_text(path),
        where=str(path),
        cell=cell,
        mpp=mpp,
        unit=unit,
        classes=classes,
        known=known,
        background=background,
        ignore=ignore,
        offset=offset,
    )


def parse_geojson(
    text: str,
    *,
    cell: float,
    mpp: float | tuple[float, float] | None = None,
    unit: Unit = "pixel",
    classes: Classes | None = None,
    known: Collection[str] | None = None,
    background: str | ArrayLike | None = None,
    ignore: Collection[str] = (),
    offset: tuple[float, float] = (0.0, 0.0),
    where: str = "the GeoJSON text",
) -> PolygonLayout:
    """As `polygons_from_geojson`, from text.

    Args:
        text: the GeoJSON.
        cell: as there, and so are the others.
        mpp: as there.
        unit: as there.
        classes: as there.
        known: as there.
        background: as there.
        ignore: as there.
        offset: as there.
        where: how messages call the text.

    Raises:
        ConditionError: as there.
    """
    frame = Frame.of(mpp, unit, offset)
    vocabulary = _Vocabulary.of(classes, known, background)
    features = _classed(read_features(text, where), ignore, where)
    conditions: dict[Condition, int] = {vocabulary.background: 0}
    polygons, owners = [], []
    for feature, name in features:
        owner = conditions.setdefault(vocabulary.condition(name, feature.where), len(conditions))
        for rings in feature.polygons:
            polygons.append([frame.on_canvas(ring) for ring in rings])
            owners.append(owner)
    layout = PolygonLayout(polygons, owners, tuple(conditions), cell)
    if layout.crossing:
        warnings.warn(
            f"{where}: {len(layout.crossing)} of {len(polygons)} polygons cross themselves; they are filled by the "
            f"even-odd rule"
        )
    return layout


def _classed(features: Sequence[Feature], ignore: Collection[str], where: str) -> list[tuple[Feature, str]]:
    """The features that have a class that is not ignored, and their classes."""
    kept = [(feature, feature.name) for feature in features if feature.name is not None and feature.name not in ignore]
    nameless = [number for number, feature in enumerate(features, start=1) if feature.name is None]
    if not kept:
        raise ConditionError(
            f"{where} has no feature with a class ({len(features)} features, {len(nameless)} without); set classes in "
            f"the annotation program and export again"
        )
    if nameless:
        listed = ", ".join(map(str, nameless[:10])) + (", ..." if len(nameless) > 10 else "")
        warnings.warn(f"{where}: {len(nameless)} of {len(features)} features have no class and are left out ({listed})")
    return kept


@dataclass(frozen=True)
class _Vocabulary:
    """From the classes of annotations to conditions."""

    classes: dict[str, Condition]
    known: tuple[str, ...] | None
    background: Condition

    @classmethod
    def of(
        cls, classes: Classes | None, known: Collection[str] | None, background: str | ArrayLike | None
    ) -> _Vocabulary:
        listed = None if known is None else tuple(known)
        mapped = {name: _checked(value, listed, f"the class {name!r}") for name, value in (classes or {}).items()}
        return cls(mapped, listed, _checked(background, listed, "the background"))

    def condition(self, name: str, where: str) -> Condition:
        """What an annotation of the class `name` is.

        Raises:
            ConditionError: if that is not said.
        """
        if name in self.classes:
            return self.classes[name]
        if self.known is not None:
            return match_class(name, self.known, where)
        if self.classes:
            raise ConditionError(
                f"{where} has the class {name!r}, for which no condition is given (they are given for "
                f"{', '.join(self.classes)}); name one, or ignore the class"
            )
        return name


def _checked(value: str | ArrayLike | None, known: tuple[str, ...] | None, what: str) -> Condition:
    condition = as_condition(value, f"the condition of {what}")
    if known is not None and isinstance(condition, str):
        return match_class(condition, known, f"the condition of {what}")
    return condition
