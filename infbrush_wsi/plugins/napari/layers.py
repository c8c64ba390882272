"""Pyramids and label images as napari's layer data tuples."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from infbrush_wsi.domain import Lattice
from infbrush_wsi.plugins.pyramid import Pyramid, pyramid_of
from infbrush_wsi.sources.base import Source

if TYPE_CHECKING:
    from infbrush_wsi.canvas import Canvas

LayerData = tuple[Any, dict[str, Any], str]
RGB = ("red", "green", "blue")


def image_layers(image: Canvas | Source | str | os.PathLike[str]) -> list[LayerData]:
    """Layers of an image, for ``viewer.add_image(data, **settings)`` or a reader.

    Red, green and blue make one colour layer; every other band is a grey layer, hidden beside a colour layer. All
    levels are dask arrays, of which napari reads what it shows.

    Args:
        image: a canvas, a source or a path.

    Raises:
        SourceError: one of its kinds, if a path cannot be opened.
    """
    return pyramid_layers(pyramid_of(image))


def pyramid_layers(pyramid: Pyramid) -> list[LayerData]:
    """See `image_layers`."""
    levels = [pyramid.to_dask(level) for level in range(pyramid.level_count)]
    shared = {
        **placement(pyramid.lattices[0]),
        "multiscale": len(levels) > 1,
        "metadata": {"infbrush_wsi": dict(pyramid.provenance), "mpp": pyramid.mpp, "crs": pyramid.lattices[0].crs},
    }
    layers: list[LayerData] = []
    colour = tuple(name.lower() for name in pyramid.channel_names[:3]) == RGB
    if colour:
        data = _data([level[..., :3] for level in levels])
        layers.append((data, {**shared, "name": pyramid.name, "rgb": True}, "image"))
    for band in range(3 if colour else 0, len(pyramid.channel_names)):
        settings = {
            **shared,
            "name": f"{pyramid.name}: {pyramid.channel_names[band]}",
            "rgb": False,
            "contrast_limits": (0, 255),
            "visible": not colour,
            "blending": "translucent" if colour else "additive",
        }
        layers.append((_data([level[..., band] for level in levels]), settings, "image"))
    return layers


def _data(levels: list[Any]) -> Any:
    """What napari takes: a list of one level is none of its pyramids."""
    return levels if len(levels) > 1 else levels[0]


def placement(lattice: Lattice) -> dict[str, Any]:
    """Pixel size, place of the first pixel's centre, and unit of a layer, (y, x).

    napari's y runs down the screen, as a slide's does. A raster's runs up: it is shown from zero, with north at the
    top, and its place stands in the metadata.
    """
    t = lattice.transform
    spacing = lattice.spacing
    upright = t.a > 0 and t.e > 0 and not (t.b or t.d)
    corner = (t.f, t.c) if upright else (0.0, 0.0)
    centre = (corner[0] + spacing.y / 2, corner[1] + spacing.x / 2)
    return {"scale": (spacing.y, spacing.x), "translate": centre, "units": (lattice.unit, lattice.unit)}


def label_layers(store: str | os.PathLike[str]) -> list[LayerData]:
    """The label images of a store that this package has written, with the names of their classes."""
    from infbrush_wsi.sources.contained import open_contained

    root: Any = open_contained(str(store))
    if "labels" not in root:
        return []
    labels = root["labels"]
    place = placement(pyramid_of(store).lattices[0])
    image_shift = _scale_and_shift(_ome(root)["multiscales"][0])[1][-2:]
    first = [shown - stored for shown, stored in zip(place["translate"], image_shift, strict=True)]
    return [_label_layer(labels[name], name, first, place["units"]) for name in _ome(labels).get("labels", ())]


def _ome(group: Any) -> Any:
    attributes = group.attrs.asdict()
    return attributes.get("ome", attributes)


def _scale_and_shift(multiscale: Any) -> tuple[list[float], list[float]]:
    scale, shift = multiscale["datasets"][0]["coordinateTransformations"]
    return scale["scale"], shift["translation"]


def _label_layer(group: Any, name: str, first: list[float], units: tuple[str, str]) -> LayerData:
    """A label image; `first` is added to the place that the store gives it, in the frame of its image."""
    import dask.array as da

    ome = _ome(group)
    multiscale, label = ome["multiscales"][0], ome["image-label"]
    levels = [da.from_zarr(group[dataset["path"]]) for dataset in multiscale["datasets"]]
    scale, shift = _scale_and_shift(multiscale)
    classes = {entry["label-value"]: entry["class"] for entry in label.get("properties", ())}
    colours: dict[int | None, Any] = {None: (0.0, 0.0, 0.0, 0.0), 0: (0.0, 0.0, 0.0, 0.0)}
    colours |= {entry["label-value"]: [part / 255 for part in entry["rgba"]] for entry in label.get("colors", ())}
    settings = {
        "name": name,
        "multiscale": len(levels) > 1,
        "scale": tuple(scale),
        "translate": tuple(stored + more for stored, more in zip(shift, first, strict=True)),
        "units": units,
        "colormap": colours,
        "features": {"index": list(classes), "class": list(classes.values())},
        "opacity": 0.4,
    }
    return _data(levels), settings, "labels"
