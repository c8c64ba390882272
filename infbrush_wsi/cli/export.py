"""`infbrush export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infbrush_wsi.cli.console import examples
from infbrush_wsi.cli.options import region as region_of
from infbrush_wsi.cli.outputs import check_output
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.cli.writing import Output, beside, opened_by, suffix_of, write_as
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.sources.lazy import LazyRegion

EPILOG = examples(
    "infbrush export out.ome.zarr out.ome.tif",
    "infbrush export out.ome.zarr slide.tif   (opens in OpenSlide and QuPath)",
    "infbrush export out.ome.zarr old.ome.zarr --ome-version 0.4",
    "infbrush export slide.svs crop.png --region 10000,8000,2048,2048 --mpp 1.0",
    "infbrush export photo.jpg photo.ome.tif --assume-mpp 0.42",
    "infbrush export map.ome.zarr map.tif   (a GeoTIFF, as the source has a CRS)",
    "infbrush export out.ome.zarr slide.dzi   (and slide_files, for web pages)",
    "infbrush export painted.ome.zarr regions.geojson   (the layout, for QuPath)",
)
Level = Annotated[int, typer.Option(help="Level of the pyramid to start from.")]
Region = Annotated[str | None, typer.Option(help="x,y,w,h in level-0 pixels, at any level.", show_default="all")]
Mpp = Annotated[float | None, typer.Option(help="Resample to so many micrometres per pixel.", show_default=False)]
AssumeMpp = Annotated[float | None, typer.Option(help="Micrometres per pixel, if the image does not say it.")]
OmeVersion = Annotated[str, typer.Option(help="Of an .ome.zarr: 0.5 or 0.4.")]
Layout = Annotated[str, typer.Option(help="Of an .ome.zarr: flat or nested.")]
Compression = Annotated[
    str | None,
    typer.Option(
        help="Of a .tif, .dzi or .dicom: jpeg or deflate (lossless; PNG, JPEG 2000).",
        show_default="jpeg for RGB slides",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def export(
    source: Annotated[str, typer.Argument(help="OME-Zarr, slide, raster or image.", metavar="IN")],
    out: Annotated[Path, typer.Argument(help="File to write; its suffix chooses the format.", metavar="OUT")],
    level: Level = 0,
    region: Region = None,
    mpp: Mpp = None,
    assume_mpp: AssumeMpp = None,
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
    with open_source(source, mpp=assume_mpp) as opened:
        if kind == "geojson":
            from infbrush_wsi.cli.outlines import write_outlines

            if level or region is not None or mpp is not None:
                raise ConfigError("GeoJSON holds the areas of the whole image; leave out --level, --region and --mpp")
            write_outlines(opened, out, overwrite)
            summary.tell(out, then=opened_by(kind, out))
            return
        part = lazy_region(opened, level=level, mpp=mpp, region=region_of(region))
        write_as(_output(part), out, kind, compression, ome_version, layout, overwrite)
        h, w, _ = part.shape
    summary.tell(out, f"{w} x {h} px", then=opened_by(kind, out), beside=beside(kind, out))


def _output(part: LazyRegion) -> Output:
    from infbrush_wsi.cli.provenance import provenance_of, title_of

    source = part.source
    value = source.metadata.get("nodata")
    nodata = None if value is None or value not in range(256) else int(value)
    return Output(part, part.lattice, source.channel_names, provenance_of(source), title_of(source), nodata)
