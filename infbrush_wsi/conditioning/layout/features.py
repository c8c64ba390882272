"""Reading GeoJSON as annotation programs write it: the features with their classes and rings, all of it checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import ConditionError

MAX_BYTES = 64 << 20
MAX_FEATURES = 100_000
MAX_VERTICES = 4_000_000
MAX_CROSSINGS = 2_000
"""Times that a horizontal line crosses an outline on average: the work for every node. Real outlines stay far below."""
SMALLER = "export annotations instead of cells, merge those of a class, or simplify their outlines"

Rings = list[NDArray[np.float64]]
"""Outline and holes of a polygon, each (n, 2) as x, y."""


@dataclass(frozen=True)
class Feature:
    """An area with a class.

    Attributes:
        where: how messages call it: the file and its number, from 1.
        name: of its class; None if it has none.
        polygons: one or more, in the coordinates of the file.
    """

    where: str
    name: str | None
    polygons: list[Rings]


def read_text(path: str | Path) -> str:
    """The text of a GeoJSON file.

    Raises:
        ConditionError: if it cannot be read, is too large or is no UTF-8 text.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise ConditionError(
                f"{path} has {size >> 20} MiB; at most {MAX_BYTES >> 20} MiB of GeoJSON are read: {SMALLER}"
            )
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConditionError(f"the GeoJSON file {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConditionError(f"{path} is no GeoJSON: it is not UTF-8 text ({error.reason})") from error


def read_features(text: str, where: str) -> list[Feature]:
    """The features of a FeatureCollection, a list of features or a single feature, in their order.

    Args:
        text: the GeoJSON.
        where: how messages call it.

    Raises:
        ConditionError: for anything that is not an area of finite coordinates, naming the feature.
    """
    listed = _features(_parse(text, where), where)
    if len(listed) > MAX_FEATURES:
        raise ConditionError(f"{where} has {len(listed)} features; at most {MAX_FEATURES} are read: {SMALLER}")
    if not listed:
        raise ConditionError(f"{where} holds no features; export the annotations again, as a FeatureCollection")
    features, polygons, vertices = [], 0, 0
    for number, item in enumerate(listed, start=1):
        feature = _feature(item, f"feature {number} of {where}")
        polygons += len(feature.polygons)
        vertices += sum(len(ring) for rings in feature.polygons for ring in rings)
        if polygons > MAX_FEATURES or vertices > MAX_VERTICES:
            raise ConditionError(
                f"{where} has more than {MAX_FEATURES} polygons or {MAX_VERTICES} vertices in all: {SMALLER}"
            )
        features.append(feature)
    return features


def rings_of(coordinates: Any, where: str) -> Rings:
    """A polygon's rings from GeoJSON coordinates.

    Raises:
        ConditionError: if they are no lists of at least three finite positions, or a scribble.
    """
    if not isinstance(coordinates, list) or not coordinates:
        raise ConditionError(f"{where} is a polygon without rings; draw it again or remove it")
    rings = [_ring(ring, where) for ring in coordinates]
    rise = sum(float(np.abs(ring[:, 1] - np.roll(ring[:, 1], 1)).sum()) for ring in rings)
    if rise > MAX_CROSSINGS * float(np.ptp(rings[0][:, 1])):
        raise ConditionError(
            f"{where} goes up and down more than {MAX_CROSSINGS / 2:.0f} times: a scribble and no outline; "
            f"draw it again or remove it"
        )
    return rings


def _parse(text: str, where: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ConditionError(f"{where} holds the coordinate {constant}; coordinates must be finite numbers")

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise ConditionError(f"{where} is no GeoJSON: {error}; was the file cut off?") from error
    except RecursionError as error:
        raise ConditionError(f"{where} is no GeoJSON: its lists are nested too deeply") from error


def _features(document: Any, where: str) -> list[Any]:
    if isinstance(document, list):
        return document
    kind = document.get("type") if isinstance(document, Mapping) else None
    if kind == "Feature":
        return [document]
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return list(document["features"])
    raise ConditionError(
        f"{where} is no GeoJSON with features (its type is {kind!r}); export the annotations as a FeatureCollection"
    )


def _feature(item: Any, where: str) -> Feature:
    if not isinstance(item, Mapping) or item.get("type") != "Feature":
        raise ConditionError(f"{where} is no GeoJSON feature")
    geometry = item.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if not isinstance(geometry, Mapping) or kind not in ("Polygon", "MultiPolygon"):
        raise ConditionError(
            f"{where} is a {kind or 'feature without geometry'}; only areas (Polygon, MultiPolygon) can be filled: "
            f"remove it, or draw it as an area"
        )
    coordinates = geometry.get("coordinates")
    if kind == "Polygon":
        polygons = [rings_of(coordinates, where)]
    elif isinstance(coordinates, list) and coordinates:
        polygons = [rings_of(rings, where) for rings in coordinates]
    else:
        raise ConditionError(f"{where} is a MultiPolygon without polygons; draw it again or remove it")
    return Feature(where, _class_name(item.get("properties"), where), polygons)


def _class_name(properties: Any, where: str) -> str | None:
    """QuPath's classification (an object, with 'names' for derived classes, or plain text), else 'class' or 'label'."""
    if not isinstance(properties, Mapping):
        return None
    found = next((properties[key] for key in ("classification", "class", "label") if properties.get(key)), None)
    if isinstance(found, Mapping):
        names = found.get("names")
        found = ": ".join(map(str, names)) if isinstance(names, list) and names else found.get("name")
    if found is None:
        return None
    if not isinstance(found, str):
        raise ConditionError(f"{where} has a class that is no text: {str(found)[:60]}")
    return found.strip() or None


def _ring(ring: Any, where: str) -> NDArray[np.float64]:
    try:
        array = np.array(ring)
    except ValueError:
        array = np.empty(0)
    if array.ndim != 2 or array.dtype.kind not in "iuf" or array.shape[1] < 2:
        raise ConditionError(f"{where} has a ring that is no list of [x, y] positions; export it again")
    points = np.asarray(array[:, :2], dtype=np.float64)
    if not np.isfinite(points).all():
        raise ConditionError(f"{where} has coordinates that are not finite; export it again")
    if len(points) < 3 or not has_area(points):
        raise ConditionError(f"{where} has a ring without area; draw it again or remove it")
    return points


def has_area(points: NDArray[np.float64]) -> bool:
    """Whether the points are not all on one line."""
    away = points - points[0]
    far = away[np.argmax((away**2).sum(axis=1))]
    return bool((away[:, 0] * far[1] != away[:, 1] * far[0]).any())
