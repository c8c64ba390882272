"""`infbrush protocol`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infbrush_wsi.cli import options as o
from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.console import out as results
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.settings import merged, read_mapping
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.augment.protocol.run import Tell

EPILOG = examples(
    "infbrush protocol BACH/Photos --assume-mpp 0.42 --mpp 1.68 --generator-steps 5000 --out protocol",
    "infbrush protocol tiles/ --group-pattern '^([^_]+)_' --folds 4 --seeds 5 --ratio 1 --out protocol",
    "infbrush protocol tiles/ --backbone timm:resnet50.a1_in1k --pretrained --config generator.yaml --out protocol",
)
SYNTHETIC, CLASSIFIER = "Generator and synthetic images", "Classifier and comparison"
Labels = Annotated[str, typer.Option(help="'folder' (class = name of the image's folder), or a CSV with the columns "
                                          "path,label and, if wanted, group and mpp.")]  # fmt: skip
Mpp = Annotated[float | None, typer.Option(help="Micrometres per pixel to train the generator and generate at.",
                                           show_default="the images'", rich_help_panel=SYNTHETIC)]  # fmt: skip
GeneratorSteps = Annotated[
    int, typer.Option(help="Training steps of each fold's generator.", rich_help_panel=SYNTHETIC)
]
GeneratorConfig = Annotated[
    Path | None,
    typer.Option("--config", help="YAML of `infbrush train` for the generators.", rich_help_panel=SYNTHETIC),
]
Size = Annotated[str, typer.Option(help="Width x height of synthetic images in pixels.", rich_help_panel=SYNTHETIC)]
Steps = Annotated[int, typer.Option(help="Network evaluations of an image.", rich_help_panel=SYNTHETIC)]
Guidance = Annotated[float, typer.Option(help="Classifier-free guidance.", rich_help_panel=SYNTHETIC)]
Ratio = Annotated[float, typer.Option(help="Synthetic images per real one.", rich_help_panel=SYNTHETIC)]
Backbone = Annotated[str, typer.Option(help="torchvision:NAME or timm:NAME.", rich_help_panel=CLASSIFIER)]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="Start from the library's weights.", rich_help_panel=CLASSIFIER)
]
Side = Annotated[int, typer.Option(help="Side in pixels that images are resized to.", rich_help_panel=CLASSIFIER)]
ClassifierSteps = Annotated[
    int, typer.Option(help="Training steps of a classifier, the same in both arms.", rich_help_panel=CLASSIFIER)
]
Folds = Annotated[int, typer.Option(help="By patient or slide.", rich_help_panel=CLASSIFIER)]
Seeds = Annotated[int, typer.Option(help="Classifiers of each arm and fold.", rich_help_panel=CLASSIFIER)]
Batch = Annotated[int, typer.Option(help="Images in a step of a classifier.", rich_help_panel=CLASSIFIER)]


def protocol(
    data: Annotated[Path, typer.Argument(help="Folder of labelled images.", metavar="DATA")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the comparison.")],
    labels: Labels = "folder",
    group_pattern: o.GroupPattern = None,
    assume_mpp: o.AssumeMpp = None,
    mpp: Mpp = None,
    generator_steps: GeneratorSteps = 1000,
    config: GeneratorConfig = None,
    size: Size = "224x224",
    steps: Steps = 20,
    guidance: Guidance = 1.5,
    ratio: Ratio = 1.0,
    backbone: Backbone = "torchvision:resnet18",
    pretrained: Pretrained = False,
    side: Side = 224,
    classifier_steps: ClassifierSteps = 500,
    batch: Batch = 32,
    folds: Folds = 5,
    seeds: Seeds = 5,
    settings: o.Settings = None,
) -> None:
    """Compare classifiers trained on real images with classifiers trained on real and synthetic ones.

    Folds keep patients together; the generator of a fold sees its training images only; both arms make the same number
    of steps. The folder gets result.json, runs.csv and result.png. A call that was stopped goes on where it was.
    """
    from infbrush_wsi.sources.collection import collect

    summary = Summary()
    if seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {seeds}")
    found = collect([data], labels=labels, mpp=assume_mpp, group_pattern=group_pattern)
    given = {"data.mpp": None if mpp is None else (mpp,), "optim.steps": generator_steps}
    generator = merged({} if config is None else read_mapping(config), given, settings or [])
    with messages().status("importing torch"):
        from infbrush_wsi.augment import Synthesis
        from infbrush_wsi.augment.protocol.classifier import ClassifierConfig
        from infbrush_wsi.augment.protocol.output import accuracy_line, write_result
        from infbrush_wsi.augment.protocol.run import ProtocolConfig, run_protocol
    made = Synthesis(o.size(size), mpp=mpp, num_inference_steps=steps, guidance_scale=guidance)
    classifier = ClassifierConfig(backbone, pretrained, side, classifier_steps, batch)
    asked = ProtocolConfig(generator, made, classifier, folds, tuple(range(seeds)), ratio)
    with _telling() as tell:
        result = run_protocol(found, asked, out, tell)
    write_result(result, out)
    results().print(accuracy_line(result), soft_wrap=True)
    summary.tell(out, "result.json, runs.csv and result.png", then=f"look at {out / 'result.png'}")


@contextmanager
def _telling() -> Iterator[Tell]:
    """A progress bar for each thing that is told of."""
    bars, shown, report = ExitStack(), "", None

    def tell(what: str, done: int, total: int) -> None:
        nonlocal shown, report
        if what != shown or report is None:
            bars.close()
            shown, report = what, bars.enter_context(counting(what))
        report(done, total)

    try:
        yield tell
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("the same call goes on") from interrupt
    finally:
        bars.close()
