"""`infbrush augment`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infbrush_wsi.cli import generate_options as g
from infbrush_wsi.cli import options as o
from infbrush_wsi.cli.console import examples, messages, notice
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.augment import Selection, SyntheticDataset

EPILOG = examples(
    "infbrush augment model --out synthetic --per-class 200 --size 224",
    "infbrush augment model --out synthetic --per-class 200 --size 224 --classes Benign,Invasive --mpp 0.5",
    "infbrush augment model --out synthetic --per-class 50 --training train/ --held-out other_patients/",
    "infbrush augment model --out synthetic --per-class 200 --judge train/ --least 0.7",
    "infbrush augment model --out synthetic.zarr --per-class 1000 --size 64",
)
STACK_SUFFIX = ".zarr"
SEEN = 128
"""Side in pixels of what the judging classifier sees."""
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

Select = Callable[["SyntheticDataset | Selection"], "Selection"]
JUDGE = "Images of doubtful class are left out"
JudgeBy = Annotated[
    Path | None,
    typer.Option("--judge", help="Labelled real images (a folder for each class), not those of the later test: a "
                 "classifier is trained on them and must see the class in a synthetic image.", rich_help_panel=JUDGE),
]  # fmt: skip
Least = Annotated[float, typer.Option(help="Probability of its class that an image needs.", rich_help_panel=JUDGE)]
JudgeSteps = Annotated[int, typer.Option(help="Training steps of that classifier.", rich_help_panel=JUDGE)]
Backbone = Annotated[str, typer.Option(help="torchvision:NAME or timm:NAME.", rich_help_panel=JUDGE)]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="Start from the library's weights.", rich_help_panel=JUDGE)
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
    judge: JudgeBy = None,
    least: Least = 0.5,
    judge_steps: JudgeSteps = 300,
    backbone: Backbone = "torchvision:resnet18",
    pretrained: Pretrained = False,
    assume_mpp: o.AssumeMpp = None,
) -> None:
    """Generate a labelled set of images to train a classifier with, as many of each class.

    A folder holds a PNG for each image in a folder for each class, and images.csv with the columns path, label and
    seed; a call that was stopped goes on where it was. A Zarr store holds arrays of images, labels and seeds.
    """
    summary = Summary()
    if (training is None) != (held_out is None):
        raise ConfigError("--training and --held-out are needed together to find copies")
    o.check_model(model)
    with messages().status("importing torch"):
        from infbrush_wsi.augment import Synthesis, SyntheticDataset
        from infbrush_wsi.augment.folder import DROPPED
        from infbrush_wsi.pipelines.registry import open_pipeline
    synthesis = Synthesis(o.size(size), seed, mpp, resolution, steps, guidance, sampler, precision)
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    pipeline = open_pipeline(model)
    dataset = SyntheticDataset(pipeline, per_class, classes=names, synthesis=synthesis)
    filters: list[Select] = []
    if training is not None and held_out is not None:
        filters.append(_Copies(training, held_out, assume_mpp))
    if judge is not None:
        filters.append(_Doubtful(judge, least, assume_mpp, (judge_steps, backbone, pretrained), dataset))
    chosen = _write(dataset, out, filters)
    made = ", ".join(f"{count} {name}" for name, count in chosen.by_class.items())
    left = f"{len(chosen.dropped)} left out (see {DROPPED})" if chosen.dropped else ""
    opened = "zarr.open_group" if out.suffix == STACK_SUFFIX else "torchvision.datasets.ImageFolder"
    summary.tell(out, made, left, then=f"read it in Python: {opened}('{out}')")


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

    def __call__(self, chosen: SyntheticDataset | Selection) -> Selection:
        from infbrush_wsi.augment import without_copies

        return without_copies(chosen, *self.sets)


class _Doubtful:
    """Finds images in which a classifier does not see their class.

    Args:
        folder: labelled real images.
        least: probability of the own class.
        mpp: of images that do not say it.
        network: steps, backbone, and whether it starts from the library's weights.
        dataset: that will be judged.

    Raises:
        ConfigError: if `least` is no probability.
        DatasetError: if the folder holds no image, or lacks a class.
    """

    def __init__(
        self, folder: Path, least: float, mpp: float | None, network: tuple[int, str, bool], dataset: SyntheticDataset
    ) -> None:
        from infbrush_wsi.augment import Judging
        from infbrush_wsi.augment.protocol.classifier import ClassifierConfig
        from infbrush_wsi.sources.collection import collect

        if not 0.0 <= least <= 1.0:
            raise ConfigError(f"--least must be between 0 and 1, not {least:g}")
        steps, backbone, pretrained = network
        config = ClassifierConfig(backbone, pretrained, side=SEEN, steps=steps)
        self.judging = Judging(collect([folder], labels="folder", mpp=mpp), least, config)
        self.judging.check(dataset)

    def __call__(self, chosen: SyntheticDataset | Selection) -> Selection:
        from infbrush_wsi.augment.selection import everything

        with messages().status("training a classifier that judges the images"):
            judge = self.judging.judge(everything(chosen).dataset)
        if judge.accuracy is None:
            notice("the classifier that judges the images could not be checked: too few real images of a class")
        else:
            notice(f"the classifier that judges the images is right on {judge.accuracy:.0%} of {judge.checked} "
                   "windows of real images that it has not seen")  # fmt: skip
        return self.judging.select(chosen, judge)


def _write(dataset: SyntheticDataset, out: Path, filters: Sequence[Select]) -> Selection:
    from infbrush_wsi.augment import write_folder, write_stack
    from infbrush_wsi.augment.selection import everything

    def select(chosen: SyntheticDataset | Selection) -> Selection:
        for each in filters:
            chosen = each(chosen)
        return everything(chosen)

    if out.suffix != STACK_SUFFIX:
        with counting("generating") as report:
            return write_folder(dataset, out, select=select, progress=report)
    if filters:
        raise ConfigError("images are left out of folders; let --out not end in .zarr")
    with counting("generating") as report:
        write_stack(dataset, out, progress=report)
    return everything(dataset)
