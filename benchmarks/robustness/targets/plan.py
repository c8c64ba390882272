"""What a canvas keeps on disk: saved plans, states of frames, tiles."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from mutate_bytes import damaged

from targets.model import headed
from targets.networks import render, write_model

FILES = ("x.plan.safetensors", "state.bin", "tile.bin")


def prepare(folder: Path) -> None:
    """Save a plan, a frame's state and a tile, and read each once."""
    if not (folder / FILES[2]).exists():
        from infbrush_wsi.canvas.level import dump_tile
        from infbrush_wsi.canvas.state_bytes import dump_state

        canvas = render(write_model(folder))
        canvas.save_plan(folder / FILES[0])
        plan = canvas._plan()
        (folder / FILES[1]).write_bytes(dump_state(next(iter(plan.known(plan.stages[-1]).values()))))
        (folder / FILES[2]).write_bytes(dump_tile(canvas_tile(canvas)))
    model(str(folder))
    for file in FILES:
        run({"file": file, "seeds": str(folder)}, folder, folder)


def canvas_tile(canvas: Any) -> Any:
    """The first computed tile of a canvas."""
    canvas.read_region((0, 0), 0, (16, 16))
    return next(iter(canvas.reader._tiles._values.values()))


@lru_cache(maxsize=1)
def model(folder: str) -> Any:
    """The pipeline, once for all inputs."""
    from infbrush_wsi.pipelines.registry import open_pipeline

    return open_pipeline(write_model(Path(folder)))


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged file."""
    file = rng.choice((FILES[0], FILES[0], FILES[1], FILES[2]))
    data = (seeds / file).read_bytes()
    data, said = (headed if file != FILES[2] and rng.random() < 0.7 else damaged)(rng, data)
    (case / file).write_bytes(data)
    return {"file": file, "seeds": str(seeds), "mutations": f"{file}: {said}"}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Read it; a plan is also rendered from."""
    path = case / plan["file"]
    if plan["file"] == FILES[0]:
        from targets.networks import RENDERING

        seeds = plan["seeds"] if Path(plan["seeds"]).exists() else str(case.parent)
        canvas = model(seeds)("a", **RENDERING)
        canvas.load_plan(path).read_region((0, 0), 0, (16, 16))
        return
    from infbrush_wsi.canvas.level import load_tile
    from infbrush_wsi.canvas.state_bytes import load_state

    (load_state if plan["file"] == FILES[1] else load_tile)(path.read_bytes())
