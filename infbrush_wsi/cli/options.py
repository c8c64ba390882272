"""Types of the options that several places of the command line share, with their help."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.models.info import ModelInfo

DATA, MODEL, RUN = "Data", "Model and optimiser", "Run"


def pair(text: str, separator: str, what: str) -> tuple[str, str]:
    """Two values as in '4096x4096' or '500000,4420000'.

    Raises:
        ConfigError: if there are not two.
    """
    first, found, second = text.partition(separator)
    if not (found and first.strip() and second.strip()):
        raise ConfigError(f"{what} must be two values joined by '{separator}', not {text!r}")
    return first.strip(), second.strip()


def point(text: str, what: str, of: str) -> tuple[float, float]:
    """A place as in '500000,4420000.5'.

    Args:
        text: as given.
        what: the option, for the message.
        of: whose units these are, for the message.

    Raises:
        ConfigError: if there are not two numbers.
    """
    first, second = pair(text, ",", what)
    try:
        return float(first), float(second)
    except ValueError as error:
        raise ConfigError(f"{what} must be x,y in {of}, not {text!r}") from error


def size(text: str) -> tuple[int, int]:
    """(width, height) from '4096x2048', or from '2048' for a square.

    Raises:
        ConfigError: if it is none.
    """
    try:
        w, h = (text, text) if text.isdecimal() else pair(text.lower().replace("×", "x"), "x", "--size")
        return int(w), int(h)
    except ValueError as error:
        raise ConfigError(f"--size must be WIDTHxHEIGHT in pixels, e.g. 4096x4096, not {text!r}") from error


def check_model(directory: Path) -> None:
    """Refuse what is no model at once: it takes seconds to import torch.

    Raises:
        CheckpointError: if there is none, or its record is damaged or of another version.
    """
    from infbrush_wsi.models.bundle import read_info

    read_info(directory)


def check_crs(text: str | None) -> None:
    """Refuse what is no coordinate reference system, where rasterio is there to ask.

    Raises:
        ConfigError: if PROJ does not know it.
    """
    if text is None or find_spec("rasterio") is None:
        return
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(f"--crs must be a coordinate reference system such as EPSG:26914, not {text!r}") from error


def check_mpp(mpp: float | None, info: ModelInfo) -> None:
    """Refuse micrometres for a model of rasters.

    Raises:
        ConfigError: saying what its pixels are measured in.
    """
    if mpp is not None and info.unit != "micrometer":
        sizes = ", ".join(f"{size:g}" for size in info.spacing)
        raise ConfigError(
            f"--mpp is in micrometres, for slides; this model's pixels are of {sizes} {info.unit}: use --resolution"
        )


def region(text: str | None, what: str = "--region") -> tuple[int, int, int, int] | None:
    """(x, y, w, h) from '100,200,512,512'; None stays None.

    Raises:
        ConfigError: if there are not four whole numbers.
    """
    if text is None:
        return None
    try:
        x, y, w, h = (int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{what} must be x,y,w,h in whole level-0 pixels, not {text!r}") from error
    return x, y, w, h


def numbers(text: str | None, what: str) -> tuple[float, ...] | None:
    """Numbers joined by commas; None stays None.

    Raises:
        ConfigError: if one of them is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{what} must be numbers joined by commas, not {text!r}") from error


def band_numbers(text: str | None) -> tuple[int, ...] | None:
    """Bands counted from 1, as in '1,2,3'; None stays None.

    Raises:
        ConfigError: if one of them is no whole number.
    """
    found = numbers(text, "--bands")
    if found is not None and not all(number.is_integer() for number in found):
        raise ConfigError(f"--bands must be whole numbers joined by commas, not {text!r}")
    return None if found is None else tuple(int(number) for number in found)


Sources = Annotated[
    list[str] | None,
    typer.Option("--source", "-s", help="Slide, raster, image, OME-Zarr, or a folder of them. May be repeated.",
                 rich_help_panel=DATA, show_default=False),
]  # fmt: skip
Labels = Annotated[
    str | None,
    typer.Option(help="'folder' (class = name of the image's folder), 'none', or a CSV with the columns path,label. "
                      "By default 'folder' if the images lie in at least two class folders.",
                 rich_help_panel=DATA, show_default=False),
]  # fmt: skip
Embeddings = Annotated[
    Path | None,
    typer.Option(help="Store that infbrush embed has made of these sources: its embeddings are the conditions instead "
                      "of the classes.",
                 rich_help_panel=DATA),
]  # fmt: skip
Mpp = Annotated[
    str | None,
    typer.Option(help="Micrometres per pixel to train at; several joined by commas.", rich_help_panel=DATA),
]
Resolution = Annotated[
    str | None,
    typer.Option(help="The same for rasters, in the unit of their CRS.", rich_help_panel=DATA),
]
AssumeMpp = Annotated[
    float | None,
    typer.Option(help="Micrometres per pixel of images that do not say it.", rich_help_panel=DATA),
]
Bands = Annotated[
    str | None,
    typer.Option(help="Bands to use, counted from 1, joined by commas.", rich_help_panel=DATA),
]
Window = Annotated[
    int | None, typer.Option(help="Side of a training window in pixels.", show_default="128", rich_help_panel=DATA)
]
Points = Annotated[
    int | None, typer.Option(help="Points drawn from a window.", show_default="4096", rich_help_panel=DATA)
]
Sampler = Annotated[
    str | None,
    typer.Option(help="How they are drawn: mixed, uniform, halton, stratified or tissue.", show_default="mixed",
                 rich_help_panel=DATA),
]  # fmt: skip
Validation = Annotated[
    float | None,
    typer.Option(
        help="Share of the slides or patients that is kept out of training.", show_default="0", rich_help_panel=DATA
    ),
]
GroupPattern = Annotated[
    str | None,
    typer.Option(help="Regular expression whose first group names the patient in a file name.", rich_help_panel=DATA),
]
CacheDir = Annotated[
    Path | None, typer.Option(help="Where decoded tiles are cached.", show_default="temporary", rich_help_panel=DATA)
]
Workers = Annotated[int | None, typer.Option(help="Loader processes.", show_default="1", rich_help_panel=DATA)]
System = Annotated[
    str | None,
    typer.Option(help="infbrush, infdiff, multilevel or infd; infdiff-latent and infd-latent are second runs.",
                 show_default="infbrush", rich_help_panel=MODEL),
]  # fmt: skip
Autoencoder = Annotated[
    Path | None,
    typer.Option(help="For the second runs: the model of the first; its data are used if none are given.",
                 rich_help_panel=MODEL),
]  # fmt: skip
Preset = Annotated[
    str | None,
    typer.Option(help="tiny, small or paper (infdiff: paper-128, paper-256).", show_default="tiny",
                 rich_help_panel=MODEL),
]  # fmt: skip
Batch = Annotated[int | None, typer.Option(help="Images in a step.", show_default="8", rich_help_panel=MODEL)]
LearningRate = Annotated[
    float | None, typer.Option(help="Of Adam.", show_default="tiny 1e-3, small 2e-4, paper 5e-5", rich_help_panel=MODEL)
]
TrainPrecision = Annotated[str | None, typer.Option(help="no, bf16 or fp16.", show_default="no", rich_help_panel=MODEL)]
Seed = Annotated[
    int | None, typer.Option(help="Of weights, data, times and drops.", show_default="0", rich_help_panel=MODEL)
]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps.", show_default="1000", rich_help_panel=RUN)]
Minutes = Annotated[
    float | None,
    typer.Option(help="Train for about that long instead: the steps are counted out after the first have been timed.",
                 rich_help_panel=RUN),
]  # fmt: skip
PreviewEvery = Annotated[
    int | None, typer.Option(help="Steps between sample images.", show_default="none", rich_help_panel=RUN)
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A run.yaml to start from; options on the line replace its values.",
                 rich_help_panel=RUN),
]  # fmt: skip
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any other value of the configuration, e.g. optim.decay=0.5. May be repeated.",
                 rich_help_panel=RUN, show_default=False),
]  # fmt: skip
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.", rich_help_panel=RUN)
]
