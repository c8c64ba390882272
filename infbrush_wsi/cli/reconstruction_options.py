"""What `infbrush inpaint` and `infbrush upscale` share: types of options with their help, and writing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infbrush_wsi.cli.options import band_numbers
from infbrush_wsi.cli.outputs import check_output
from infbrush_wsi.cli.reference import Reference as References
from infbrush_wsi.cli.writing import Output, suffix_of, write_as
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.pipelines.reconstruction import ReconstructedImage
    from infbrush_wsi.sources.base import Source

IMAGE, SAMPLING, OUTPUT = "Image", "Sampling", "Output"

Model = Annotated[Path, typer.Argument(help="Model directory, or a shipped model.", metavar="MODEL")]
Real = Annotated[str, typer.Argument(help="Slide, raster, image or OME-Zarr.", metavar="SLIDE")]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="File to write; its suffix chooses the format: .ome.zarr, .png, .ome.tif, .tif "
                                     "(a GeoTIFF where there is a CRS), .dzi.", rich_help_panel=OUTPUT),
]  # fmt: skip
Region = Annotated[
    str | None, typer.Option(help="x,y,w,h in level-0 pixels.", show_default="all", rich_help_panel=IMAGE)
]
Level = Annotated[int, typer.Option(help="Level of the image.", rich_help_panel=IMAGE)]
AssumeMpp = Annotated[
    float | None,
    typer.Option(help="Micrometres per level-0 pixel of an image that does not say it.", show_default=False,
                 rich_help_panel=IMAGE),
]  # fmt: skip
Bands = Annotated[
    str | None,
    typer.Option(help="Bands to use, counted from 1, joined by commas.", show_default="all", rich_help_panel=IMAGE),
]
Condition = Annotated[
    str | None,
    typer.Option(help="Class, see infbrush info MODEL.", show_default="unconditional", rich_help_panel=SAMPLING),
]
Embedding = Annotated[
    Path | None,
    typer.Option(help="Instead of --condition: embedding (D,) or (M, D) in a .npy file.", rich_help_panel=SAMPLING),
]
Reference = Annotated[
    Path | None,
    typer.Option(help="Instead of --condition: image whose latent is taken, for infdiff models.",
                 rich_help_panel=SAMPLING),
]  # fmt: skip
ReferenceRegion = Annotated[
    str | None,
    typer.Option(help="x,y,width,height of a region of it in its level-0 pixels.", show_default="all of it",
                 rich_help_panel=SAMPLING),
]  # fmt: skip
Seed = Annotated[int, typer.Option(help="Of the noise field.", rich_help_panel=SAMPLING)]
Steps = Annotated[int, typer.Option(help="Network evaluations.", rich_help_panel=SAMPLING)]
Strength = Annotated[
    float,
    typer.Option(help="Share of the steps that is made: 1 begins with noise, less keeps more of what is there.",
                 rich_help_panel=SAMPLING),
]  # fmt: skip
Weight = Annotated[
    float,
    typer.Option(help="Of reconstruction guidance, through the network's gradient; 0: none.", rich_help_panel=SAMPLING),
]
NoReplace = Annotated[
    bool,
    typer.Option("--no-replace", help="Hold to what is known by --weight alone.", rich_help_panel=SAMPLING),
]
Guidance = Annotated[float, typer.Option(help="Classifier-free guidance; 1: none.", rich_help_panel=SAMPLING)]
SamplerName = Annotated[str, typer.Option("--sampler", help="dpmsolver++ or ddim.", rich_help_panel=SAMPLING)]
Start = Annotated[
    str,
    typer.Option(help="noise, or inversion: from the noise that belongs to the image.", rich_help_panel=SAMPLING),
]
OmeVersion = Annotated[str, typer.Option(help="Of an .ome.zarr: 0.5 or 0.4.", rich_help_panel=OUTPUT)]
Layout = Annotated[str, typer.Option(help="Of an .ome.zarr: flat or nested.", rich_help_panel=OUTPUT)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=OUTPUT)]

LOSSLESS = "deflate"


def source_of(slide: str, given: Mapping[str, Any]) -> Source:
    """The image, opened as the options say."""
    from infbrush_wsi.sources import open_source

    return open_source(slide, mpp=given["assume_mpp"], bands=band_numbers(given["bands"]))


def image_kind(out: Path, overwrite: bool) -> str:
    """The format of an image that can be written, see `suffix_of`.

    Raises:
        ConfigError: if it is no format of images.
        OutputExistsError, OutputError: if it exists, or cannot be written.
    """
    kind = suffix_of(out)
    if kind == "geojson":
        raise ConfigError(f"'{out}' is no image; choose .ome.zarr, .png, .tif or another image format")
    check_output(out, overwrite=overwrite)
    return kind


def sampling(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that `inpaint` and `upscale` share.

    Raises:
        ConfigError: if more than one of a class, an embedding and a reference is given.
        ConditionError: if an embedding cannot be read.
    """
    from infbrush_wsi.cli.likeness import embedding_from_file

    chosen = [f"--{name}" for name in ("condition", "embedding", "reference") if given[name] is not None]
    if len(chosen) > 1:
        raise ConfigError(f"give {' or '.join(chosen)}, not both")
    if given["reference_region"] is not None and given["reference"] is None:
        raise ConfigError("--reference-region says how --reference IMAGE is read; give that too")
    condition = given["condition"] if given["embedding"] is None else embedding_from_file(given["embedding"])
    same = ("level", "seed", "strength", "weight", "start")
    return {name: given[name] for name in same} | {
        "condition": condition,
        "num_inference_steps": given["steps"],
        "replace": not given["no_replace"],
        "guidance_scale": 1.0 if condition is None else given["guidance"],
        "scheduler": given["sampler"],
    }


def with_reference(arguments: dict[str, Any], given: Mapping[str, Any], pipe: Any) -> dict[str, Any]:
    """The arguments with the latent of the reference, if one is given, as the condition.

    Raises:
        ConfigError, ConditionError, SourceError: see `cli.reference.Reference`.
    """
    if given["reference"] is None:
        return arguments
    latent = References(given["reference"], given["reference_region"]).latent(pipe)
    return arguments | {"condition": latent, "guidance_scale": given["guidance"]}


def write_result(found: ReconstructedImage, title: str, out: Path, kind: str, given: Mapping[str, Any]) -> str:
    """Write it without loss (but for .jpg), and say what was written."""
    output = Output(found, found.lattice, found.channel_names, found.provenance, title)
    write_as(output, out, kind, LOSSLESS, given["ome_version"], given["layout"], given["overwrite"])
    h, w, _ = found.shape
    mpp = found.lattice.mpp
    return f"{w} x {h} px" + ("" if mpp is None else f", {mpp:g} µm/px")
