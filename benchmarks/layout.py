"""Do the classes of a painted slide follow its polygons? A classifier of the training tiles says so.

    python benchmarks/layout.py --model DIR --tiles DIR --tumour CLASS --stroma CLASS [--size 1536] [--json PATH]

A GeoJSON in QuPath's form with polygons 'Tumor' and 'Stroma' is drawn, the model paints a slide by it, and a small
ResNet that was trained on windows of the training tiles (a folder for each class) looks at windows of the slide that
lie inside the polygons. The same classifier on windows of held-out tiles says what it is worth. The picture goes beside
the JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
from numpy.typing import NDArray

harness.like_the_command_line()

SIDE = 64
"""Pixels of the windows that are classified."""
EPOCHS, BATCH, PER_CLASS = 6, 64, 1500
Windows = NDArray[np.uint8]


def annotations(size: int) -> dict[str, Any]:
    """A FeatureCollection: a lobed tumour on stroma, which covers all."""

    def feature(name: str, ring: list[list[float]]) -> dict[str, Any]:
        kind = {"objectType": "annotation", "classification": {"name": name}}
        return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": kind}

    turn = np.linspace(0.0, 2.0 * math.pi, 181)
    radius = size * (0.27 + 0.06 * np.sin(5 * turn) + 0.03 * np.sin(9 * turn + 1.0))
    lobes = np.stack([size * 0.5 + radius * np.cos(turn), size * 0.5 + radius * np.sin(turn)], 1)
    whole = [[0.0, 0.0], [size, 0.0], [size, size], [0.0, size], [0.0, 0.0]]
    features = [feature("Stroma", whole), feature("Tumor", lobes.round(1).tolist())]
    return {"type": "FeatureCollection", "features": features}


def windows_of(folder: Path, count: int, rng: np.random.Generator, mpp: float, part: slice) -> Windows:
    """Random windows of the images in a folder at the model's pixel size, (count, 64, 64, 3)."""
    from infbrush_wsi.domain import Box
    from infbrush_wsi.sources.registry import open_source
    from infbrush_wsi.sources.view import ResampledView

    views = [ResampledView(open_source(path, mpp=mpp), mpp) for path in sorted(folder.iterdir())[part]]
    found = []
    for _ in range(count):
        view = views[int(rng.integers(len(views)))]
        y, x = (int(rng.integers(n - SIDE + 1)) for n in view.shape.as_tuple())
        found.append(view.read(Box(x, y, SIDE, SIDE)))
    return np.stack(found)


def train_classifier(sets: Sequence[Windows]) -> Any:
    """A ResNet-18 without its first pooling, from random weights."""
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(0)
    net = resnet18(num_classes=len(sets))
    net.conv1, net.maxpool = torch.nn.Conv2d(3, 64, 3, 2, 1, bias=False), torch.nn.Identity()
    images = _tensor(np.concatenate(sets))
    labels = torch.cat([torch.full((len(s),), i) for i, s in enumerate(sets)])
    steps = EPOCHS * math.ceil(len(images) / BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    net.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(BATCH):
            loss = torch.nn.functional.cross_entropy(net(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def predict(net: Any, windows: Windows) -> NDArray[np.int64]:
    """Index of the class of each window."""
    import torch

    with torch.no_grad():
        parts = [net(part).argmax(1) for part in _tensor(windows).split(256)]
    return np.asarray(torch.cat(parts).numpy())


def _tensor(windows: Windows) -> Any:
    import torch

    return torch.from_numpy(windows).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def inside_windows(image: Windows, layout: Any, mpp: float, condition: str) -> Windows:
    """Windows of the slide that lie wholly in one condition."""
    from infbrush_wsi.domain import centres

    index, found = layout.conditions.index(condition), []
    for y in range(0, image.shape[0] - SIDE + 1, SIDE):
        for x in range(0, image.shape[1] - SIDE + 1, SIDE):
            present, _ = layout.weights(centres(y, SIDE) * mpp, centres(x, SIDE) * mpp)
            if list(present) == [index]:
                found.append(image[y : y + SIDE, x : x + SIDE])
    return np.stack(found)


def main() -> None:
    from PIL import Image

    parser = harness.make_parser(__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--tumour", required=True)
    parser.add_argument("--stroma", required=True)
    parser.add_argument("--size", type=int, default=1536)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.0)
    options = parser.parse_args()
    from infbrush_wsi.conditioning.layout import parse_geojson
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    pipeline = InfBrushPipeline.from_pretrained(options.model)
    mpp = pipeline.info.spacing[0]
    drawn = annotations(options.size)
    names = {"Tumor": options.tumour, "Stroma": options.stroma}
    layout = parse_geojson(json.dumps(drawn), cell=16 * mpp, mpp=mpp, classes=names, background=options.stroma)
    canvas = pipeline(
        layout, (options.size, options.size), seed=3, num_inference_steps=options.steps, guidance_scale=options.guidance
    )
    image = canvas.read_region((0, 0), 0, (options.size, options.size))
    out = (options.json or harness.RESULTS / "layout.json").with_suffix(".png")
    Image.fromarray(image).save(out)
    rng = np.random.default_rng(0)
    classes = (options.tumour, options.stroma)
    count = PER_CLASS // (3 if options.quick else 1)
    folders = [options.tiles / name for name in classes]
    kept = slice(-1, None) if all(len(list(f.iterdir())) < 10 for f in folders) else slice(None, None, 5)
    used = slice(0, -1) if kept.start == -1 else slice(1, None, 5)
    net = train_classifier([windows_of(folder, count, rng, mpp, used) for folder in folders])
    ratios, results = {}, {}
    for number, (name, folder) in enumerate(zip(classes, folders, strict=True)):
        kind = ("tumour", "stroma")[number]
        held_out = windows_of(folder, 300, rng, mpp, kept)
        painted = inside_windows(image, layout, mpp, name)
        ratios[f"held_out_{kind}"] = float((predict(net, held_out) == number).mean())
        ratios[f"agreement_{kind}"] = float((predict(net, painted) == number).mean())
        results[kind] = {"class": name, "windows": len(painted)}
    facts = {"size": options.size, "steps": options.steps, "guidance": options.guidance, "picture": out.name}
    harness.finish("layout", options, ratios, results, facts)


if __name__ == "__main__":
    main()
