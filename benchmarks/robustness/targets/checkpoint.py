"""Directories of training runs that are continued: checkpoints, configuration, metrics."""

from __future__ import annotations

import logging
import random
import shutil
from pathlib import Path
from typing import Any

from family import copy_folder
from mutate_bytes import damage_file
from mutate_stores import damage_folder

from targets.model import headed
from targets.networks import write_training


def prepare(folder: Path) -> None:
    """Train two steps, and continue the run once."""
    logging.disable(logging.WARNING)
    values = write_training(folder)
    if not (folder / "run").exists():
        from infbrush_wsi.training.config import RunConfig
        from infbrush_wsi.training.run import train

        train(RunConfig.parse(values), folder / "run")
        shutil.rmtree(folder / "run" / "tensorboard", ignore_errors=True)
    shutil.copytree(folder / "run", folder / "again", dirs_exist_ok=True)
    run({"file": "again", "seeds": str(folder)}, folder, folder)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged run."""
    root = case / "run"
    shutil.copytree(seeds / "run", root)
    weights = sorted((root / "checkpoints").rglob("*.safetensors"))
    if rng.random() < 0.4:
        chosen = rng.choice(weights[len(weights) // 2 :])
        data, said = headed(rng, chosen.read_bytes())
        chosen.write_bytes(data)
    elif rng.random() < 0.2:
        said = damage_file(rng, root / "metrics.jsonl")
    else:
        said = str(damage_folder(rng, root, metadata=0.75))
    return {"file": "run", "seeds": str(seeds), "mutations": said}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Continue a copy of it for one step; the input stays as it is, and a refusal leaves the run as it was."""
    from worker import listing

    from infbrush_wsi.errors import InfbrushError
    from infbrush_wsi.training.config import RunConfig
    from infbrush_wsi.training.run import train

    values = write_training(Path(plan["seeds"]))
    values["optim"]["steps"] = 3
    target = case.parent / f"{case.name}-run"
    shutil.rmtree(target, ignore_errors=True)
    copy_folder(case / plan["file"], target)
    before = {name: about for name, about in listing(target).items() if "checkpoints/" in name}
    try:
        train(RunConfig.parse(values), target, resume=True)
    except InfbrushError:
        after = listing(target)
        lost = [name for name in before if name not in after]
        assert not lost, f"a refusal lost {lost}"
        raise
    finally:
        shutil.rmtree(target, ignore_errors=True)
