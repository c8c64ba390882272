"""Writing pixels in the format that the name of a file asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from infbrush_wsi.cli.progress import counting
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.domain import Lattice

TILES = {"jpeg": "jpg", "deflate": "png"}
"""Of a DeepZoom pyramid, by compression."""
OPENED = {
    "picture": "",
    "ome.tif": "it opens in QuPath, Bio-Formats and TIAToolbox; look at it: infbrush view {}",
    "tif": "it opens in OpenSlide and QuPath, or with a CRS in GDAL and QGIS; look at it: infbrush view {}",
    "dzi": "it is for OpenSeadragon on a web page, with its folder of tiles; check it: infbrush validate {}",
    "dicom": "any of its .dcm files opens in OpenSlide; check it: infbrush validate {}",
    "zarr": "look at it: infbrush view {}",
    "geojson": "drag {} onto the image in QuPath",
}
"""How to go on, by format."""


@dataclass(frozen=True)
class Output:
    """What is to be written.

    Attributes:
        pixels: uint8 (h, w, C), read by slices; ``to_dask()`` gives a lazy array.
        lattice: pixels in physical space.
        channel_names: bands.
        provenance: what made the pixels.
        title: for viewers.
        nodata: value of empty pixels, for a GeoTIFF.
    """

    pixels: Any
    lattice: Lattice
    channel_names: tuple[str, ...]
    provenance: dict[str, Any]
    title: str
    nodata: int | None = None


def suffix_of(path: Path) -> str:
    """'picture', 'ome.tif', 'tif', 'dzi', 'dicom', 'zarr' or 'geojson'.

    Raises:
        ConfigError: if the format is not known.
    """
    name = path.name.lower()
    if name.endswith((".png", ".jpg", ".jpeg")):
        return "picture"
    if name.endswith((".ome.tif", ".ome.tiff")):
        return "ome.tif"
    if name.endswith((".tif", ".tiff")):
        return "tif"
    if name.endswith((".dzi", ".dicom", ".zarr", ".geojson")):
        return name.rpartition(".")[2]
    raise ConfigError(
        f"'{path}' has no known suffix: choose .png, .jpg, .ome.tif, .tif, .dzi, .dicom, .ome.zarr or .geojson"
    )


def opened_by(kind: str, out: Path) -> str:
    """How to go on with a file of this kind."""
    return OPENED[kind].format(out)


def beside(kind: str, out: Path) -> tuple[Path, ...]:
    """What is written beside a file of this kind and belongs to it."""
    return (out.with_name(f"{out.stem}_files"),) if kind == "dzi" else ()


def write_as(
    part: Output, out: Path, kind: str, compression: str | None, version: str, layout: str, overwrite: bool
) -> None:
    """Write pixels.

    Args:
        part: what.
        out: where.
        kind: of `suffix_of`, but no GeoJSON.
        compression: 'jpeg' or 'deflate' (lossless); None: jpeg for three bands.
        version: of an OME-Zarr.
        layout: of an OME-Zarr.
        overwrite: replace what is there.

    Raises:
        ConfigError, BandMismatchError, RegionError: if the pixels do not fit the format.
        OutputExistsError, OutputError: if it cannot be written; nothing is left behind.
    """
    provenance, names = part.provenance, part.channel_names
    if kind == "picture":
        from infbrush_wsi.writers.picture import check_picture, write_picture

        h, w, _ = part.pixels.shape
        check_picture(w, h, out)
        mpp = part.lattice.mpp if part.lattice.unit == "micrometer" else None
        write_picture(part.pixels[:, :, :], out, provenance=provenance, mpp=mpp, overwrite=overwrite)
        return
    array, common = part.pixels.to_dask(), {"lattice": part.lattice, "provenance": provenance, "overwrite": overwrite}
    chosen = compression or ("jpeg" if len(names) == 3 else "deflate")
    with counting("writing") as progress:
        common["progress"] = progress
        if kind == "zarr":
            from infbrush_wsi.writers import write_ome_zarr

            how = {"version": version, "layout": layout, "name": part.title, "channel_names": names}
            write_ome_zarr([array], out, **cast(Any, common | how))
        elif kind == "dzi":
            from infbrush_wsi.writers.deepzoom import write_deepzoom

            write_deepzoom(array, out, tile_format=cast(Any, TILES.get(chosen, chosen)), **cast(Any, common))
        elif kind == "dicom":
            from infbrush_wsi.writers.dicom import write_dicom

            write_dicom(array, out, compression=cast(Any, chosen), **cast(Any, common))
        elif kind == "tif" and part.lattice.crs is not None:
            from infbrush_wsi.writers.geotiff import write_geotiff

            write_geotiff(array, out, channel_names=names, nodata=part.nodata, **cast(Any, common))
        elif kind == "tif":
            from infbrush_wsi.writers.tiff import write_tiff

            write_tiff(array, out, compression=cast(Any, chosen), **cast(Any, common))
        else:
            from infbrush_wsi.writers.tiff import write_ome_tiff

            how = {"name": part.title, "channel_names": names, "compression": chosen}
            write_ome_tiff(array, out, **cast(Any, common | how))
