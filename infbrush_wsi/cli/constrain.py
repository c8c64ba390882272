"""`infbrush constrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infbrush_wsi.cli import generate_options as o
from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.console import out as results
from infbrush_wsi.cli.options import check_model
from infbrush_wsi.cli.options import size as parsed_size
from infbrush_wsi.cli.outputs import check_store
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.rendering import write
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError

EPILOG = examples(
    "infbrush constrain model --constraints wishes.yaml --out out.ome.zarr --size 2048x2048 --seed 7",
    "infbrush constrain model --constraints wishes.yaml --out out.ome.zarr --size 2048 --strength 0.2 --iterations 2",
)

Constraints = Annotated[
    Path,
    typer.Option(help="YAML: a list of {box: [x, y, width, height], like: picture.png | text: words | classifier: "
                 "program.pt2, index: class}, each with side and weight if wanted.", rich_help_panel=o.IMAGE),
]  # fmt: skip
Strength = Annotated[
    float, typer.Option(help="Change of a step, in deviations of the latent.", rich_help_panel=o.SAMPLING)
]
Iterations = Annotated[int, typer.Option(help="Changes in a step.", rich_help_panel=o.SAMPLING)]


def constrain(
    model: Annotated[Path, typer.Argument(help="Model directory of system infd.", metavar="MODEL")],
    constraints: Constraints,
    out: o.Out,
    size: o.SizeText = "1024x1024",
    mpp: o.Mpp = None,
    resolution: o.Resolution = None,
    condition: o.Condition = None,
    seed: o.Seed = 0,
    strength: Strength = 0.1,
    iterations: Iterations = 1,
    steps: o.Steps = 20,
    guidance: o.Guidance = 1.0,
    sampler: o.SamplerName = "dpmsolver++",
    workdir: o.Workdir = None,
    ome_version: o.OmeVersion = "0.5",
    chunk: o.Chunk = 512,
    overwrite: o.Overwrite = False,
    thumbnail: o.Thumbnail = None,
) -> None:
    """Generate an image whose boxes, at any scales, look as wished, and write it as an OME-Zarr pyramid.

    Scores of each constraint are printed, beside those of the image of the same seed without constraints.
    """
    check_store(out, overwrite=overwrite)
    summary = Summary()
    call = {
        "condition": condition, "size": parsed_size(size), "mpp": mpp, "resolution": resolution, "seed": seed,
        "num_inference_steps": steps, "guidance_scale": guidance if condition is not None else 1.0,
        "scheduler": sampler, "workdir": workdir,
    }  # fmt: skip
    check_model(model)
    with messages().status("importing torch"):
        from infbrush_wsi.pipelines.constraints import constrained
        from infbrush_wsi.pipelines.constraints.settings import read_constraints
        from infbrush_wsi.pipelines.infd import InfdPipeline
        from infbrush_wsi.pipelines.registry import open_pipeline
    pipe = open_pipeline(model)
    if not isinstance(pipe, InfdPipeline):
        raise ConfigError(f"constrain needs a model of infd, '{model}' is one of {pipe.info.system}")
    with counting("sampling") as report:
        found = constrained(
            pipe, read_constraints(constraints), strength=strength, iterations=iterations, progress=report, **call
        )
    write(found.canvas, out, version=ome_version, chunk=chunk, overwrite=overwrite)
    if thumbnail is not None:
        from infbrush_wsi.cli.generate import write_thumbnail

        write_thumbnail(found.canvas, thumbnail)
    records = found.canvas.provenance["constraints"]
    for record, score, before in zip(records, found.scores, found.unconstrained, strict=False):
        results().print(f"{record}: {before:.4f} without, {score:.4f} with", soft_wrap=True)
    shape = found.canvas.lattice.shape
    summary.tell(out, f"{shape.w} x {shape.h} px", then=f"look at it: infbrush view {out}")
