"""Batches of a run in their order, from workers that may die."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import torch
from torch.utils.data import DataLoader

from infbrush_wsi.errors import TrainingError
from infbrush_wsi.training.task import Batch, Batches
from infbrush_wsi.training.unreadable import Delivered, Deliveries, Unreadable, shared_board
from infbrush_wsi.training.window_dataset import WindowDataset

DEATHS = 2
"""An image that as many workers die of is left out: one may have been ended for another reason."""
UNEXPLAINED = 3
"""So often workers may die in a row of what is no image's fault, before the run ends."""
DEAD = re.compile(r"DataLoader worker \(pid(?:\(s\))?:? ([\d, ]+)\)")


class BatchLoader:
    """Makes batches beside the training; one that cannot be made is an error of this package.

    A worker that dies, because a library crashed or the system ran out of memory, is replaced, and the batches that it
    had not made are made again: they are functions of their numbers. An image that two workers died of is left out.

    Args:
        dataset: item k is the batch of step k.
        numbers: of the steps that are still to do, at the time of the call.
        workers: loader processes; 0 loads in this process, which a crash then ends.
        pin_memory: for a GPU.
        unreadable: the run's record.
        step: that the run is at.
    """

    def __init__(
        self,
        dataset: Batches,
        numbers: Iterable[int],
        *,
        workers: int,
        pin_memory: bool,
        unreadable: Unreadable,
        step: Callable[[], int],
    ) -> None:
        self._dataset, self._numbers, self._workers, self._pin = dataset, numbers, workers, pin_memory
        self._unreadable, self._step = unreadable, step
        self._died: Counter[int] = Counter()
        self._unexplained = 0
        self._board: torch.Tensor | None = None

    def __iter__(self) -> Iterator[tuple[Batch, float]]:
        """Batches with the seconds that each was waited for.

        Raises:
            TrainingError: if a batch cannot be made, or workers die again and again.
        """
        asked = time.perf_counter()
        while True:
            try:
                for delivered in self._started():
                    yield self._opened(delivered), time.perf_counter() - asked
                    self._unexplained = 0
                    asked = time.perf_counter()
            except RuntimeError as error:
                self._after_death(error)
            else:
                return

    def _started(self) -> Iterator[Delivered]:
        if isinstance(self._dataset, WindowDataset):
            self._dataset.leave_out(self._unreadable.left_out)
            self._board = shared_board(self._workers) if self._workers else None
            self._dataset.board = self._board
        before = signal.getsignal(signal.SIGCHLD)
        found = iter(
            DataLoader(
                Deliveries(self._dataset),
                batch_size=None,
                sampler=self._numbers,
                num_workers=self._workers,
                worker_init_fn=_ignore_interrupts,
                prefetch_factor=3 if self._workers else None,
                pin_memory=self._pin,
            )
        )
        if self._workers and threading.current_thread() is threading.main_thread():
            # torch would raise in the middle of whatever is computed when a worker dies; it is noticed soon enough.
            signal.signal(signal.SIGCHLD, before)
        return found

    def _opened(self, delivered: Delivered) -> Batch:
        self._unreadable.add(self._step(), delivered.unreadable)
        if delivered.batch is None:
            raise TrainingError(
                f"no batch can be made for step {self._step()}: {delivered.error}; mend the images and continue with "
                "resume (--resume)"
            ) from delivered.error
        return delivered.batch

    def _after_death(self, error: RuntimeError) -> None:
        """Find the image that a dead worker was reading.

        Raises:
            RuntimeError: the same, if it does not say that a worker died.
            TrainingError: if workers die without a reason that can be found.
        """
        told = DEAD.search(str(error))
        if told is None:
            raise error
        processes = {int(number) for number in told.group(1).split(",") if number.strip()}
        board = [] if self._board is None else self._board.tolist()
        blamed = [image for process, image in board if process in processes and image >= 0]
        self._died.update(blamed)
        lost = {image: f"{DEATHS} loader processes died while they read it" for image in blamed
                if self._died[image] >= DEATHS}  # fmt: skip
        self._unreadable.add(self._step(), lost, left_out=True)
        self._unexplained += not blamed
        if self._unexplained > UNEXPLAINED:
            raise TrainingError(
                f"the loader's processes die again and again at step {self._step()} ({str(error).splitlines()[0]}); is "
                "there enough memory? data.workers=0 loads without them; continue with resume (--resume)"
            ) from error


def _ignore_interrupts(worker: int) -> None:
    # Ctrl-C reaches the loader's processes too; the training process alone decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
