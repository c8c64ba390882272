"""`infbrush view`."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from infbrush_wsi.cli.console import examples, messages, notice
from infbrush_wsi.cli.console import out as results
from infbrush_wsi.cli.options import band_numbers, numbers
from infbrush_wsi.cli.options import size as parsed_size
from infbrush_wsi.errors import ConfigError, OutputError
from infbrush_wsi.models.shipped import model_directory

if TYPE_CHECKING:
    from infbrush_wsi.view import Shown

EPILOG = examples(
    "infbrush view out.ome.zarr slide.svs",
    "infbrush view model --size 100000 --seed 7   (a virtual slide: computed where you look)",
    "infbrush view model --condition Normal --condition Invasive --seed 7   (one slide for each class)",
    "infbrush view map.tif --bands 4,1,2 --browser",
    "infbrush view stack.tif --scale 0,4095   (16-bit values)",
)
VIRTUAL, FILES, SERVER = "Virtual slides (of models)", "Images", "Server"
MODEL_RECORD = "infbrush.json"
DEFAULT_SIZE = "16384"
OF_MODELS = ("condition", "size", "seed", "mpp", "resolution", "steps", "guidance", "workdir")

Things = Annotated[
    list[str],
    typer.Argument(help="Slides, rasters, images, OME-Zarr (or URLs of them), and model directories.",
                   metavar="OUT..."),
]  # fmt: skip
Conditions = Annotated[
    list[str] | None,
    typer.Option("--condition", help="Class; may be repeated.", show_default="none", rich_help_panel=VIRTUAL),
]
SizeText = Annotated[
    str | None, typer.Option(help="Width x height in pixels.", show_default=DEFAULT_SIZE, rich_help_panel=VIRTUAL)
]
Seed = Annotated[int | None, typer.Option(help="Of the noise field.", show_default="0", rich_help_panel=VIRTUAL)]
Mpp = Annotated[
    float | None,
    typer.Option(help="Micrometres per pixel.", show_default="the model's", rich_help_panel=VIRTUAL),
]
Resolution = Annotated[
    float | None,
    typer.Option(help="Pixel size in CRS units, for models of rasters.", rich_help_panel=VIRTUAL),
]
Steps = Annotated[int | None, typer.Option(help="Network evaluations.", show_default="20", rich_help_panel=VIRTUAL)]
Guidance = Annotated[
    float | None,
    typer.Option(help="Classifier-free guidance; 1 is none and half the cost.", show_default="1.5",
                 rich_help_panel=VIRTUAL),
]  # fmt: skip
Workdir = Annotated[
    Path | None, typer.Option(help="Folder for computed tiles.", show_default="temporary", rich_help_panel=VIRTUAL)
]
Bands = Annotated[
    str | None,
    typer.Option(help="Bands to show, counted from 1, joined by commas.", show_default="the first three",
                 rich_help_panel=FILES),
]  # fmt: skip
Scale = Annotated[
    str | None,
    typer.Option(help="Values that become black and white, for other than 8-bit images.", rich_help_panel=FILES),
]
ImageMpp = Annotated[
    float | None, typer.Option(help="Micrometres per pixel of images that do not say it.", rich_help_panel=FILES)
]
Port = Annotated[int | None, typer.Option(help="0 takes any.", show_default="8642 or next", rich_help_panel=SERVER)]
Host = Annotated[str, typer.Option(help="Address to listen at.", rich_help_panel=SERVER)]
AllowRemote = Annotated[
    bool,
    typer.Option("--allow-remote", help="Let --host be an address that other machines reach. There is no password.",
                 rich_help_panel=SERVER),
]  # fmt: skip
Tiles = Annotated[
    str, typer.Option(help="png (exact) or jpg (less to send, for slow connections).", rich_help_panel=SERVER)
]
Browser = Annotated[bool, typer.Option("--browser", help="Open the page in a browser.", rich_help_panel=SERVER)]


def view(
    things: Things,
    size: SizeText = None,
    condition: Conditions = None,
    seed: Seed = None,
    mpp: Mpp = None,
    resolution: Resolution = None,
    steps: Steps = None,
    guidance: Guidance = None,
    workdir: Workdir = None,
    bands: Bands = None,
    scale: Scale = None,
    assume_mpp: ImageMpp = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    allow_remote: AllowRemote = False,
    tiles: Tiles = "png",
    browser: Browser = False,
) -> None:
    """Look at images, and at virtual slides of models, on a local web page.

    The page is served to this machine only, until Ctrl-C. Nothing but what is named on the line can be reached from
    it. Tiles of virtual slides are computed when they are looked at.
    """
    given = dict(locals())
    _check(given)
    with ExitStack() as opened:
        shown = [one for thing in things for one in _shown(thing, given, opened)]
        from infbrush_wsi.view.server import ViewServer

        server = ViewServer(shown, host=host, port=port, kind=tiles, allow_remote=allow_remote)
        if not server.local:
            notice("warning: whoever can reach this machine can look at these images; nobody is asked for a password")
        results().print(f"{server.url}   (Ctrl-C ends it)", soft_wrap=True)
        if browser:
            webbrowser.open(server.url)
        server.serve()
        idle = server.close()
    messages().print("stopped")
    if not idle:
        _end_at_once()


def _check(given: Mapping[str, Any]) -> None:
    """Refuse options without the images that they are for, before anything is opened."""
    unused = [f"--{name}" for name in OF_MODELS if given[name] is not None]
    if unused and not any(_is_model(thing) for thing in given["things"]):
        raise ConfigError(
            f"{', '.join(unused)} say what is computed with a model, and {', '.join(given['things'])} "
            "is none: give a model's directory, or leave them out"
        )


def _is_model(thing: str) -> bool:
    return (model_directory(thing) / MODEL_RECORD).is_file()


def _shown(thing: str, given: Mapping[str, Any], opened: ExitStack) -> list[Shown]:
    """What the page shows of one argument: an image, or a virtual slide for each class."""
    return _virtual(thing, given, opened) if _is_model(thing) else [_image(thing, given, opened)]


def _image(thing: str, given: Mapping[str, Any], opened: ExitStack) -> Shown:
    from infbrush_wsi.cli.provenance import record_of
    from infbrush_wsi.sources.registry import open_source
    from infbrush_wsi.view.image import shown

    how: dict[str, Any] = {"bands": band_numbers(given["bands"]), "scale": _scale(given["scale"])}
    source = opened.enter_context(open_source(thing, **how))
    if given["assume_mpp"] is not None and source.lattice.unit == "pixel":
        source = opened.enter_context(open_source(thing, mpp=given["assume_mpp"], **how))
    return shown(source, provenance=record_of(source))


def _end_at_once() -> NoReturn:
    """Without tearing down what threads still compute with, for which torch would abort the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _virtual(model: str, given: Mapping[str, Any], opened: ExitStack) -> list[Shown]:
    with messages().status("importing torch"):
        from infbrush_wsi.pipelines.registry import open_pipeline
    from infbrush_wsi.view.image import shown

    pipe: Any = open_pipeline(model)
    name = Path(model).resolve().name
    common = {
        "mpp": given["mpp"],
        "resolution": given["resolution"],
        "workdir": opened.enter_context(_scratch(given["workdir"])),
        "size": parsed_size(given["size"] or DEFAULT_SIZE),
        "seed": given["seed"] or 0,
        "num_inference_steps": 20 if given["steps"] is None else given["steps"],
    }
    guidance = 1.5 if given["guidance"] is None else given["guidance"]
    made = []
    for condition in given["condition"] or [None]:
        # Without a condition there is nothing to guide to, and it would only cost.
        canvas = pipe(condition, guidance_scale=1.0 if condition is None else guidance, **common)
        made.append(
            shown(
                canvas, title=f"{name}: {canvas.spec.condition if condition else 'no class'}, seed {canvas.spec.seed}"
            )
        )
    return made


def _scratch(workdir: Path | None) -> TemporaryDirectory[str]:
    """A folder for computed tiles that goes when the page does, also where the process ends at once."""
    try:
        if workdir is not None:
            workdir.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix="infbrush-view-", dir=workdir, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"cannot make a folder for computed tiles in '{workdir}': {error}") from error


def _scale(text: str | None) -> tuple[float, float] | None:
    values = numbers(text, "--scale")
    if values is not None and len(values) != 2:
        raise ConfigError(f"--scale must be two values joined by a comma, e.g. 0,4095, not {text!r}")
    return None if values is None else (values[0], values[1])
