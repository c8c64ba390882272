"""`infbrush generate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.console import out as results
from infbrush_wsi.cli.options import pair
from infbrush_wsi.cli.options import size as parsed_size
from infbrush_wsi.cli.progress import counting, duration
from infbrush_wsi.errors import ConfigError, OutputError, OutputExistsError

if TYPE_CHECKING:
    from infbrush_wsi.canvas import Canvas

EPILOG = examples(
    "infbrush generate model --out out.ome.zarr --size 4096x4096 --condition Invasive --seed 7",
    "infbrush generate model --out out.ome.zarr --size 2048 --mpp 0.5 --guidance 1.5 --steps 10",
    "infbrush generate model --out out.ome.zarr --size 2048 --ome-version 0.4   (opens in TIAToolbox)",
    "infbrush generate model --out map.ome.zarr --size 2048 --layout nested --origin 500000,4420000 --crs EPSG:26914",
)
IMAGE, SAMPLING, OUTPUT = "Image", "Sampling", "Output"
Out = Annotated[Path, typer.Option("--out", "-o", help="OME-Zarr to write (.ome.zarr).", rich_help_panel=OUTPUT)]
SizeText = Annotated[str, typer.Option(help="Width x height in pixels.", rich_help_panel=IMAGE)]
Mpp = Annotated[
    float | None, typer.Option(help="Micrometres per pixel.", show_default="the model's", rich_help_panel=IMAGE)
]
Resolution = Annotated[
    float | None, typer.Option(help="Pixel size in CRS units, for models of rasters.", rich_help_panel=IMAGE)
]
Condition = Annotated[str | None, typer.Option(help="Class, see infbrush info MODEL.", rich_help_panel=IMAGE)]
Seed = Annotated[int, typer.Option(help="Of the noise field.", rich_help_panel=IMAGE)]
Origin = Annotated[str | None, typer.Option(help="x,y of the top left corner in CRS units.", rich_help_panel=IMAGE)]
Crs = Annotated[str | None, typer.Option(help="CRS of the result.", show_default="the model's", rich_help_panel=IMAGE)]
Steps = Annotated[int, typer.Option(help="Network evaluations.", rich_help_panel=SAMPLING)]
Guidance = Annotated[
    float, typer.Option(help="Classifier-free guidance; 1 is none and half the cost.", rich_help_panel=SAMPLING)
]
Scheduler = Annotated[str, typer.Option(help="dpmsolver++ or ddim.", rich_help_panel=SAMPLING)]
Precision = Annotated[str, typer.Option(help="float32 or bfloat16.", rich_help_panel=SAMPLING)]
Tile = Annotated[int, typer.Option(help="Side of the tiles evaluated at a time.", rich_help_panel=SAMPLING)]
Workdir = Annotated[Path | None, typer.Option(help="Folder for scratch files.", rich_help_panel=SAMPLING)]
OmeVersion = Annotated[str, typer.Option(help="0.5 or 0.4.", rich_help_panel=OUTPUT)]
Layout = Annotated[
    str, typer.Option(help="flat for slides, nested for rasters (xarray, rioxarray).", rich_help_panel=OUTPUT)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an OME-Zarr.", rich_help_panel=OUTPUT)]
Thumbnail = Annotated[Path | None, typer.Option(help="Also write a small PNG.", rich_help_panel=OUTPUT)]


def generate(
    model: Annotated[Path, typer.Argument(help="Model directory: --out of infbrush train.", metavar="MODEL")],
    out: Out,
    size: SizeText = "1024x1024",
    mpp: Mpp = None,
    resolution: Resolution = None,
    condition: Condition = None,
    seed: Seed = 0,
    origin: Origin = None,
    crs: Crs = None,
    steps: Steps = 20,
    guidance: Guidance = 1.5,
    scheduler: Scheduler = "dpmsolver++",
    precision: Precision = "float32",
    tile: Tile = 256,
    workdir: Workdir = None,
    ome_version: OmeVersion = "0.5",
    layout: Layout = "flat",
    overwrite: Overwrite = False,
    thumbnail: Thumbnail = None,
) -> None:
    """Generate an image and write it as an OME-Zarr pyramid.

    The file says that it is synthetic, and by which model, seed and settings it was made. The same call gives the
    same image.
    """
    sampling = {
        "condition": condition, "size": parsed_size(size), "mpp": mpp, "resolution": resolution, "seed": seed,
        "num_inference_steps": steps, "guidance_scale": guidance, "scheduler": scheduler, "precision": precision,
        "tile": tile, "workdir": workdir, "crs": crs, "origin": _origin(origin),
    }  # fmt: skip
    _check_outputs(out, ome_version, layout, overwrite, thumbnail)
    with messages().status("importing torch"):
        from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
    pipe = InfBrushPipeline.from_pretrained(model)
    if condition is None:
        sampling["guidance_scale"] = 1.0  # there is nothing to guide to, and it would only cost
    started = time.monotonic()
    canvas = pipe(**cast(Any, sampling))
    write(canvas, out, ome_version=ome_version, layout=layout, overwrite=overwrite)
    if thumbnail is not None:
        write_thumbnail(canvas, thumbnail)
    shown = "" if canvas.mpp is None else f", {canvas.mpp:g} µm/px"
    w, h = canvas.spec.shape.size.w, canvas.spec.shape.h
    results().print(
        f"{out}: {w} x {h} px{shown}, {canvas.level_count} levels, {duration(time.monotonic() - started)}",
        soft_wrap=True,
    )


def write(canvas: Canvas, out: Path, *, ome_version: str, layout: str = "flat", overwrite: bool = False) -> None:
    """Render a canvas and write it, each with a progress bar."""
    with counting("rendering") as report:
        canvas.render(report)
    with counting("writing") as report:
        canvas.write_ome_zarr(
            out, cast(Any, ome_version), layout=cast(Any, layout), overwrite=overwrite, progress=report
        )


def write_thumbnail(canvas: Canvas, path: Path, side: int = 512) -> None:
    """A small picture of a canvas.

    Raises:
        OutputError: if it cannot be written.
    """
    from infbrush_wsi.writers.picture import write_picture

    write_picture(canvas.thumbnail(side), path, provenance=canvas.provenance, overwrite=True)


def _origin(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        x, y = pair(text, ",", "--origin")
        return float(x), float(y)
    except ValueError as error:
        raise ConfigError(f"--origin must be x,y in CRS units, not {text!r}") from error


def _check_outputs(out: Path, version: str, layout: str, overwrite: bool, thumbnail: Path | None) -> None:
    """What can be known to fail should fail before an hour of rendering."""
    from infbrush_wsi.writers.layout import StoreLayout

    StoreLayout(cast(Any, version), cast(Any, layout))
    if out.exists() and not overwrite:
        raise OutputExistsError(f"'{out}' exists; choose another name, or add --overwrite")
    for path in (out, thumbnail):
        if path is not None and not path.resolve().parent.is_dir():
            raise OutputError(f"'{path}' cannot be written: there is no folder {path.resolve().parent}")
