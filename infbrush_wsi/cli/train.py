"""`infbrush train`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from infbrush_wsi.cli import options as o
from infbrush_wsi.cli.console import examples, messages, notice
from infbrush_wsi.cli.progress import TrainingProgress
from infbrush_wsi.cli.settings import default_labels, merged, read_mapping, second_stage
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from infbrush_wsi.training.build import TrainingData
    from infbrush_wsi.training.config import RunConfig
    from infbrush_wsi.training.loop import TrainingLoop

EPILOG = examples(
    "infbrush train --source slide.svs --mpp 1.0 --minutes 30 --out model",
    "infbrush train --source tiles/ --labels folder --assume-mpp 0.42 --steps 5000 --out model",
    "infbrush train --source slides/ --embeddings embeddings.zarr --mpp 0.5 --minutes 30 --out model",
    "infbrush train --source aerial.tif --resolution 0.6 --bands 1,2,3 --steps 5000 --out model",
    "infbrush train --source slide.svs --mpp 1.0 --system infdiff --minutes 30 --out autoencoder",
    "infbrush train --system infdiff-latent --autoencoder autoencoder --steps 5000 --out model",
    "infbrush train --config run.yaml --set optim.decay=0.5 --out model",
    "infbrush train --resume --out model",
)
SHOWN_SKIPPED = 5


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the run.", rich_help_panel=o.RUN)],
    source: o.Sources = None,
    labels: o.Labels = None,
    embeddings: o.Embeddings = None,
    mpp: o.Mpp = None,
    resolution: o.Resolution = None,
    assume_mpp: o.AssumeMpp = None,
    bands: o.Bands = None,
    window: o.Window = None,
    points: o.Points = None,
    sampler: o.Sampler = None,
    validation: o.Validation = None,
    group_pattern: o.GroupPattern = None,
    cache_dir: o.CacheDir = None,
    workers: o.Workers = None,
    system: o.System = None,
    autoencoder: o.Autoencoder = None,
    preset: o.Preset = None,
    batch: o.Batch = None,
    learning_rate: o.LearningRate = None,
    precision: o.TrainPrecision = None,
    seed: o.Seed = None,
    steps: o.Steps = None,
    minutes: o.Minutes = None,
    preview_every: o.PreviewEvery = None,
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    resume: o.Resume = False,
) -> None:
    """Train a model on slides, rasters or images.

    The directory gets the model, its configuration (run.yaml), a manifest of the data with what was skipped and why,
    metrics.jsonl, TensorBoard files and checkpoints from which --resume goes on. Ctrl-C stops after the current step.
    """
    given = {
        "data.sources": source, "data.labels": labels,
        "data.embeddings": None if embeddings is None else str(embeddings), "data.mpp": o.numbers(mpp, "--mpp"),
        "data.resolution": o.numbers(resolution, "--resolution"), "data.assume_mpp": assume_mpp,
        "data.bands": o.numbers(bands, "--bands"), "data.window": window, "data.points": points,
        "data.sampler": sampler, "data.validation": validation, "data.group_pattern": group_pattern,
        "data.cache_dir": None if cache_dir is None else str(cache_dir), "data.workers": workers,
        "model.system": system, "model.autoencoder": None if autoencoder is None else str(autoencoder),
        "model.preset": preset, "optim.batch": batch, "optim.learning_rate": learning_rate,
        "optim.precision": precision, "optim.seed": seed, "optim.steps": steps, "optim.minutes": minutes,
        "record.preview_every": preview_every,
    }  # fmt: skip
    summary = Summary()
    run = configuration(out, given, config, settings or [], resume)
    run_training(run, out, resume=resume)
    made, then = _next(run.model.system, out)
    summary.tell(out, made, then=then)


def _next(system: str, out: Path) -> tuple[str, str]:
    """What a run has made, and how one goes on: systems of two stages need the second before they generate."""
    if system == "infd" or (system == "infdiff" and (out / "encoder").is_dir()):
        second = f"{system}-latent"
        call = f"infbrush train --system {second} --autoencoder {out} --minutes 30 --out {out.name}-latent"
        return "a trained autoencoder, the first of two stages", f"learn its latents with: {call}"
    return "a trained model", f"generate with: infbrush generate {out} --out out.ome.zarr --size 1024x1024"


def configuration(out: Path, given: dict[str, Any], file: Path | None, settings: list[str], resume: bool) -> RunConfig:
    """The validated configuration of a call.

    Raises:
        ConfigError: if it is not valid, or neither a file nor a source is given.
    """
    base = _base(out, file, resume)
    values = merged({} if base is None else read_mapping(base), given, settings)
    if values.get("model", {}).get("autoencoder"):
        values = second_stage(values)
    data, optim = values.setdefault("data", {}), values.get("optim", {})
    if not data.get("sources"):
        raise ConfigError("there is nothing to train on: give --source PATH, --config run.yaml, or --resume")
    if given["optim.steps"] is not None:
        if given["optim.minutes"] is not None:
            raise ConfigError("give --steps or --minutes, not both")
        optim["minutes"] = None
    if "labels" not in data:
        data["labels"] = default_labels(data["sources"])
        messages().print(f"labels: {data['labels']} (chosen by how the images lie; --labels says otherwise)")
    from infbrush_wsi.training.config import RunConfig

    return RunConfig.parse(values)


def _base(out: Path, file: Path | None, resume: bool) -> Path | None:
    stored = out / "run.yaml"
    if resume and file is None:
        if not stored.is_file():
            raise CheckpointError(f"{out} holds no run that could be continued (it has no run.yaml)")
        return stored
    return file


def run_training(config: RunConfig, out: Path, *, resume: bool = False) -> None:
    """Train with a progress bar; Ctrl-C stops after the step that is under way."""
    with messages().status("importing torch"):
        from infbrush_wsi.training.run import train as train_in
    session = _Session()
    try:
        with session.listening():
            train_in(config, out, resume=resume, report=session.report, started=session.started)
        session.tell_unreadable()
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("continue with --resume" if session.loop else "nothing was trained") from interrupt
    finally:
        session.close()


class _Session:
    """What the terminal shows of a run, and how Ctrl-C reaches it."""

    def __init__(self) -> None:
        self.loop: TrainingLoop | None = None
        self._skipped = 0
        self._progress: TrainingProgress | None = None

    def started(self, data: TrainingData, loop: TrainingLoop) -> None:
        self.loop = loop
        self._skipped = len(data.manifest["skipped"])
        if loop.accelerator.is_main_process:
            _summary(data, loop)
            self._progress = TrainingProgress(
                lambda: loop.total_steps, loop.step, lambda: loop.length.seconds_left
            ).__enter__()

    def report(self, step: int, scalars: dict[str, float]) -> None:
        if self._progress is not None:
            self._progress.report(step, scalars)

    def tell_unreadable(self) -> None:
        """Say once more, at the end, what was not trained on: hours lie between it and the start."""
        if self.loop is None or not self.loop.accelerator.is_main_process:
            return
        entries, at_start = self.loop.unreadable.entries, self._skipped
        for entry in entries[:SHOWN_SKIPPED]:
            notice(f"skipped from step {entry['step']} on: {entry['path']}: {entry['reason']}")
        if entries or at_start:
            count = f"{at_start} images were skipped at the start, {len(entries)} while training"
            notice(f"{count}; {self.loop.out / 'manifest.json'} says why")

    def close(self) -> None:
        if self._progress is not None:
            self._progress.__exit__()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block the first Ctrl-C waits for the end of the step, the second does not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupted(self, number: int, frame: object) -> None:
        if self.loop is None or self.loop.stopping:
            raise KeyboardInterrupt
        self.loop.stop()


def _summary(data: TrainingData, loop: TrainingLoop) -> None:
    """What is trained on, on stderr."""
    console = messages()
    counts = data.manifest["counts"]
    sizes = ", ".join(f"{size:g}" for size in data.spacings[:4]) + (" ..." if len(data.spacings) > 4 else "")
    parameters = sum(p.numel() for p in loop.task.network.parameters())
    rows = {
        "images": f"{len(data.images)}" + (f" ({len(data.manifest['held_out'])} held out)" if _held(data) else ""),
        "classes": ", ".join(f"{name} ({counts[name]})" for name in data.classes) or "none",
        "embeddings": "none" if data.embeddings is None else data.embeddings.settings.encoder.name,
        "pixel size": f"{sizes} {data.unit}",
        "bands": ", ".join(data.channel_names),
        "model": f"{loop.config.model.preset}, {parameters / 1e6:.2f} M parameters, {loop.accelerator.device}",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", escape(value))
    console.print(table)
    skipped = data.manifest["skipped"]
    for entry in skipped[:SHOWN_SKIPPED]:
        console.print(f"[yellow]skipped[/] {escape(entry['path'])}: {escape(entry['reason'])}", soft_wrap=True)
    if len(skipped) > SHOWN_SKIPPED:
        console.print(
            f"[yellow]skipped[/] {len(skipped) - SHOWN_SKIPPED} more, see {escape(str(loop.out))}/manifest.json"
        )
    if loop.step:
        console.print(f"continued at step {loop.step}")


def _held(data: TrainingData) -> bool:
    return bool(data.manifest["held_out"])
