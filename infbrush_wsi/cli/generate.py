"""`infbrush generate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from infbrush_wsi.cli import generate_options as o
from infbrush_wsi.cli.cluster import check_cluster, cluster
from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.generate_condition import conditioning
from infbrush_wsi.cli.options import check_crs, check_model, check_mpp, point
from infbrush_wsi.cli.options import size as parsed_size
from infbrush_wsi.cli.outputs import check_folder, check_store
from infbrush_wsi.cli.painting import warn_of_miss
from infbrush_wsi.cli.rendering import plan as planned
from infbrush_wsi.cli.rendering import prepare, remove_plans, write
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.canvas import Canvas

EPILOG = examples(
    "infbrush generate model --out out.ome.zarr --size 4096x4096 --condition Invasive --seed 7",
    "infbrush generate model --out out.ome.zarr --size 2048 --mpp 0.5 --guidance 1.5 --steps 10",
    "infbrush generate model --out out.ome.zarr --size 2048 --ome-version 0.4   (opens in TIAToolbox)",
    "infbrush generate model --out map.ome.zarr --size 2048 --layout nested --origin 500000,4420000 --crs EPSG:26914",
    "infbrush generate model --out out.ome.zarr --size 8192 --paint areas.geojson --paint-mpp 0.25 "
    "--classes Tumor=Invasive,Stroma=Benign --background Normal",
    "infbrush generate model --out out.ome.zarr --size 8192 --like embeddings.zarr --like-image slide.svs "
    "--like-order shift",
    "infbrush generate model --out out.ome.zarr --size 16384 --scheduler tcp://10.0.0.1:8786",
)


def generate(
    model: Annotated[Path, typer.Argument(help="Model directory: --out of infbrush train.", metavar="MODEL")],
    out: o.Out,
    size: o.SizeText = "1024x1024",
    mpp: o.Mpp = None,
    resolution: o.Resolution = None,
    condition: o.Condition = None,
    embedding: o.Embedding = None,
    reference: o.Reference = None,
    reference_region: o.ReferenceRegion = None,
    seed: o.Seed = 0,
    origin: o.Origin = None,
    crs: o.Crs = None,
    paint: o.Paint = None,
    classes: o.Classes = None,
    background: o.Background = None,
    ignore: o.Ignore = None,
    paint_mpp: o.PaintMpp = None,
    paint_unit: o.PaintUnit = None,
    paint_origin: o.PaintOrigin = None,
    paint_cell: o.PaintCell = None,
    like: o.Like = None,
    like_image: o.LikeImage = None,
    like_at: o.LikeAt = None,
    like_order: o.LikeOrder = "as-is",
    steps: o.Steps = 20,
    guidance: o.Guidance = 1.5,
    sampler: o.SamplerName = "dpmsolver++",
    precision: o.Precision = "float32",
    engine: o.Engine = "lazy",
    halo: o.Halo = None,
    frame: o.Frame = None,
    no_coarse: o.NoCoarse = False,
    tile: o.Tile = None,
    scheduler: o.Scheduler = None,
    workers: o.Workers = None,
    plan: o.Plan = None,
    memory_gib: o.MemoryGib = 0.5,
    workdir: o.Workdir = None,
    ome_version: o.OmeVersion = "0.5",
    layout: o.Layout = "flat",
    chunk: o.Chunk = 512,
    shard: o.Shard = None,
    watermark: o.Watermark = None,
    overwrite: o.Overwrite = False,
    no_resume: o.NoResume = False,
    thumbnail: o.Thumbnail = None,
) -> None:
    """Generate an image and write it as an OME-Zarr pyramid.

    The file says that it is synthetic, and by which model, seed and settings it was made. The same call gives the
    same image. A call that was stopped, killed or failed goes on where it was when it is made again.
    """
    _Call(dict(locals())).run()


class _Call:
    """One call.

    Args:
        given: values of all options.

    Raises:
        InfbrushError: one of its kinds, for what can be known to fail before an hour of rendering.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
        self.out: Path = given["out"]
        self.origin = None if given["origin"] is None else point(given["origin"], "--origin", "CRS units")
        self.sampling = self._sampling()
        self.conditioning = conditioning(given, self.origin)
        check_crs(given["crs"])
        _check_outputs(given)
        if given["watermark"] is not None:
            from infbrush_wsi.writers.watermark import Watermark

            Watermark(given["watermark"]).check(3, given["chunk"])
        check_model(given["model"])
        check_cluster(given["scheduler"], given["workers"], given["engine"])
        if given["plan"] is not None and given["engine"] != "lazy":
            raise ConfigError(
                f"the {given['engine']} engine has no plan to keep; leave --plan out, or use --engine lazy"
            )

    def run(self) -> None:
        """Render and write."""
        given, summary = self.given, Summary()
        with messages().status("importing torch"):
            from infbrush_wsi.pipelines.registry import open_pipeline
        canvas = self._canvas(open_pipeline(given["model"]))
        with cluster(given["scheduler"], given["workers"]) as client:
            keep = client is not None or not given["no_resume"]
            prepare(client, canvas, planned(canvas, self.out, given["plan"], keep=keep))
            write(
                canvas,
                self.out,
                version=given["ome_version"],
                resume=not given["no_resume"],
                **{name: given[name] for name in ("layout", "chunk", "shard", "watermark", "overwrite")},
            )
        remove_plans(self.out)
        if given["thumbnail"] is not None:
            write_thumbnail(canvas, given["thumbnail"])
        shape, lattice = canvas.spec.shape, canvas.lattice
        summary.tell(
            self.out,
            f"{shape.w} x {shape.h} px",
            f"{lattice.spacing.x:g} {'µm' if lattice.unit == 'micrometer' else lattice.unit}/px",
            f"{canvas.level_count} level{'s' * (canvas.level_count > 1)}",
            then=f"look at it: infbrush view {self.out}",
        )

    def _canvas(self, pipe: Any) -> Canvas:
        from infbrush_wsi.canvas.lazy import CacheLimits
        from infbrush_wsi.pipelines.settings import settings_of, taken

        check_mpp(self.given["mpp"], pipe.info)
        condition = self.conditioning(pipe)
        if condition is None:
            self.sampling["guidance_scale"] = 1.0  # there is nothing to guide to, and it would only cost
        settings = taken(pipe, self.sampling)
        if "limits" in settings_of(pipe):
            settings["limits"] = CacheLimits(memory=round(self.given["memory_gib"] * 2**30))
        canvas: Canvas = pipe(condition, **settings)
        if canvas.layout is not None:
            spacing, shape = canvas.lattice.spacing, canvas.spec.shape
            warn_of_miss(canvas.layout, (shape.w * spacing.x, shape.h * spacing.y))
        return canvas

    def _sampling(self) -> dict[str, Any]:
        given = self.given
        if not given["memory_gib"] > 0:
            raise ConfigError(f"--memory-gib must be positive, not {given['memory_gib']}")
        same = ("mpp", "resolution", "seed", "precision", "tile", "workdir", "crs", "engine", "frame")
        halo = {} if given["halo"] is None else {"halo": _halo(given["halo"])}
        return (
            {name: given[name] for name in same}
            | halo
            | {
                "size": parsed_size(given["size"]),
                "num_inference_steps": given["steps"],
                "guidance_scale": given["guidance"],
                "scheduler": given["sampler"],
                "origin": self.origin,
                "coarse": not given["no_coarse"],
            }
        )


def write_thumbnail(canvas: Canvas, path: Path, side: int = 512) -> None:
    """A small picture of a canvas.

    Raises:
        OutputError: if it cannot be written.
    """
    from infbrush_wsi.writers.picture import write_picture

    write_picture(canvas.thumbnail(side), path, provenance=canvas.provenance, overwrite=True)


def _halo(text: str) -> int | Literal["exact"]:
    if text == "exact":
        return "exact"
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"--halo must be a whole number of training pixels or exact, not {text!r}") from error


def _check_outputs(given: Mapping[str, Any]) -> None:
    from infbrush_wsi.writers.layout import StoreLayout

    StoreLayout(given["ome_version"], cast(Any, given["layout"]), given["chunk"], given["shard"])
    check_store(given["out"], overwrite=given["overwrite"])
    for path in (given["thumbnail"], given["plan"]):
        if path is not None:
            check_folder(path)
