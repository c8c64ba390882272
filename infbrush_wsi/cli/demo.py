"""`infbrush demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.console import out as results
from infbrush_wsi.cli.options import AssumeMpp
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError, OutputExistsError

EPILOG = examples(
    "infbrush demo --out demo_out",
    "infbrush demo --out demo_out --source slide.svs --minutes 10",
    "infbrush demo --out demo_out --source tiles/ --assume-mpp 0.42 --mpp 0.84 --size 1024",
)
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", "-s", help="Your own slides instead of the phantom. May be repeated.", show_default=False),
]
Mpp = Annotated[
    float | None,
    typer.Option(help="Micrometres per pixel to train and generate at.", show_default="1.0 where the slides are finer"),
]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")] = Path("demo_out"),
    source: Sources = None,
    minutes: Annotated[float, typer.Option(help="Of training.")] = 2.0,
    size: Annotated[int, typer.Option(help="Side of the phantom slides and of the generated images.")] = 2048,
    steps: Annotated[int, typer.Option(help="Sampler steps.")] = 6,
    mpp: Mpp = None,
    assume_mpp: AssumeMpp = None,
    seed: Annotated[int, typer.Option(help="Of phantom, training and noise.")] = 0,
) -> None:
    """The main job from end to end in some minutes: slides in, a trained model, generated slides out, a report.

    Without --source it writes phantom slides of four tissue classes (pyramidal TIFF) and an aerial GeoTIFF, trains the
    tiny model, generates an OME-Zarr of each class, opens each again with ome-zarr and TIAToolbox, and leaves
    report.html and report.png.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(f"'{out}' exists and is not empty; remove it, or choose another --out")
    if size < 128:
        raise ConfigError(f"--size must be at least 128 pixels, the side of a training window, not {size}")
    with messages().status("importing torch"):
        from infbrush_wsi.cli.demo_steps import Demo

    made = Demo(out, minutes=minutes, size=size, steps=steps, mpp=mpp, assume_mpp=assume_mpp, seed=seed)
    summary = Summary()
    content = made.run(source)
    for name in ("report.html", "report.png"):
        results().print(f"{out / name}", soft_wrap=True)
    summary.tell(out, "slides, a model, generated slides and a report", then=f"open {out / 'report.html'} in a browser")
    if not content.passed:
        failed = [check for check in content.checks if check.passed is False]
        messages().print(f"[bold red]{len(failed)} checks failed[/]: {failed[0].subject}: {failed[0].found}")
        raise typer.Exit(1)
