"""Image Neural Field Diffusion: are patches the whole, what does a large canvas cost, do constraints raise scores?

python benchmarks/infd.py [--model DIR] [--quick] [--json OUT.json]

Without a model the networks of the preset `tiny` have random weights: errors, times and memory do not depend on what
they have learnt, and constraints act on their pictures all the same.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import harness

harness.like_the_command_line()

PATCHES = (24, 100, 256)
SPACINGS, WINDOW = (0.5, 1.0, 2.0), 256
GREEN, LIKENESS = "class green", "like phantom"


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--model", type=Path, default=None, help="a trained model of infd")
    options = parser.parse_args()
    side, seeds = (1024, 2) if options.quick else (4096, 8)
    context = harness.server("infbrush_wsi.pipelines.infd")
    errors = harness.call_apart(context, patch_errors, options.model, 256 if options.quick else 512)
    large = harness.call_apart(context, large_canvas, options.model, side)
    held = harness.call_apart(context, constraints, options.model, seeds)
    ratios = {f"largest difference of {name}": value for name, value in errors.items()}
    ratios |= {"megapixels a second": large["megapixels_s"], "memory beside the model (MiB)": large["grown_mib"]}
    for name, gains in held["gain"].items():
        ratios[f"least gain of {name}"] = min(gains)
        ratios[f"deviation of {name} between seeds"] = held["deviation"][name]
    for key in [key for key in ratios if key.startswith("largest")]:
        print(f"{key} = {ratios.pop(key):.2e}")
    facts = {"side": side, "model": str(options.model or "tiny, random weights"), "errors": errors}
    harness.finish("infd", options, ratios, {"large": large, "constraints": held}, facts)


def pipeline(model: Path | None) -> Any:
    """Of a directory, or with random weights."""
    import torch

    from infbrush_wsi.models.bundle import ModelBundle
    from infbrush_wsi.models.infd import FieldAutoencoder, LatentDenoiser, preset
    from infbrush_wsi.models.info import ModelInfo
    from infbrush_wsi.pipelines.infd import InfdPipeline

    torch.set_num_threads(1)
    if model is not None:
        return InfdPipeline.from_pretrained(model, "cpu")
    torch.manual_seed(0)
    chosen = preset("tiny")
    networks = {"autoencoder": FieldAutoencoder(**chosen.autoencoder), "denoiser": LatentDenoiser(**chosen.denoiser)}
    process = {"data_mean": [0.0] * 4, "data_std": 1.0, "noise_std": 1.0, "bounded": False}
    bands = ("Red", "Green", "Blue")
    info = ModelInfo("infd", SPACINGS, "micrometer", WINDOW, bands, (), 0.0, process)
    return InfdPipeline(ModelBundle(networks, info, "0" * 64))


def patch_errors(model: Path | None, side: int) -> dict[str, float]:
    """Largest difference between patches that are rendered alone and the whole, on [-1, 1]."""
    import torch

    from infbrush_wsi.domain import Box, Shape, tiles
    from infbrush_wsi.operators.query import Query

    autoencoder = pipeline(model).autoencoder
    found = {}
    for dtype in (torch.float32, torch.float64):
        autoencoder.to(dtype)
        torch.manual_seed(1)
        latent = torch.randn(1, autoencoder.latent_channels, 24, 24).to(dtype)
        with torch.inference_mode():
            features = autoencoder.features(latent)
            cell = features.shape[-1] / side
            whole = autoencoder.render(features, Query.window(Box(0, 0, side, side), (cell, cell)))
            for patch in PATCHES:
                worst = 0.0
                for box in tiles(Shape(side, side), patch):
                    part = autoencoder.render(features, Query.window(box, (cell, cell)))
                    rows, columns = box.slices
                    worst = max(worst, float((part - whole[..., rows, columns]).abs().max()))
                found[f"patches of {patch}, {str(dtype).removeprefix('torch.')}"] = worst
    return found


def large_canvas(model: Path | None, side: int) -> dict[str, float]:
    """Time and memory of all pixels of a square canvas from one latent, read row by row of tiles on one thread."""
    pipe = pipeline(model)
    mpp = max(max(pipe.info.spacing) * pipe.info.window / side, min(pipe.info.spacing) / 4)
    from infbrush_wsi.canvas.lazy import CacheLimits

    canvas = pipe(size=(side, side), mpp=mpp, num_inference_steps=10, limits=CacheLimits(memory=64 << 20, disk=0))
    before, started = harness.resident_mib(), time.perf_counter()
    canvas.render()
    decoded = time.perf_counter() - started
    tile = canvas.spec.tile
    for y in range(0, side, tile):
        canvas.read_region((0, y), 0, (side, min(tile, side - y)))
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "latent_and_features_s": decoded,
        "megapixels_s": side**2 / 1e6 / (seconds - decoded),
        "peak_mib": harness.peak_mib(),
        "grown_mib": harness.peak_mib() - before,
        "features_mib": sum(f.numel() for f in [canvas.reader._map(None)]) * 4 / 2**20,
    }


def constraints(model: Path | None, seeds: int) -> dict[str, Any]:
    """Scores of two boxes at scales sixteen times apart, with and without the constraints, for several seeds."""
    import statistics

    import torch
    from torch import nn

    from infbrush_wsi.domain import Box, Shape
    from infbrush_wsi.phantom import hne_image
    from infbrush_wsi.pipelines.constraints import ClassScore, Constraint, constrained, feature_score

    class Brightest(nn.Module):
        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            return 4 * picture.mean((2, 3))

    pipe = pipeline(model)
    side = round(pipe.info.window * max(pipe.info.spacing) / min(pipe.info.spacing))
    small = side // 16
    wished = [
        Constraint(Box(0, 0, side, side), feature_score(hne_image("Invasive", Shape(64, 64), 2.0, 0), "phantom")),
        Constraint(Box(side // 2, side // 4, small, small), ClassScore(Brightest(), 1, "green")),
    ]
    runs = [
        constrained(pipe, wished, strength=0.2, iterations=2, size=(side, side), seed=seed, num_inference_steps=10)
        for seed in range(seeds)
    ]
    found: dict[str, Any] = {"gain": {}, "deviation": {}, "scores": {}}
    for number, name in enumerate((LIKENESS, GREEN)):
        before, after = ([getattr(run, which)[number] for run in runs] for which in ("unconstrained", "scores"))
        found["gain"][name] = [b - a for a, b in zip(before, after, strict=True)]
        found["deviation"][name] = statistics.pstdev(before)
        found["scores"][name] = {"without": before, "with": after}
    return found


if __name__ == "__main__":
    main()
