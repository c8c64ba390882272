"""Train a model that comes with the package, or write its card anew.

    python recipes/ship.py hne-tiny --data FOLDER --work DIR --minutes 60 [--out FOLDER]

FOLDER holds the sample data under the paths that `sets.py` names. A run that was stopped goes on. The model is written
as float16 to infbrush_wsi/models/weights/NAME, with README.md (the card), samples.jpg and training.csv.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
from pathlib import Path
from typing import Any

from card import write_card
from cut import cut
from sets import RECIPES, Recipe

from infbrush_wsi._process import prepare_process

prepare_process()

WEIGHTS = Path(__file__).parents[1] / "infbrush_wsi" / "models" / "weights"


def run_config(recipe: Recipe, train: Path, table: Path, minutes: float) -> Any:
    """The training run."""
    from infbrush_wsi.training.config import RunConfig

    values = copy.deepcopy(recipe.config)
    values["data"] |= {"sources": [str(train)], "labels": str(table)}
    values["optim"] = values.get("optim", {}) | {"minutes": minutes}
    values["record"] = {"log_every": 50, "checkpoint_every": 500, "preview_every": 500} | values.get("record", {})
    return RunConfig.parse(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    recipe, run = RECIPES[options.name], options.work / "run"
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
    from infbrush_wsi.training.checkpoint import checkpoints
    from infbrush_wsi.training.run import train

    options.work.mkdir(parents=True, exist_ok=True)
    train_folder, held_out, table = cut(recipe, options.data.resolve(), options.work.resolve())
    config = run_config(recipe, train_folder, table, options.minutes)

    def told(step: int, scalars: dict[str, float]) -> None:
        print(step, f"{scalars['loss']:.4f}", f"{scalars['seconds_per_step']:.3f} s", flush=True)

    if (
        not (run / "infbrush.json").exists()
        or not json.loads((run / "infbrush.json").read_text())["training"]["finished"]
    ):
        train(config, run, resume=bool(checkpoints(run)), report=told)
    target = options.out / options.name
    InfBrushPipeline.from_pretrained(run).save_pretrained(target, half=True)
    forget_folder(options.work, target)
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    write_log(log, target / "training.csv")
    write_card(options.name, recipe, (train_folder, held_out), target, options.work)


def forget_folder(work: Path, target: Path) -> None:
    """Where a model was trained is of no use to others: leave the names below that folder."""
    for path in target.rglob("*.json"):
        text = path.read_text()
        for folder in {f"{work}/", f"{work.resolve()}/"}:
            text = text.replace(f'"{folder}', '"')
        path.write_text(text)


def write_log(log: list[dict[str, Any]], path: Path) -> None:
    """Step, loss and rate."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "loss", "learning_rate"])
        writer.writerows([r["step"], f"{r['loss']:.5f}", f"{r['learning_rate']:.2e}"] for r in log if "loss" in r)


if __name__ == "__main__":
    main()
