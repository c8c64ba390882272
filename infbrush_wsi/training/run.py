"""Start or continue a training run in a directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from filelock import FileLock, Timeout

from infbrush_wsi.errors import ConfigError, OutputError, OutputExistsError
from infbrush_wsi.models.bundle import ModelBundle, write_json
from infbrush_wsi.training.build import TrainingData, load_data
from infbrush_wsi.training.checkpoint import checkpoints, read_state
from infbrush_wsi.training.config import RUN_FILE, RunConfig
from infbrush_wsi.training.curriculum import check_curriculum
from infbrush_wsi.training.determinism import deterministic
from infbrush_wsi.training.loop import Report, TrainingLoop
from infbrush_wsi.training.systems import system

MAY_CHANGE = {
    "optim.steps",
    "optim.minutes",
    "data.workers",
    "data.cache_dir",
    "data.cache_bytes",
    "optim.memory_gib",
    "optim.gradient_checkpointing",
}
"""What may differ when a run is continued (and everything under 'record')."""

Started = Callable[[TrainingData, TrainingLoop], None]


def train(
    config: RunConfig,
    out: str | Path,
    *,
    resume: bool = False,
    report: Report | None = None,
    started: Started | None = None,
) -> ModelBundle | None:
    """Train a model into a directory.

    The directory ends up with ``infbrush.json`` and ``denoiser/`` (the model), ``run.yaml``, ``manifest.json``,
    ``metrics.jsonl``, ``previews/``, ``tensorboard/`` and ``checkpoints/``.

    Args:
        config: of the run.
        out: directory.
        resume: go on from the newest checkpoint; the continued run equals an uninterrupted one.
        report: called with (step, scalars) at every logged step.
        started: called once with the data and the loop before the first step.

    Returns:
        the model (None on other processes than the main one).

    Raises:
        OutputExistsError: if `out` holds a run and `resume` is False.
        ConfigError, DatasetError, SourceError, TrainingError: as their names say.
    """
    out = Path(out)
    check_curriculum(config)
    fresh = not out.exists()
    _prepare(config, out, resume)
    accelerator = _accelerator(config.optim.precision)
    lock = FileLock(out / ".lock")
    try:
        if accelerator.is_main_process:
            lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"another process trains in {out}; choose another --out") from error
    try:
        with deterministic(config.optim.deterministic):
            loop, data = _assemble(config, out, accelerator, report, resume)
            if started is not None:
                started(data, loop)
            return loop.run()
    finally:
        lock.release()
        if fresh and not checkpoints(out) and accelerator.is_main_process:
            shutil.rmtree(out, ignore_errors=True)  # nothing was trained, so nothing is left


def _accelerator(precision: str) -> Accelerator:
    try:
        return Accelerator(mixed_precision=precision)
    except ValueError:  # an earlier run of this process had another precision, and accelerate remembers it
        AcceleratorState._reset_state()
        return Accelerator(mixed_precision=precision)


def _assemble(
    config: RunConfig, out: Path, accelerator: Accelerator, report: Report | None, resume: bool
) -> tuple[TrainingLoop, TrainingData]:
    make = system(config.model.system)
    data = load_data(config.data)
    found = checkpoints(out) if resume else []
    facts = read_state(found[-1]).facts if found else {}
    parts = make(config, data, facts, accelerator.process_index, accelerator.num_processes)
    if accelerator.is_main_process:
        (out / RUN_FILE).write_text(config.to_yaml())
        write_json(out / "manifest.json", data.manifest)
    loop = TrainingLoop(config, out, parts, report, accelerator)
    if resume:
        loop.resume()
    return loop, data


def _prepare(config: RunConfig, out: Path, resume: bool) -> None:
    """Refuse to mix two runs in one directory."""
    found = checkpoints(out)
    if found and not resume:
        raise OutputExistsError(
            f"{out} holds a training run; continue it with resume (--resume) or choose another --out"
        )
    if found:
        # An older version knew fewer settings: those that are not there had what is the default now.
        before = RunConfig.parse(read_state(found[-1]).config)
        old, new = (_flat(each.model_dump(mode="json")) for each in (before, config))
        changed = [k for k in new if old[k] != new[k] and k not in MAY_CHANGE and not k.startswith("record.")]
        if changed:
            raise ConfigError(
                f"the run in {out} was started with other values of {', '.join(changed)}; "
                "use the same configuration, or another --out"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the directory {out}: {error}") from error


def _flat(config: dict) -> dict[str, object]:  # type: ignore[type-arg]
    return {f"{part}.{key}": value for part, values in config.items() for key, value in values.items()}
