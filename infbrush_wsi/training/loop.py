"""The training loop: steps, EMA, logs, checkpoints, resuming."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn

from infbrush_wsi.errors import InfbrushError, OutputError, TrainingError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.training.average import weight_average
from infbrush_wsi.training.checkpoint import (
    Trained,
    TrainingState,
    checkpoints,
    load_checkpoint,
    save_checkpoint,
    step_of,
)
from infbrush_wsi.training.config import OptimConfig, RunConfig
from infbrush_wsi.training.duration import RunLength
from infbrush_wsi.training.loader import BatchLoader
from infbrush_wsi.training.opponent import opposed
from infbrush_wsi.training.record import RunRecord
from infbrush_wsi.training.task import Assembly, Batch
from infbrush_wsi.training.undisturbed import undisturbed
from infbrush_wsi.training.unreadable import Unreadable

Report = Callable[[int, dict[str, float]], None]


class TrainingLoop:
    """One run in one directory.

    Args:
        config: of the run.
        out: its directory.
        parts: what is trained, and on what.
        report: called with (step, scalars) at every logged step.
        accelerator: that the run computes with.

    Attributes:
        unreadable: images that could not be read while training.
    """

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        parts: Assembly,
        report: Report | None = None,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.config, self.out, self.report = config, out, report
        self.task, self.dataset, self.facts = parts.task, parts.dataset, parts.facts
        self.accelerator = accelerator or Accelerator(mixed_precision=config.optim.precision)
        self.rate = config.optim.learning_rate or self.task.learning_rate
        self.task.network.to(self.accelerator.device)
        self.average = weight_average(self.task.network, config.optim.ema, ramp=config.optim.ema_ramp)
        self.task.prepare()
        optimizer = torch.optim.Adam(self.task.network.parameters(), lr=self.rate, betas=config.optim.betas, fused=True)
        self.network, self.optimizer = self.accelerator.prepare(self.task.network, optimizer)
        self.opponent = opposed(self.task, config, self.accelerator)
        self.step = 0
        self.length = RunLength(config.optim, self.facts)
        self.stopping = False
        paths = [image.source.path for image in getattr(self.dataset, "images", ())]
        self.unreadable = Unreadable(out, self.facts, paths, write=self.accelerator.is_main_process)
        self._begun = 0
        self._whole = True  # whether weights, averages and optimisers are those of one step
        self._together = False  # whether all processes end for the same reason

    @property
    def averaged(self) -> nn.Module:
        """The network with its averaged weights, in evaluation mode: what is previewed and saved."""
        return self.average.module

    @property
    def total_steps(self) -> int | None:
        """Steps of the whole run; None while a run that is limited in time still measures its pace."""
        return self.length.total

    def stop(self) -> None:
        """Let the run end after the step that is under way, as an interrupt does; may be called by a signal handler."""
        self.stopping = True

    def resume(self) -> int:
        """Load the newest checkpoint, if there is one; returns the step to go on from."""
        found = checkpoints(self.out)
        if found:
            state = load_checkpoint(
                found[-1], self.task.network, self.average, self.optimizer.optimizer, self._others()
            )
            self.step = state.step
        return self.step

    def run(self) -> ModelBundle | None:
        """Train to the last step and save the model.

        Returns:
            the saved model (None on other processes than the main one).

        Raises:
            TrainingError: if the loss is not finite, or batches cannot be made; the last good state has been saved.
            SourceError: if an image cannot be read any more; likewise.
            OutputError: if the disk is full; earlier checkpoints are kept.
        """
        record = RunRecord(self.out, self.step) if self.accelerator.is_main_process else None
        self.length, self._begun = RunLength(self.config.optim, self.facts, self.step), self.step
        try:
            self._steps(record)
        except (InfbrushError, KeyboardInterrupt) as error:
            self._keep(error)
            raise
        finally:
            if record is not None:
                record.close()
        self._save(final=True)
        if not self.accelerator.is_main_process:
            return None
        return self.task.load(self.out)  # the averaged weights; training goes on with the others

    def _steps(self, record: RunRecord | None) -> None:
        settings = self.config.record
        waited, losses, started, since = 0.0, [], time.perf_counter(), self.step
        for batch, wait in self._batches():
            waited += wait
            losses.append(self._train_step(batch))
            self._measure()
            last = self.step == self.total_steps
            if self.step % settings.log_every == 0 or last:
                elapsed = time.perf_counter() - started
                scalars = {
                    "loss": sum(losses) / len(losses),
                    "learning_rate": self.optimizer.param_groups[0]["lr"],
                    "seconds_per_step": elapsed / (self.step - since),
                    "waiting_for_data": waited / elapsed,
                }
                if self.opponent is not None:
                    scalars["opponent_loss"] = self.opponent.mean_loss()
                self._log(record, scalars)
                waited, losses, started, since = 0.0, [], time.perf_counter(), self.step
            computed = time.perf_counter()
            if settings.preview_every and (self.step % settings.preview_every == 0 or last):
                self._preview(record)
            if self.step % settings.checkpoint_every == 0 and not last:
                self._save(final=False)
            started += time.perf_counter() - computed  # pictures and checkpoints are no step's time
            if last:
                return  # batches that were fetched before the end was known are left
            if self.stopping:
                raise KeyboardInterrupt

    def _measure(self) -> None:
        """Fix the number of steps of a run that is limited in time: the main process decides for all."""
        if self.total_steps is None:
            found = self.length.observe(self.step) or 0
            agreed = int(broadcast(torch.tensor([found], device=self.accelerator.device))[0])
            if agreed:
                self.length.fix(agreed)

    def _batches(self) -> BatchLoader:
        """Batches from the current step on, with the seconds that each was waited for."""
        return BatchLoader(
            self.dataset,
            _Numbers(self),
            workers=self.config.data.workers,
            pin_memory=self.accelerator.device.type == "cuda",
            unreadable=self.unreadable,
            step=lambda: self.step,
        )

    def _train_step(self, batch: Batch) -> float:
        optim = self.config.optim
        torch.manual_seed(optim.seed * 1_000_003 + self.step)  # dropout: the same after a resume
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * self._share()
        moved = batch.to(self.accelerator.device)
        self.network.train()
        with self.accelerator.autocast():
            loss = self.task.losses(self.network, moved).mean()
        value = float(self.accelerator.reduce(loss.detach(), "mean"))  # of all processes, so that all stop together
        self._require_finite("loss", value)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), optim.clip)
        if optim.precision != "fp16":  # there the gradient scaler leaves out such steps
            self._require_finite("gradient's norm", float(norm))
        with undisturbed():
            self._whole = False
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.average.update_parameters(self.task.network)
            if self.opponent is not None:
                self.opponent.step(moved, self._share(), lambda loss: self._require_finite("opponent's loss", loss))
            self.step += 1
            self._whole = True
        return value

    def _share(self) -> float:
        """Of the full learning rate, at this step."""
        return schedule(self.step, self.config.optim, self.total_steps)

    def _others(self) -> dict[str, Trained]:
        """What checkpoints hold beside the network."""
        return {} if self.opponent is None else {"opponent": self.opponent.trained}

    def _require_finite(self, what: str, value: float) -> None:
        """All processes see the same value."""
        if not math.isfinite(value):
            self._together = True
            places = "; ".join(map(str, self.dataset.places(self.step)))
            raise TrainingError(
                f"the {what} is {value} at step {self.step}, whose batch is {places}; lower the learning rate or look "
                "at these images"
            )

    def _keep(self, error: BaseException) -> None:
        """Save the state that an error leaves, if that is good, and add to the error where a continued run begins."""
        if self.accelerator.is_main_process:
            if self._whole and self.step > self._begun and not isinstance(error, OutputError):
                try:
                    self._write(final=False)
                except OutputError as full:
                    error.add_note(str(full))
            if found := checkpoints(self.out):
                step = step_of(found[-1])
                error.add_note(f"The state of step {step} is saved in {self.out}: --resume goes on from there.")
        if self._together:
            self.accelerator.wait_for_everyone()  # one that ended now would end the one that saves

    def _log(self, record: RunRecord | None, scalars: dict[str, float]) -> None:
        if record is not None:
            record.scalars(self.step, **scalars)
        if self.report is not None:
            self.report(self.step, scalars)

    def _preview(self, record: RunRecord | None) -> None:
        if record is None:
            return
        settings = self.config.record
        sheet = self.task.preview(self.averaged, settings.preview_steps, settings.preview_size)
        if sheet is not None:
            record.picture(self.step, sheet)

    def _save(self, *, final: bool) -> None:
        """Write a resumable checkpoint and the model directory (averaged weights), when all processes are here."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self._write(final=final)

    def _write(self, *, final: bool) -> None:
        state = TrainingState(self.step, self.config.model_dump(mode="json"), self.facts)
        network, keep = self.task.network, self.config.record.keep
        save_checkpoint(self.out, state, network, self.average, self.optimizer.optimizer, keep, self._others())
        self.task.save(self.out, self.averaged, {"steps": self.step, "finished": final})


def schedule(step: int, optim: OptimConfig, total: int | None) -> float:
    """Learning rate at a step as a share of the full rate: linear warm-up, constant, cosine to zero at the end.

    Args:
        step: steps done before.
        optim: settings of the run.
        total: steps of the run; None: not known yet, so the end is far.
    """
    rise = min(1.0, (step + 1) / max(optim.warmup, 1))
    if total is None or step < (start := total * (1 - optim.decay)):
        return rise
    return rise * 0.5 * (1 + math.cos(math.pi * (step - start) / max(total - start, 1)))


class _Numbers:
    """The steps that are still to do; their end may become known on the way."""

    def __init__(self, loop: TrainingLoop) -> None:
        self._loop = loop

    def __iter__(self) -> Iterator[int]:
        number = self._loop.step
        while (total := self._loop.total_steps) is None or number < total:
            yield number
            number += 1
