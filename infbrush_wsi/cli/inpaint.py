"""`infbrush inpaint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infbrush_wsi.cli import reconstruction_options as o
from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.options import check_model
from infbrush_wsi.cli.options import region as region_of
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.cli.writing import beside, opened_by

EPILOG = examples(
    "infbrush inpaint hne-tiny slide.svs --mask 1200,900,64,64 --region 1100,800,512,512 --out filled.png",
    "infbrush inpaint model slide.svs --mask pen.geojson --out clean.ome.zarr --condition Normal",
    "infbrush inpaint model map.tif --mask clouds.png --out map_filled.tif --seed 3",
    "infbrush inpaint model slide.svs --mask fold.geojson --strength 0.6 --out milder.ome.zarr",
)
Mask = Annotated[
    str,
    typer.Option(help="What to fill: x,y,w,h in level-0 pixels; a picture of the region's size, not black where it is "
                      "to be filled; or GeoJSON of areas.", rich_help_panel=o.IMAGE),
]  # fmt: skip
MaskUnit = Annotated[
    str, typer.Option(help="Of GeoJSON coordinates: pixel (of level 0) or crs.", rich_help_panel=o.IMAGE)
]
Rounds = Annotated[int, typer.Option(help="How often each step is made; more fit better.", rich_help_panel=o.SAMPLING)]


def inpaint(
    model: o.Model,
    slide: o.Real,
    out: o.Out,
    mask: Mask,
    region: o.Region = None,
    level: o.Level = 0,
    mask_unit: MaskUnit = "pixel",
    assume_mpp: o.AssumeMpp = None,
    bands: o.Bands = None,
    condition: o.Condition = None,
    embedding: o.Embedding = None,
    reference: o.Reference = None,
    reference_region: o.ReferenceRegion = None,
    seed: o.Seed = 0,
    steps: o.Steps = 20,
    rounds: Rounds = 3,
    strength: o.Strength = 1.0,
    weight: o.Weight = 0.0,
    no_replace: o.NoReplace = False,
    guidance: o.Guidance = 1.0,
    sampler: o.SamplerName = "ddim",
    start: o.Start = "noise",
    ome_version: o.OmeVersion = "0.5",
    layout: o.Layout = "flat",
    overwrite: o.Overwrite = False,
) -> None:
    """Make a part of a real image anew, so that its border does not show.

    All other pixels stay as they are. The file says that it is synthetic, and from which source, mask, model, seed and
    settings it was made.
    """
    given = dict(locals())
    kind = o.image_kind(out, overwrite)
    check_model(model)
    summary = Summary()
    arguments = o.sampling(given) | {
        "region": region_of(region), "mask_unit": mask_unit, "rounds": rounds, "mask": _mask(mask),
    }  # fmt: skip
    with o.source_of(slide, given) as source:
        with messages().status("importing torch"):
            from infbrush_wsi.pipelines.inpaint import inpaint as fill
            from infbrush_wsi.pipelines.reconstruction import open_denoiser
        pipe = open_denoiser(model)
        arguments = o.with_reference(arguments, given, pipe)
        with counting("filling") as progress:
            found = fill(pipe, source, progress=progress, **arguments)
        facts = o.write_result(found, f"inpainted, seed {seed}", out, kind, given)
    summary.tell(out, facts, then=opened_by(kind, out), beside=beside(kind, out))


def _mask(text: str) -> Any:
    """A box, or the path of a file."""
    return text if Path(text).suffix or Path(text).exists() else region_of(text, "--mask")
