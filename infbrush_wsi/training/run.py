"""Start or continue a training run in a directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from accelerate import Accelerator
from accelerate.state import AcceleratorState

from infbrush_wsi.errors import ConfigError, OutputError, OutputExistsError
from infbrush_wsi.models.bundle import ModelBundle, recover_model, write_json, write_text
from infbrush_wsi.training.build import TrainingData, load_data
from infbrush_wsi.training.checkpoint import checkpoints, read_state, recover_checkpoints
from infbrush_wsi.training.config import RUN_FILE, RunConfig
from infbrush_wsi.training.curriculum import check_curriculum
from infbrush_wsi.training.determinism import deterministic
from infbrush_wsi.training.loop import Report, TrainingLoop
from infbrush_wsi.training.systems import system
from infbrush_wsi.writers.lock import sole_writer

LOCK = ".lock"
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
        OutputError: if another process trains there, or the disk is full or the directory may not be written.
        ConfigError, DatasetError, SourceError, TrainingError: as their names say.
    """
    out = Path(out)
    check_curriculum(config)
    accelerator = _accelerator(config.optim.precision)
    with _claimed(out, accelerator.is_main_process):
        _refuse_another_run(config, out, resume)
        with deterministic(config.optim.deterministic):
            loop, data = _assemble(config, out, accelerator, report, resume)
            if started is not None:
                started(data, loop)
            return loop.run()


@contextmanager
def _claimed(out: Path, main: bool) -> Iterator[None]:
    """Let one run at a time write in `out`, and remove it if nothing was trained in it."""
    fresh = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the directory {out}: {error}") from error
    if not main:
        yield
        return
    with ExitStack() as held:
        try:
            held.enter_context(sole_writer(out, LOCK))
        except OutputError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            raise OutputError(f"another process trains in {out}; choose another --out") from error
        try:
            _put_in_order(out)
            yield
        finally:
            if fresh and not checkpoints(out):
                shutil.rmtree(out, ignore_errors=True)  # nothing was trained, so nothing is left


def _put_in_order(out: Path) -> None:
    try:
        recover_checkpoints(out)
        recover_model(out)
    except OSError as error:
        raise OutputError(f"cannot put in order what a killed process left in {out}: {error}") from error


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
        try:
            write_text(out / RUN_FILE, config.to_yaml())
            write_json(out / "manifest.json", data.manifest)
        except OSError as error:
            raise OutputError(f"cannot write into {out}: {error.strerror or error}") from error
    loop = TrainingLoop(config, out, parts, report, accelerator)
    if resume:
        loop.resume()
    return loop, data


def _refuse_another_run(config: RunConfig, out: Path, resume: bool) -> None:
    """Refuse to mix two runs in one directory."""
    found = checkpoints(out)
    if not found:
        return
    if not resume:
        raise OutputExistsError(
            f"{out} holds a training run; continue it with resume (--resume) or choose another --out"
        )
    # An older version knew fewer settings: those that are not there had what is the default now.
    before = RunConfig.parse(read_state(found[-1]).config)
    old, new = (_flat(each.model_dump(mode="json")) for each in (before, config))
    changed = [k for k in new if old[k] != new[k] and k not in MAY_CHANGE and not k.startswith("record.")]
    if changed:
        raise ConfigError(
            f"the run in {out} was started with other values of {', '.join(changed)}; "
            "use the same configuration, or another --out"
        )


def _flat(config: dict) -> dict[str, object]:  # type: ignore[type-arg]
    return {f"{part}.{key}": value for part, values in config.items() for key, value in values.items()}
