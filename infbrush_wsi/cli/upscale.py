"""`infbrush upscale`."""

from __future__ import annotations

from typing import Annotated

import typer

from infbrush_wsi.cli import reconstruction_options as o
from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.options import check_model
from infbrush_wsi.cli.options import region as region_of
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.cli.writing import beside, opened_by

EPILOG = examples(
    "infbrush upscale hne-tiny slide.svs --level 2 --region 4000,4000,1024,1024 --factor 4 --out finer.ome.zarr",
    "infbrush upscale model slide.svs --mpp 2 --factor 4 --region 4000,4000,1024,1024 --out finer.png",
    "infbrush upscale model coarse.tif --factor 2 --out fine.tif",
)
Factor = Annotated[int, typer.Option(help="Finer pixels along the side of a pixel.", rich_help_panel=o.IMAGE)]
Mpp = Annotated[
    float | None,
    typer.Option(help="Instead of --level: read the image at so many µm per pixel.", rich_help_panel=o.IMAGE),
]


def upscale(
    model: o.Model,
    slide: o.Real,
    out: o.Out,
    factor: Factor = 4,
    region: o.Region = None,
    level: o.Level = 0,
    mpp: Mpp = None,
    assume_mpp: o.AssumeMpp = None,
    bands: o.Bands = None,
    condition: o.Condition = None,
    embedding: o.Embedding = None,
    reference: o.Reference = None,
    reference_region: o.ReferenceRegion = None,
    seed: o.Seed = 0,
    steps: o.Steps = 20,
    strength: o.Strength = 1.0,
    weight: o.Weight = 0.0,
    no_replace: o.NoReplace = False,
    guidance: o.Guidance = 1.0,
    sampler: o.SamplerName = "dpmsolver++",
    start: o.Start = "noise",
    ome_version: o.OmeVersion = "0.5",
    layout: o.Layout = "flat",
    overwrite: o.Overwrite = False,
) -> None:
    """Make a real picture of low magnification finer.

    Averaged down again it is the real picture. What is finer than that is made up by the model: plausible, and no
    measurement. The file says so.
    """
    given = dict(locals())
    kind = o.image_kind(out, overwrite)
    check_model(model)
    summary = Summary()
    arguments = o.sampling(given) | {"region": region_of(region), "factor": factor, "mpp": mpp}
    with o.source_of(slide, given) as source:
        with messages().status("importing torch"):
            from infbrush_wsi.pipelines.reconstruction import open_denoiser
            from infbrush_wsi.pipelines.upscale import upscale as make_finer
        pipe = open_denoiser(model)
        arguments = o.with_reference(arguments, given, pipe)
        with counting("upscaling") as progress:
            found = make_finer(pipe, source, progress=progress, **arguments)
        facts = o.write_result(found, f"upscaled by {factor}, seed {seed}", out, kind, given)
    summary.tell(out, facts, then=opened_by(kind, out), beside=beside(kind, out))
