"""`infbrush augment`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infbrush_wsi.cli import generate_options as g
from infbrush_wsi.cli import options as o
from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.console import out as results
from infbrush_wsi.cli.progress import counting, duration
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.augment import Selection, SyntheticDataset

EPILOG = examples(
    "infbrush augment model --out synthetic --per-class 200 --size 224",
    "infbrush augment model --out synthetic --per-class 200 --size 224 --classes Benign,Invasive --mpp 0.5",
    "infbrush augment model --out synthetic --per-class 50 --training train/ --held-out other_patients/",
    "infbrush augment model --out synthetic.zarr --per-class 1000 --size 64",
)
STACK_SUFFIX = ".zarr"
PerClass = Annotated[int, typer.Option(help="Images of each class.")]
Classes = Annotated[
    str | None, typer.Option(help="Classes of the model joined by commas.", show_default="all of the model's")
]
Seed = Annotated[int, typer.Option(help="Of the set; every image has its own, which follows from it.")]
Training = Annotated[
    Path | None, typer.Option(help="Images that the model was trained on: near copies of them are left out.")
]
HeldOut = Annotated[
    Path | None, typer.Option(help="Real images that were not, of other patients; they set the threshold for copies.")
]


def augment(
    model: Annotated[Path, typer.Argument(help="Model directory: --out of infbrush train.", metavar="MODEL")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of images, or a store that ends in .zarr.")],
    per_class: PerClass = 100,
    size: g.SizeText = "224x224",
    classes: Classes = None,
    mpp: g.Mpp = None,
    resolution: g.Resolution = None,
    seed: Seed = 0,
    steps: g.Steps = 20,
    guidance: g.Guidance = 1.5,
    sampler: g.SamplerName = "dpmsolver++",
    precision: g.Precision = "float32",
    training: Training = None,
    held_out: HeldOut = None,
    assume_mpp: o.AssumeMpp = None,
) -> None:
    """Generate a labelled set of images to train a classifier with, as many of each class.

    A folder holds a PNG for each image in a folder for each class, and images.csv with the columns path, label and
    seed; a call that was stopped goes on where it was. A Zarr store holds arrays of images, labels and seeds.
    """
    if (training is None) != (held_out is None):
        raise ConfigError("--training and --held-out are needed together to find copies")
    with messages().status("importing torch"):
        from infbrush_wsi.augment import Synthesis, SyntheticDataset
        from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
    started = time.monotonic()
    synthesis = Synthesis(o.size(size), seed, mpp, resolution, steps, guidance, sampler, precision)
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    pipeline = InfBrushPipeline.from_pretrained(model)
    dataset = SyntheticDataset(pipeline, per_class, classes=names, synthesis=synthesis)
    copies = None if training is None or held_out is None else _Copies(training, held_out, assume_mpp)
    chosen = _write(dataset, out, copies)
    made = ", ".join(f"{count} {name}" for name, count in chosen.by_class.items())
    left = f", {len(chosen.dropped)} near copies left out" if chosen.dropped else ""
    results().print(f"{out}: {made}{left}, {duration(time.monotonic() - started)}", soft_wrap=True)


class _Copies:
    """Finds near copies of training images.

    Args:
        training: images that the model was trained on.
        held_out: other real ones.
        mpp: of images that do not say it.

    Raises:
        DatasetError: if a folder holds no image.
    """

    def __init__(self, training: Path, held_out: Path, mpp: float | None) -> None:
        from infbrush_wsi.sources.collection import collect

        self.sets = [collect([path], mpp=mpp) for path in (training, held_out)]

    def __call__(self, dataset: SyntheticDataset) -> Selection:
        from infbrush_wsi.augment import without_copies

        return without_copies(dataset, *self.sets)


def _write(dataset: SyntheticDataset, out: Path, copies: _Copies | None) -> Selection:
    from infbrush_wsi.augment import write_folder, write_stack
    from infbrush_wsi.augment.selection import everything

    if out.suffix != STACK_SUFFIX:
        with counting("generating") as report:
            return write_folder(dataset, out, select=copies, progress=report)
    if copies is not None:
        raise ConfigError("near copies are left out of folders; let --out not end in .zarr")
    with counting("generating") as report:
        write_stack(dataset, out, progress=report)
    return everything(dataset)
