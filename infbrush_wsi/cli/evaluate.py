"""`infbrush evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from infbrush_wsi.cli import options as o
from infbrush_wsi.cli.console import examples, messages, notice
from infbrush_wsi.cli.console import out as results
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError, MemorisedError, OutputError, OutputExistsError, RegionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from infbrush_wsi.metrics import Bootstrap, CropRule, Evaluation, MetricResult
    from infbrush_wsi.sources import Collection, Source

EPILOG = examples(
    "infbrush evaluate tiles/ generated/ --out evaluation",
    "infbrush evaluate slides/ out.ome.zarr --spacing 0.5 --spacing 2 --crops 64 --out evaluation",
    "infbrush evaluate tiles/ generated/ --features inception --crops 8 --out evaluation",
    "infbrush evaluate test/ generated/ --training train/ --held-out test/ --out evaluation",
    "infbrush evaluate aerial/ generated/ --no-stain --bands 1,2,3 --out evaluation",
)
SHOWN_CROPS = 16
SHOWN_PIXELS = 256
MEMORISED_SIDE = 128
"""Side to which whole images are made small for the search for copies."""
Features = Annotated[
    str,
    typer.Option(help="texture (needs no weights), infbrush (comes with the package), inception, clip, any encoder of "
                      "`embed` (timm:NAME, tiatoolbox:NAME, ...), or a plugin's; NAME@FILE takes weights from a file."),
]  # fmt: skip
Training = Annotated[
    Path | None, typer.Option(help="Images that the model was trained on: generated ones are searched for copies.")
]
HeldOut = Annotated[
    Path | None, typer.Option(help="Real images that were not, of other patients; they set the threshold for copies.")
]
Window = Annotated[
    int | None,
    typer.Option(help="Search for copies in windows of so many pixels that overlap by half, at the first --spacing: "
                      "for images larger than what the model was trained on.", show_default="whole images"),
]  # fmt: skip
AllowCopies = Annotated[
    bool, typer.Option("--allow-copies", help="Do not end with an error if generated images are near copies.")
]
TileSide = Annotated[int | None, typer.Option(help="Side of the generated images' tiles in pixels: look for seams.")]


def evaluate(
    real: Annotated[Path, typer.Argument(help="Real images: a folder, slide, raster, image or OME-Zarr.")],
    generated: Annotated[Path, typer.Argument(help="Generated images: the same.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for evaluation.json and evaluation.html.")],
    features: Features = "texture",
    crop_size: Annotated[int, typer.Option(help="Side of a crop in pixels.")] = 256,
    crops: Annotated[int, typer.Option(help="Crops of each image.")] = 4,
    spacing: Annotated[
        list[float] | None,
        typer.Option(help="Pixel size of crops, in the images' unit. May be repeated.", show_default="as they are"),
    ] = None,
    whole_size: Annotated[
        int, typer.Option(help="Side to which whole images are resized; 0 leaves them out, as is a set of one image.")
    ] = 256,
    stain: Annotated[bool, typer.Option(help="Compare stains, which only stained tissue has.")] = True,
    bands: o.Bands = None,
    assume_mpp: o.AssumeMpp = None,
    training: Training = None,
    held_out: HeldOut = None,
    copy_window: Window = None,
    allow_copies: AllowCopies = False,
    tile: TileSide = None,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of each interval; 0 for none.")] = 200,
    seed: Annotated[int, typer.Option(help="Of crops and resamples.")] = 0,
    device: Annotated[str, typer.Option(help="Where the feature network runs.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an evaluation that is there.")] = False,
) -> None:
    """Measure how far generated images are from real ones, with intervals, as JSON and as a page with plots.

    With --training and --held-out it searches for copies of training images, names them in the report and ends with
    exit code 1 if there are any: such images must not be published.
    """
    from infbrush_wsi.metrics import Bootstrap, CropRule
    from infbrush_wsi.metrics import evaluate as compare
    from infbrush_wsi.sources import collect

    summary = Summary()
    if (training is None) != (held_out is None):
        raise ConfigError("--training and --held-out go together: the second sets the threshold for the first")
    _check_out(out, overwrite)
    chosen = o.band_numbers(bands)
    one, two = (collect([path], mpp=assume_mpp) for path in (real, generated))
    rules = [CropRule("crop", crop_size, crops, seed, size) for size in spacing or ()]
    rules = rules or [CropRule("crop", crop_size, crops, seed)]
    if whole_size and min(len(one.items), len(two.items)) > 1:
        rules.append(CropRule("whole", whole_size, seed=seed))
    how = Bootstrap(resamples, seed=seed)
    messages().print(f"comparing {len(two.items)} images with {len(one.items)} real ones", soft_wrap=True)
    with counting("reading") as progress:
        found = compare(
            one, two, features=features, rules=rules, bootstrap=how, stain=stain, bands=chosen, device=device,
            progress=progress,
        )  # fmt: skip
    left_out = {path for path, _ in found.skipped[f"generated {rules[0].name}"]}
    two = replace(two, items=tuple(item for item in two.items if item.path not in left_out))
    more, memorised = _of_pyramids(two, chosen, tile, how), None
    if training is not None and held_out is not None:
        known, other = (collect([path], mpp=assume_mpp) for path in (training, held_out))
        look = CropRule("whole", MEMORISED_SIDE)
        if copy_window is not None:
            look = CropRule("grid", copy_window, spacing=rules[0].spacing)
        more.append(_memorised((two, known, other), look, chosen, how, device))
        memorised = more[-1]
    found = replace(found, results=(*found.results, *more))
    _write(found, out, real, generated, {"real": one, "generated": two}, rules[0], chosen)
    _show(found)
    summary.tell(out, "evaluation.html and evaluation.json", then=f"open {out / 'evaluation.html'} in a browser")
    if memorised is not None and not allow_copies:
        _refuse_copies(memorised, out)


def _memorised(
    images: tuple[Collection, Collection, Collection],
    rule: CropRule,
    bands: tuple[int, ...] | None,
    how: Bootstrap,
    device: str,
) -> MetricResult:
    """Whether generated images are copies of training images, by what held-out ones are; images in this order."""
    from infbrush_wsi.metrics import check_memorisation

    found = check_memorisation(*images, rule=rule, bootstrap=how, bands=bands, device=device)
    made_paths, known_paths, _ = ([item.path for item in collection.items] for collection in images)
    pairs = [(made_paths[found.images[at]], known_paths[found.training_images[at]]) for at in found.suspicious]
    said = {"passed": found.passed, "p_value": found.p_value, "copies": len(found.copies), "suspicious": pairs}
    if not found.passed:
        notice(f"{len(found.copies)} generated images look like copies, {len(pairs)} are nearer than real ones are")
    return replace(found.share, settings={**found.share.settings, **said})


def _refuse_copies(memorisation: MetricResult, out: Path) -> None:
    said = memorisation.settings
    if said["passed"]:
        return
    found = (
        f"{said['copies']} generated images are near copies of training images"
        if said["copies"]
        else f"more generated images are near training images than real ones are (p = {said['p_value']:.2g})"
    )
    raise MemorisedError(
        f"{found}: do not publish them; '{out / 'evaluation.json'}' names them; leave them out, or pass --allow-copies"
    )


def _of_pyramids(
    images: Collection, bands: tuple[int, ...] | None, tile: int | None, how: Bootstrap
) -> list[MetricResult]:
    """Seams, if asked for, and scales, if there are levels."""
    from infbrush_wsi.metrics import scale_consistency, seam_score

    found = []
    if tile is not None:
        found.append(seam_score(_opened(images, bands), tile, bootstrap=how, seed=how.seed))
    try:
        found += scale_consistency(_opened(images, bands), bootstrap=how, seed=how.seed)
    except RegionError:
        messages().print("the generated images have one level each: scales are not compared", soft_wrap=True)
    return found


def _opened(images: Collection, bands: tuple[int, ...] | None) -> Iterator[Source]:
    from infbrush_wsi.sources import open_source

    for item in images.items:
        with open_source(item.path, mpp=item.mpp, bands=bands) as source:
            yield source


def _check_out(out: Path, overwrite: bool) -> None:
    existing = [name for name in ("evaluation.json", "evaluation.html") if (out / name).exists()]
    if existing and not overwrite:
        raise OutputExistsError(f"'{out / existing[0]}' exists; choose another folder, or pass --overwrite")


def _write(
    found: Evaluation,
    out: Path,
    real: Path,
    generated: Path,
    images: dict[str, Collection],
    rule: CropRule,
    bands: tuple[int, ...] | None,
) -> None:
    from infbrush_wsi import __version__
    from infbrush_wsi.metrics import write_evaluation
    from infbrush_wsi.writers.files import staged_file

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder '{out}': {error}") from error
    facts = {"real": str(real), "generated": str(generated), "infbrush-wsi": __version__}
    shown = {name: _crops(collection, rule, bands) for name, collection in images.items()}
    write_evaluation(found, out / "evaluation.html", title="Generated against real", facts=facts, crops=shown)
    with staged_file(out / "evaluation.json", overwrite=True) as draft:
        draft.write_text(json.dumps(facts | found.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _crops(images: Collection, rule: CropRule, bands: tuple[int, ...] | None) -> list[NDArray[np.uint8]]:
    """A few crops, each of another image as far as there are enough, cut to what a page can show."""
    from infbrush_wsi.metrics import Sampler
    from infbrush_wsi.sources import Collection

    spread = [images.items[at] for at in sorted({int(k * len(images.items) / SHOWN_CROPS) for k in range(SHOWN_CROPS)})]
    few = replace(rule, per_image=max(1, SHOWN_CROPS // len(spread)))
    found = [crop for batch in Sampler(Collection(tuple(spread)), few, bands=bands) for crop in batch.pixels]
    return [crop[:SHOWN_PIXELS, :SHOWN_PIXELS] for crop in found[:SHOWN_CROPS]]


def _show(found: Evaluation) -> None:
    table = Table("metric", "value", "interval", "n real", "n generated", box=None, pad_edge=False)
    for result in found.results:
        interval = "" if result.low != result.low else f"{result.low:.4g} to {result.high:.4g}"
        numbers = (f"{result.value:.4g}", interval, str(result.n_real or ""), str(result.n_generated))
        table.add_row(escape(result.name.replace("_", " ")), *numbers)
    results().print(table)
    for note in dict.fromkeys(note for result in found.results for note in result.notes):
        notice(note)
    skipped = sum(len(entries) for entries in found.skipped.values())
    if skipped:
        notice(f"{skipped} times an image was left out; evaluation.json says why")
