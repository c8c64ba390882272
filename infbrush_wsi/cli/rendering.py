"""Planning, rendering and writing a canvas with progress."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.cli.console import messages, notice
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.errors import PlanError

if TYPE_CHECKING:
    from distributed import Client

    from infbrush_wsi.canvas import Canvas


def write(canvas: Canvas, out: Path, **options: Any) -> None:
    """Compute what comes first, then render and write, each with a progress bar.

    Args:
        canvas: to be written.
        out: OME-Zarr.
        options: of `Canvas.write_ome_zarr`.
    """
    if canvas.spec.engine != "lazy":
        with counting("rendering") as report:
            canvas.render(report)
    elif not canvas.rendered:
        with counting("planning") as report:
            canvas.render(report)
    with counting("writing") as report, _telling_how_to_go_on(out):
        canvas.write_ome_zarr(out, progress=report, **options)


def plan(canvas: Canvas, out: Path, given: Path | None, *, keep: bool) -> Path | None:
    """Load the plan, or compute and save it.

    Args:
        canvas: with the lazy engine.
        out: OME-Zarr that is going to be written.
        given: file that the user named.
        keep: whether an interrupted call or other processes will need the plan, so that it is saved without a name
            having been given.

    Returns:
        The file; None where there is none.

    Raises:
        PlanError: if the named file is damaged or the plan of another canvas.
        OutputError: if it cannot be written.
    """
    stages: Any = getattr(canvas.reader, "plan", None)
    if stages is None or (given is None and (not keep or stages.stages[-1].frames.count > 1)):
        return None  # the frames of an unguided canvas are planned where they are read
    path = given or _own_plan(canvas, out)
    if path.exists() and _loaded(canvas, path, ours=given is None):
        return path
    with counting("planning") as report:
        canvas.render(report)
    canvas.save_plan(path)
    return path


def remove_plans(out: Path) -> None:
    """Remove the plans that calls have kept for writing `out`, which is complete."""
    for path in out.parent.glob(f".{_escaped(out.name)}.*.plan.safetensors"):
        path.unlink(missing_ok=True)


def prepare(client: Client | None, canvas: Canvas, file: Path | None) -> None:
    """Get the workers ready, if there are any.

    Raises:
        CheckpointError, PlanError: if a worker finds no model, another one, or no plan.
    """
    if client is None:
        return
    from infbrush_wsi.pipelines.worker import prepare_cluster

    with messages().status("loading the model on the workers"):
        prepare_cluster(client, canvas, file)
    if not client.scheduler_info()["workers"]:
        notice("the cluster has no workers yet; rendering begins when there are some")


def _own_plan(canvas: Canvas, out: Path) -> Path:
    """Of this canvas and no other, beside the unfinished store."""
    return out.with_name(f".{out.name}.{canvas.token[:16]}.plan.safetensors")


def _loaded(canvas: Canvas, path: Path, *, ours: bool) -> bool:
    try:
        canvas.load_plan(path)
    except PlanError:
        if not ours:
            raise
        path.unlink(missing_ok=True)
        return False
    return True


def _escaped(name: str) -> str:
    from glob import escape

    return escape(name)


@contextmanager
def _telling_how_to_go_on(out: Path) -> Iterator[None]:
    """Ctrl-C: say what is kept."""
    from infbrush_wsi.writers import partial_folder

    try:
        yield
    except KeyboardInterrupt as interrupt:
        kept = os.path.lexists(partial_folder(out) / "record.json")
        raise KeyboardInterrupt(
            "what is finished is kept: call the same command again to go on" if kept else "nothing is kept"
        ) from interrupt
