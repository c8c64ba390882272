"""Configurations of training runs: files, settings of the command line, and networks that are made of them."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import yaml
from mutate_bytes import damaged
from mutate_documents import as_json_text, damaged_document

from targets.networks import SMALL

RUN: dict[str, Any] = {
    "data": {
        "sources": ["images"],
        "labels": "folder",
        "mpp": [0.5, 1.0],
        "assume_mpp": 0.5,
        "bands": [1, 2, 3],
        "window": 32,
        "points": 64,
        "sampler": "mixed",
        "sampler_options": {"window": 8},
        "tissue_fraction": 0.2,
        "flips": True,
        "group_pattern": "^([a-z]+)",
        "validation": 0.1,
        "cache_bytes": 1 << 20,
        "workers": 0,
    },
    "model": {
        "system": "multilevel",
        "preset": "tiny",
        "overrides": SMALL,
        "sigma": 1.0,
        "schedule": "squaredcos_cap_v2",
        "prediction": "velocity",
        "scale_input": True,
        "noise_std": 1.0,
    },
    "optim": {
        "steps": 5,
        "batch": 2,
        "learning_rate": 0.01,
        "betas": [0.9, 0.99],
        "warmup": 3,
        "decay": 0.3,
        "clip": 1.0,
        "ema": 0.999,
        "snr_gamma": 5.0,
        "curriculum": [[0.5, 2]],
        "condition_drop": 0.1,
        "precision": "no",
        "memory_gib": 1.0,
        "seed": 3,
    },
    "record": {"log_every": 1, "checkpoint_every": 6, "keep": 2, "preview_every": 0, "preview_steps": 3},
}
HOSTILE_YAML = (
    "!!python/object/apply:os.system ['touch hacked']",
    "!!python/name:os.system",
    "*missing",
    "&a [*a]",
    "{a: &x [1], b: *x}",
    "2001-99-99",
    "0x" + "f" * 50,
    "1" * 5000,
    "[" * 2000,
    "{" * 200,
    "- " * 3000,
    "\t",
    "? ",
    "<<: {a: 1}",
    "!!binary x",
    "!!int nan",
    "!!timestamp 99999-01-01",
    "%YAML 9.9\n---\na: 1",
    "\ufeff",
    "key: [unclosed",
    "a: b: c",
)


def prepare(folder: Path) -> None:
    """Make the network of the configuration once."""
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    run({"file": "run.yaml", "settings": []}, folder, folder)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged configuration."""
    settings: list[str] = []
    document, said = RUN, "as it is"
    if rng.random() < 0.3:
        key = rng.choice(("optim.decay", "data.window", "model.overrides", "optim", "x.y", "data.", ".", "", "a.b.c"))
        settings = [f"{key}{rng.choice(('=', '=', ''))}{rng.choice((*HOSTILE_YAML, 'nan', '-1', '[]', '{width: -1}'))}"]
        said = f"--set {settings[0][:60]}"
    else:
        document, said = damaged_document(rng, copy.deepcopy(RUN))
    text = yaml.safe_dump(document) if _shallow(document) else as_json_text(document)
    if rng.random() < 0.15:
        place = rng.randrange(len(text) + 1)
        text, said = text[:place] + rng.choice(HOSTILE_YAML) + text[place:], "hostile YAML"
    elif rng.random() < 0.05:
        text, said = _laughs(rng.choice((3, 9))), "a billion laughs"
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.15:
        data, said = damaged(rng, data)
    (case / "run.yaml").write_bytes(data)
    return {"file": "run.yaml", "settings": settings, "mutations": said}


def _shallow(document: Any) -> bool:
    try:
        yaml.safe_dump(document)
    except (RecursionError, yaml.YAMLError, UnicodeError, ValueError):
        return False
    return True


def _laughs(levels: int) -> str:
    """Aliases of aliases: a few lines that stand for ten to the power of `levels` values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, levels)]
    return "\n".join((*lines, f"data: {{sources: *a{levels - 1}}}", f"model: {{overrides: {{width: *a{levels - 1}}}}}"))


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Validate it in both ways, and make its samplers and its network."""
    from infbrush_wsi.cli.settings import merged, read_mapping
    from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
    from infbrush_wsi.models.infbrush import InfBrushDenoiser, preset
    from infbrush_wsi.points.samplers import make_sampler
    from infbrush_wsi.training.build import constructed
    from infbrush_wsi.training.config import RunConfig
    from infbrush_wsi.training.curriculum import check_curriculum

    path = case / plan["file"]
    config = RunConfig.parse(merged(read_mapping(path), {}, plan["settings"]))
    if not plan["settings"]:
        assert RunConfig.from_yaml(path) == config
    check_curriculum(config)
    make_sampler(config.data.sampler, **config.data.sampler_options)
    arguments = {"channels": 3, "classes": ("a", "b")} | config.model.overrides
    constructed(InfBrushDenoiser, preset(config.model.preset, window=config.data.window, **arguments))
    model = config.model
    MollifiedProcess(
        ProcessConfig(
            schedule=model.schedule,
            prediction=model.prediction,
            noise_std=1.0,
            data_std=0.2,
            data_mean=(0.0,) * 3,
            scale_input=model.scale_input,
        )
    )
