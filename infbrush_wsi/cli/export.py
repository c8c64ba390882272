"""`infbrush export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from infbrush_wsi.cli.console import examples
from infbrush_wsi.cli.outputs import check_output
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.sources.base import Source
    from infbrush_wsi.sources.lazy import LazyRegion

EPILOG = examples(
    "infbrush export out.ome.zarr out.ome.tif",
    "infbrush export out.ome.zarr slide.tif   (opens in OpenSlide and QuPath)",
    "infbrush export out.ome.zarr old.ome.zarr --ome-version 0.4",
    "infbrush export slide.svs crop.png --region 10000,8000,2048,2048 --mpp 1.0",
    "infbrush export map.ome.zarr map.tif   (a GeoTIFF, as the source has a CRS)",
    "infbrush export out.ome.zarr slide.dzi   (and slide_files, for web pages)",
    "infbrush export painted.ome.zarr regions.geojson   (the layout, for QuPath)",
)
Level = Annotated[int, typer.Option(help="Level of the pyramid to start from.")]
Region = Annotated[str | None, typer.Option(help="x,y,w,h in level-0 pixels, at any level.", show_default="all")]
Mpp = Annotated[float | None, typer.Option(help="Resample to so many micrometres per pixel.", show_default=False)]
OmeVersion = Annotated[str, typer.Option(help="Of an .ome.zarr: 0.5 or 0.4.")]
Layout = Annotated[str, typer.Option(help="Of an .ome.zarr: flat or nested.")]
Compression = Annotated[
    str | None,
    typer.Option(
        help="Of a .tif, .dzi or .dicom: jpeg or deflate (lossless; PNG, JPEG 2000).",
        show_default="jpeg for RGB slides",
    ),
]
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
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def export(
    source: Annotated[str, typer.Argument(help="OME-Zarr, slide, raster or image.", metavar="IN")],
    out: Annotated[Path, typer.Argument(help="File to write; its suffix chooses the format.", metavar="OUT")],
    level: Level = 0,
    region: Region = None,
    mpp: Mpp = None,
    ome_version: OmeVersion = "0.5",
    layout: Layout = "flat",
    compression: Compression = None,
    overwrite: Overwrite = False,
) -> None:
    """Write an image, or a part of it, in another format.

    [bold].png .jpg[/]   a picture of up to 268 million pixels
    [bold].ome.tif[/]    pyramidal OME-TIFF (QuPath, Bio-Formats, TIAToolbox)
    [bold].tif[/]        pyramidal TIFF that OpenSlide reads, or a GeoTIFF (COG) where there is a CRS
    [bold].dzi[/]        DeepZoom for web pages (OpenSeadragon), a .dzi and a folder of tiles
    [bold].dicom[/]      a folder of DICOM files, one a level, that OpenSlide and DICOM viewers read
    [bold].ome.zarr[/]   OME-Zarr of either version
    [bold].geojson[/]    the areas that an image was painted by, as annotations of QuPath

    Pixel sizes, and whether the image is synthetic and how it was made, go along.
    """
    from infbrush_wsi.sources.lazy import lazy_region
    from infbrush_wsi.sources.registry import open_source

    kind = suffix_of(out)
    check_output(out, overwrite=overwrite)
    summary = Summary()
    with open_source(source) as opened:
        if kind == "geojson":
            from infbrush_wsi.cli.outlines import write_outlines

            if level or region is not None or mpp is not None:
                raise ConfigError("GeoJSON holds the areas of the whole image; leave out --level, --region and --mpp")
            write_outlines(opened, out, overwrite)
            summary.tell(out, then=OPENED["geojson"].format(out))
            return
        part = lazy_region(opened, level=level, mpp=mpp, region=_region(region))
        _write(part, out, kind, compression, ome_version, layout, overwrite)
        h, w, _ = part.shape
    beside = (out.with_name(f"{out.stem}_files"),) if kind == "dzi" else ()
    summary.tell(out, f"{w} x {h} px", then=OPENED[kind].format(out), beside=beside)


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


def _write(
    part: LazyRegion, out: Path, kind: str, compression: str | None, version: str, layout: str, overwrite: bool
) -> None:
    from infbrush_wsi.cli.provenance import provenance_of, title_of

    provenance, names = provenance_of(part.source), part.source.channel_names
    if kind == "picture":
        from infbrush_wsi.writers.picture import check_picture, write_picture

        h, w, _ = part.shape
        check_picture(w, h, out)
        mpp = part.lattice.mpp if part.lattice.unit == "micrometer" else None
        write_picture(part[:, :, :], out, provenance=provenance, mpp=mpp, overwrite=overwrite)
        return
    array, common = part.to_dask(), {"lattice": part.lattice, "provenance": provenance, "overwrite": overwrite}
    chosen = compression or ("jpeg" if len(names) == 3 else "deflate")
    with counting("writing") as progress:
        common["progress"] = progress
        if kind == "zarr":
            from infbrush_wsi.writers import write_ome_zarr

            how = {"version": version, "layout": layout, "name": title_of(part.source), "channel_names": names}
            write_ome_zarr([array], out, **cast(Any, common | how))
        elif kind == "dzi":
            from infbrush_wsi.writers.deepzoom import write_deepzoom

            write_deepzoom(array, out, tile_format=cast(Any, TILES.get(chosen, chosen)), **cast(Any, common))
        elif kind == "dicom":
            from infbrush_wsi.writers.dicom import write_dicom

            write_dicom(array, out, compression=cast(Any, chosen), **cast(Any, common))
        elif kind == "tif" and part.lattice.crs is not None:
            from infbrush_wsi.writers.geotiff import write_geotiff

            write_geotiff(array, out, channel_names=names, nodata=_nodata(part.source), **cast(Any, common))
        elif kind == "tif":
            from infbrush_wsi.writers.tiff import write_tiff

            write_tiff(array, out, compression=cast(Any, chosen), **cast(Any, common))
        else:
            from infbrush_wsi.writers.tiff import write_ome_tiff

            how = {"name": title_of(part.source), "channel_names": names, "compression": chosen}
            write_ome_tiff(array, out, **cast(Any, common | how))


def _nodata(source: Source) -> int | None:
    """The value of empty pixels, if bytes can have it."""
    value = source.metadata.get("nodata")
    return None if value is None or value not in range(256) else int(value)


def _region(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    try:
        x, y, w, h = (int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--region must be x,y,w,h in whole level-0 pixels, not {text!r}") from error
    return x, y, w, h
