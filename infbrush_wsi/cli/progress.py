"""Progress of training and of rendering: a live line on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from infbrush_wsi.cli.console import messages

SMOOTHING = 0.8
"""Of the shown loss and pace, per reported step."""
PLAIN_SECONDS = 15.0
"""Between two plain lines."""


class TrainingProgress:
    """Shows step, loss, pace and time left of a run; used as a context manager.

    Args:
        total: gives the number of steps, None while it is not known.
        first: step at which the run starts.
        seconds_left: of a run that is limited in time, while `total` gives None.
        console: None: stderr.
    """

    def __init__(
        self,
        total: Callable[[], int | None],
        first: int = 0,
        seconds_left: Callable[[], float | None] = lambda: None,
        console: Console | None = None,
    ) -> None:
        self.console = console or messages()
        self._total, self._first, self._seconds_left = total, first, seconds_left
        self._loss: float | None = None
        self._seconds: float | None = None
        self._told = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(), TextColumn("[bold]training"), BarColumn(bar_width=16),
            TextColumn("{task.fields[line]}"), console=self.console, disable=not self.console.is_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("training", total=self._total(), completed=self._first, line="first steps ...")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def report(self, step: int, scalars: dict[str, float]) -> None:
        """Take the scalars of a logged step."""
        self._loss = _smooth(self._loss, scalars["loss"])
        self._seconds = _smooth(self._seconds, scalars["seconds_per_step"])
        total = self._total()
        line = self._line(step, total, scalars["waiting_for_data"])
        if self._task is not None:
            self._bar.update(self._task, completed=step, total=total, line=line)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self._told > PLAIN_SECONDS or step == total):
            self._told = now
            self.console.print(f"training {line}", soft_wrap=True)

    def _line(self, step: int, total: int | None, waiting: float) -> str:
        seconds = self._seconds or 0.0
        left = duration((self._seconds_left() or 0.0) if total is None else (total - step) * seconds)
        pace = f"{1 / seconds:.2f} it/s" if seconds else ""
        return f"{step}/{total or '?'}  loss {self._loss:.4f}  {pace}  data wait {100 * waiting:.0f} %  {left} left"


def _smooth(before: float | None, now: float) -> float:
    return now if before is None else SMOOTHING * before + (1 - SMOOTHING) * now


class Pace:
    """Time left, by the pace of this run: what an earlier one has done counts as done and not as fast."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._started = now()
        self._first: int | None = None

    def left(self, done: int, total: int) -> float | None:
        """Seconds; None while nothing is done in this run."""
        if self._first is None:
            # What earlier runs have done comes in one call, before this one has done anything.
            self._first = done if done > 1 else 0
            self._started = self._now() if self._first else self._started
        mine = done - self._first
        return (self._now() - self._started) / mine * (total - done) if mine else None

    @property
    def earlier(self) -> int:
        """How much was done before."""
        return self._first or 0


@contextmanager
def counting(title: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """A bar with time left; gives a callback for (done, total).

    Args:
        title: what is going on.
        console: None: stderr.
    """
    chosen = console or messages()
    pace = Pace()
    if not chosen.is_terminal:
        yield _plain(title, chosen, pace)
        return
    columns: list[Any] = [
        SpinnerColumn(), TextColumn(f"[bold]{title}"), BarColumn(bar_width=16),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"), TextColumn("{task.fields[line]}"),
    ]  # fmt: skip
    with Progress(*columns, console=chosen) as bar:
        task = bar.add_task(title, total=1, line="")
        yield lambda done, total: bar.update(task, completed=done, total=total, line=_line(pace, done, total))


def _plain(title: str, console: Console, pace: Pace) -> Callable[[int, int], None]:
    told, known = time.monotonic(), False

    def report(done: int, total: int) -> None:
        nonlocal told, known
        line, now = _line(pace, done, total), time.monotonic()
        going_on, known = pace.earlier > 0 and not known, True
        if done == total or going_on or now - told > PLAIN_SECONDS:
            told = now
            console.print(f"{title} {done}/{total}, {line}", soft_wrap=True)

    return report


def _line(pace: Pace, done: int, total: int) -> str:
    left = pace.left(done, total)
    earlier = f" ({pace.earlier} of an earlier run)" if pace.earlier else ""
    return f"{'? s' if left is None else duration(left)} left{earlier}"


def duration(seconds: float) -> str:
    """'45 s', '3 min 05 s' or '2 h 10 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
