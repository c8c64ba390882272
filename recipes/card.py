"""The card of a model: what it was trained on, how near its images come to real ones, and what they look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sets import Recipe

PER_CLASS = 12
"""Generated images of each class that are judged."""
SHOWN = 3
"""Real and generated images of each class in the picture."""
TRIES = 8
"""Random windows of a real image of which the darkest is shown, so that it is no glass."""
CROP = 128
METRICS = ("crop_frechet", "crop_kernel", "crop_precision", "crop_recall", "crop_density", "crop_coverage")
Pixels = NDArray[np.uint8]


def write_card(name: str, recipe: Recipe, folders: tuple[Path, Path], target: Path, work: Path) -> None:
    """Write ``README.md``, ``samples.jpg`` and ``metrics.json`` beside the weights.

    Args:
        name: of the model.
        recipe: its data.
        folders: of training and held-out images.
        target: directory of the model.
        work: for generated images.
    """
    from PIL import Image

    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    pipeline = InfBrushPipeline.from_pretrained(target)
    generated = work / f"generated-{pipeline.bundle.weights_sha256[:12]}"
    made = _generate(pipeline, recipe.size, generated)
    rows = []
    for label in pipeline.classes:
        real = _windows(folders[0] / label, recipe.size)
        rows.append(np.concatenate([*real, np.full((recipe.size, 8, 3), 255, np.uint8), *made[label][:SHOWN]], axis=1))
    Image.fromarray(np.concatenate(rows)).save(target / "samples.jpg", quality=90)
    metrics = _known(target / "metrics.json", pipeline.bundle.weights_sha256)
    if metrics is None:
        metrics = {"weights_sha256": pipeline.bundle.weights_sha256} | _measure(folders, generated, recipe)
        (target / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    faults = target / "FAULTS.md"
    text = _card(name, recipe, pipeline, metrics, faults.read_text() if faults.exists() else "Not looked at yet.\n")
    (target / "README.md").write_text(text)


def _known(path: Path, weights: str) -> dict[str, Any] | None:
    """Figures of an earlier call for the same weights."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found if found.get("weights_sha256") == weights else None


def _generate(pipeline: Any, size: int, folder: Path) -> dict[str, list[Pixels]]:
    """Images of every class, seeds 0, 1, ..., three bands, kept in a folder for each class."""
    from PIL import Image

    found: dict[str, list[Pixels]] = {}
    for label in pipeline.classes:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for seed in range(PER_CLASS):
            path = folder / label / f"{seed:03d}.png"
            if not path.exists():
                canvas = pipeline(label, size=(size, size), seed=seed, guidance_scale=1.5)
                pixels = canvas.read_region((0, 0), 0, (size, size))[..., :3]
                Image.fromarray(np.ascontiguousarray(pixels)).save(path)
            with Image.open(path) as image:
                found.setdefault(label, []).append(np.asarray(image))
    return found


def _windows(folder: Path, size: int) -> list[Pixels]:
    """Some windows of training images, three bands, with a white border where an image is smaller."""
    from infbrush_wsi.domain import Box
    from infbrush_wsi.sources.registry import open_source

    rng, found = np.random.default_rng(0), []
    paths = sorted(folder.iterdir())
    for k in range(SHOWN):
        with open_source(paths[k % len(paths)]) as source:
            h, w = source.lattice.shape.as_tuple()
            tries = []
            for _ in range(TRIES):
                y, x = (int(rng.integers(max(0, side - size) + 1)) for side in (h, w))
                tries.append(source.read_box(Box(x, y, min(w, size), min(h, size)))[..., :3])
            window = np.full((size, size, 3), 255, np.uint8)
            window[: min(h, size), : min(w, size)] = min(tries, key=np.mean)
            found.append(window)
    return found


def _measure(folders: tuple[Path, Path], generated: Path, recipe: Recipe) -> dict[str, Any]:
    """Distances of crops to held-out images, of training images to the same, and the search for copies."""
    from infbrush_wsi.metrics import CropRule, check_memorisation, evaluate
    from infbrush_wsi.sources import collect

    train, held, made = (collect([folder]) for folder in (*folders, generated))
    rule, bands = CropRule("crop", size=CROP, per_image=16), (1, 2, 3)
    found: dict[str, Any] = {}
    for name, images in (("generated", made), ("training", train)):
        results = evaluate(held, images, rules=(rule,), stain=recipe.stain, bands=bands).results
        found[name] = {r.name: {"value": r.value, "low": r.low, "high": r.high} for r in results}
    grid = CropRule("grid", size=CROP)
    copies = check_memorisation(made, train, held, rule=grid, bands=bands)
    found["memorisation"] = {
        "passed": copies.passed,
        "share_below_threshold": copies.share.value,
        "copies": len(copies.copies),
        "p_value": copies.p_value,
        "samples": len(copies.distance),
    }
    return found


def _card(name: str, recipe: Recipe, pipeline: Any, metrics: dict[str, Any], faults: str) -> str:
    training, info = pipeline.info.training, pipeline.info
    millions = sum(p.numel() for p in pipeline.denoiser.parameters()) / 1e6
    unit = "µm" if info.unit == "micrometer" else info.unit
    data = "\n".join(f"| `{p.label}` | {p.source} | {p.licence} |" for p in recipe.parts)
    table = "\n".join(
        f"| {key.replace('_', ' ')} | {_cell(metrics['generated'][key])} | {_cell(metrics['training'][key])} |"
        for key in METRICS
        if key in metrics["generated"]
    )
    seen = metrics["memorisation"]
    verdict = "no copies found" if seen["passed"] else "**suspicious: see metrics.json**"
    return f"""# {name}

{recipe.title}: {millions:.1f} million weights (float16), windows of {info.window} pixels of {info.spacing[0]:g} {unit},
bands {", ".join(info.channel_names)}. Licence of the weights: Apache-2.0; the data's own terms follow.

![Real windows on the left, generated ones on the right, a row for each class](samples.jpg)

Left: windows of training images. Right: generated, seeds 0 to {SHOWN - 1}, guidance 1.5, 20 steps, not chosen.

## Known faults

{faults}
## Data

| class | source | licence |
|---|---|---|
{data}

The left four fifths of every image were trained on; the rest is held out for the figures below.

## Training

{training["steps"]} steps of {training["batch"]} windows with {training["points"]} points each, on CPU cores; loss by
step in `training.csv`.

## Figures

{CROP}² crops against held-out images, texture features of this package (not Inception's), {PER_CLASS} images of
{recipe.size}² a class; 95 % bootstrap intervals over images. The right column is what training images score. Images
whose held-out part is narrower than a crop are not among them.

| | generated | training images |
|---|---|---|
{table}

Search for training images in {seen["samples"]} generated windows: {verdict}, {seen["copies"]} copies,
{seen["share_below_threshold"]:.1%} below the threshold that 1 % of held-out windows pass (p = {seen["p_value"]:.2g}).
"""


def _cell(found: dict[str, float]) -> str:
    return f"{found['value']:.3g} ({found['low']:.3g} to {found['high']:.3g})"
