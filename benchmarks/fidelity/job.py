"""Train one arm for a given processor time on one thread, sample it, and compare with tiles it has not seen.

    python benchmarks/fidelity/job.py --kind hne --arm ours --seed 0 --minutes 5 --images 128 --work DIR

Prints a line of JSON. It is started by compare.py, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import arms
import distances
import equal_time
import harness

harness.like_the_command_line()

RULES = {"crop": (64, 4), "whole": (40, 1)}
"""Distances of crops (texture, colour), and of whole windows made small (layout)."""


def run_config(kind_folder: Path, arm: str, seed: int, steps: int) -> Any:
    """The configuration of a run."""
    from infbrush_wsi.training.config import RunConfig

    values = arms.settings_of(arm)
    values["data"] |= {"sources": [str(kind_folder / "train")]}
    values["optim"] |= {"steps": steps, "seed": seed}
    values["record"] |= {"log_every": equal_time.WARM_UP}
    return RunConfig.parse(values)


def train_arm(kind_folder: Path, arm: str, seed: int, minutes: float, out: Path) -> dict[str, Any]:
    """Train for about `minutes` of processor time; what it took."""
    config = partial(run_config, kind_folder, arm, seed)
    return equal_time.train_for(config, minutes, out)


def generate(
    model: Path, like: Path, count: int, sampler: dict[str, Any], out: Path, *, last: bool = False
) -> dict[str, Any]:
    """Images with the classes of held-out windows, spread over all of them; `last`: not with the averaged weights."""
    from PIL import Image
    from safetensors.torch import load_file

    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    pipeline = InfBrushPipeline.from_pretrained(model)
    if last:
        newest = max((model / "checkpoints").iterdir())
        pipeline.denoiser.load_state_dict(load_file(newest / "model.safetensors"), strict=False)
    windows = sorted(like.rglob("*.png"))
    before = time.process_time()
    for number in range(count):
        label = windows[number * len(windows) // count].parent.name
        canvas = pipeline(label, size=(128, 128), seed=number, **sampler)
        target = out / label / f"{number:05d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas.read_region((0, 0), 0, (128, 128))).save(target)
    return {"sample_cpu_s": (time.process_time() - before) / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--variant", default="", help="sample the model of an earlier job in another way")
    options = parser.parse_args()
    data = options.work / options.kind
    if options.arm == "floor":
        found: dict[str, Any] = {
            "metrics": distances.between(data / "held_out", data / "seen", RULES, stain=options.kind == "hne")
        }
    else:
        out = options.work / f"{options.kind}_{options.arm}_{options.seed}"
        sampler, images = arms.sampler_of(options.arm), out.with_name(out.name + "_images")
        if options.variant:
            found, sampler = {"variant": options.variant}, arms.VARIANTS[options.variant]
            images = out.with_name(f"{out.name}_{options.variant}_images")
        else:
            found = train_arm(data, options.arm, options.seed, options.minutes, out)
        last = options.variant == "last"
        found |= generate(out, data / "held_out", options.images, sampler, images, last=last)
        found["metrics"] = distances.between(data / "held_out", images, RULES, stain=options.kind == "hne")
    print(json.dumps({"kind": options.kind, "arm": options.arm, "seed": options.seed} | found))


if __name__ == "__main__":
    main()
