"""OME-Zarr images, versions 0.4 and 0.5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from infbrush_wsi import formats
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import CorruptSourceError, SourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.sources.array import default_names
from infbrush_wsi.sources.base import Source
from infbrush_wsi.sources.handles import POOL, Key
from infbrush_wsi.sources.ome_geometry import Axes, axes_of, check_planes, levels_of_multiscale
from infbrush_wsi.sources.options import OpenOptions, check_dtype, resolve_bands, to_uint8
from infbrush_wsi.sources.plausible import check_chunks

PROVENANCE = "infbrush_wsi"
"""Root attribute under which this package's writers say what made the pixels."""
CRS_ARRAY = "spatial_ref"


class OmeZarrSource(Source):
    """An OME-Zarr image (0.4 in Zarr v2, 0.5 in Zarr v3), with t and z of length 1.

    Pixel sizes come from the coordinate transformations; a ``spatial_ref`` array beside level 0 (CF convention)
    gives a CRS and an affine transform, and then comes first.
    """

    name = "ome_zarr"
    suffixes = (".zarr",)
    priority = 10

    @classmethod
    def can_open(cls, path: str) -> bool:
        """Whether there is Zarr metadata (locally), or the URL names a Zarr."""
        if "://" in path:
            return ".zarr" in path
        return any((Path(path) / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup"))

    @classmethod
    def open(cls, path: str, options: OpenOptions) -> OmeZarrSource:
        """Read the metadata.

        Raises:
            SourceNotFoundError: if a remote store does not exist.
            CorruptSourceError: if the metadata are damaged, a level is missing, or writing was never finished.
            UnsupportedSourceError: if it is no image, has t or z longer than 1, or is not 8-bit without a scale.
            BandMismatchError: if a band does not exist.
        """
        group = _group(path)
        attributes = dict(group.attrs)
        multiscale, omero = _multiscale(attributes, path)
        provenance = _provenance(attributes, path)
        try:
            axes = axes_of(multiscale, path)
            datasets = [str(dataset["path"]) for dataset in multiscale["datasets"]]
            arrays = [_array(group, path, dataset) for dataset in datasets]
            shapes = [array.shape for array in arrays]
            check_planes(shapes, axes, path)
            for array in arrays:
                check_chunks(array, path)
            shape = Shape(shapes[0][axes.y], shapes[0][axes.x])
            base = _base(group, datasets[0], shape, options, path) or _recorded(provenance, shape, options, path)
            levels = levels_of_multiscale(multiscale, axes, shapes, base)
            names = _names(omero, axes.channels(shapes[0]))
        except SourceError:
            raise
        except (KeyError, TypeError, IndexError, ValueError, AttributeError, OverflowError) as error:
            raise CorruptSourceError(f"the multiscales metadata of {path} are damaged: {error!r}") from error
        check_dtype(np.dtype(arrays[0].dtype), options, path)
        indexes = resolve_bands(names, options.bands, path)
        slide = levels[0].lattice.crs is None and len(names) == 3
        source = cls(
            path,
            channel_names=[names[index] for index in indexes],
            levels=levels,
            background=255 if slide else 0,
            metadata={"reader": cls.name, "name": multiscale.get("name"), **provenance},
            options=options,
            mask_kind="tissue" if slide else "valid",
        )
        source._datasets, source._axes, source._indexes = tuple(datasets), axes, indexes
        return source

    _datasets: tuple[str, ...]
    _axes: Axes
    _indexes: tuple[int, ...]

    def close(self) -> None:
        """Let go of the open arrays."""
        super().close()
        POOL.drop(("ome_zarr", self.path))

    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        dataset, axes = self._datasets[level], self._axes
        try:
            with POOL.lend(_key(self.path, dataset), lambda: _array(_group(self.path), self.path, dataset)) as array:
                index: list[Any] = [0] * array.ndim
                index[axes.y], index[axes.x] = box.slices
                if axes.c is not None:
                    index[axes.c] = slice(None)
                values = np.asarray(array[tuple(index)])
                if (values == (array.fill_value or 0)).all():
                    _require_array(self.path, dataset)
        except (CorruptSourceError, SourceNotFoundError):
            raise
        except Exception as error:
            # Codecs, stores and Zarr itself raise errors of many libraries for a damaged chunk.
            raise CorruptSourceError(f"{self.path}/{dataset} is damaged at {box}: {error}") from error
        kept = sorted(axis for axis in (axes.y, axes.x, axes.c) if axis is not None)
        wanted = [axes.y, axes.x] if axes.c is None else [axes.y, axes.x, axes.c]
        values = values.transpose([kept.index(axis) for axis in wanted])
        values = values[..., None] if axes.c is None else values[..., list(self._indexes)]
        return to_uint8(values, self.options.scale)


def _require_array(path: str, dataset: str) -> None:
    """Zarr takes chunks that are not there for empty ones, also where the whole store has vanished.

    Raises:
        SourceNotFoundError: if an array of a local store is gone.
    """
    folder = Path(path) / dataset
    if "://" in path or Path(path).is_file():  # behind a network, or in an archive
        return
    if not any((folder / name).is_file() for name in ("zarr.json", ".zarray")):
        raise SourceNotFoundError(f"there is nothing at {path} any more: it was removed or moved since it was opened")


def _key(path: str, dataset: str) -> Key:
    return ("ome_zarr", path, dataset)


def _group(path: str) -> Any:
    from infbrush_wsi.sources.contained import open_contained

    try:
        return open_contained(path)
    except CorruptSourceError:
        raise
    except FileNotFoundError as error:
        if "://" in path:
            raise SourceNotFoundError(f"there is no Zarr group at {path}") from error
        raise CorruptSourceError(f"{path} holds no readable Zarr group: {error}") from error
    except Exception as error:
        # Damaged JSON, unknown formats and failing connections come as errors of several libraries.
        raise CorruptSourceError(f"the Zarr metadata of {path} cannot be read: {error}") from error


def _array(group: Any, path: str, dataset: str) -> Any:
    try:
        array = group[dataset]
    except CorruptSourceError:
        raise
    except Exception as error:
        # As in _group.
        raise CorruptSourceError(f"{path} has no readable array {dataset!r}, which its metadata name") from error
    if not hasattr(array, "shape"):
        raise CorruptSourceError(f"{path} has a group where its metadata name the array {dataset!r}")
    return array


def _multiscale(attributes: Mapping[str, Any], path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, Mapping) else None
    if not scales:
        kind = next((key for key in ("plate", "well", "bioformats2raw.layout") if key in attributes), None)
        found = (
            f"an OME-Zarr {kind}: open an image inside it" if kind else "no OME-Zarr image (it has no 'multiscales')"
        )
        raise UnsupportedSourceError(f"{path} is {found}")
    return scales[0], ome.get("omero") or {}


def _provenance(attributes: Mapping[str, Any], path: str) -> dict[str, Any]:
    provenance = attributes.get(PROVENANCE)
    if not isinstance(provenance, Mapping):
        return {}
    if provenance.get("state") == "writing":
        raise CorruptSourceError(f"{path} is unfinished (its state is 'writing'): resume or repeat the writing")
    return {"synthetic": bool(provenance.get("synthetic", False)), "provenance": dict(provenance)}


def _names(omero: Mapping[str, Any], channels: int) -> tuple[str, ...]:
    labels = [channel.get("label") for channel in omero.get("channels") or ()]
    if len(labels) == channels and all(labels) and len(set(labels)) == channels:
        return tuple(map(str, labels))
    return default_names(channels)


def _base(group: Any, dataset: str, shape: Shape, options: OpenOptions, path: str) -> Lattice | None:
    """Level 0 as the caller or a CRS gives it; None leaves it to what our writer recorded, or to OME's metadata."""
    folder = dataset.rpartition("/")[0]
    located = _crs_attributes(group, f"{folder}/{CRS_ARRAY}" if folder else CRS_ARRAY)
    if options.mpp is not None:
        if located:
            raise UnsupportedSourceError(f"{path} has a coordinate reference system: leave mpp out")
        return Lattice(shape, Affine.scale(options.mpp.x, options.mpp.y))
    if not located:
        return None
    x0, a, b, y0, d, e = (float(value) for value in str(located["GeoTransform"]).split())
    crs = str(located.get("crs_wkt") or located.get("spatial_ref"))
    return Lattice(shape, Affine(a, b, x0, d, e, y0), _unit(crs), crs)


def _recorded(provenance: Mapping[str, Any], shape: Shape, options: OpenOptions, path: str) -> Lattice | None:
    """Level 0 as it was when a store of ours was written: OME's metadata hold no CRS, and no corner of a raster."""
    written = provenance.get("provenance", {})
    record = written.get("lattice")
    if record is None or options.mpp is not None:
        return None
    formats.PROVENANCE.check(written.get("schema", 1), where=f"the record of {path}", error=UnsupportedSourceError)
    try:
        return Lattice(shape, Affine(*record["transform"]), record["unit"], record["crs"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptSourceError(f"{path} says in a damaged way where its pixels are: {record!r}") from error


def _crs_attributes(group: Any, name: str) -> Mapping[str, Any]:
    try:
        attributes = dict(group[name].attrs)
    except KeyError:
        return {}
    return attributes if "GeoTransform" in attributes else {}


def _unit(wkt: str) -> str:
    """Unit of a CRS, from the last UNIT of its text: axes come last in WKT 1 and 2."""
    text = wkt.lower()
    if text.startswith(("geogcs", "geogcrs", "geodcrs")):
        return "degree"
    known = {"metre": "meter", "meter": "meter", "foot": "foot", "kilometre": "kilometer"}
    return next((unit for word, unit in known.items() if f'"{word}"' in text), "meter")
