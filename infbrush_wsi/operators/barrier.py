"""Global reductions inside a local network.

A denoiser step is local but for a few small sums over all points: the grid, and the key-value sums of linear
attention. The network is written as a generator that *yields* a :class:`Barrier` at each of them and receives the
finished global value. In training, the only tile is the image: :func:`run_whole` finishes each barrier at once. A
renderer instead sums the partials of all tiles and then sends the same finished value to each of them, so that chunked
and whole evaluation are the same computation (∞-Brush canvas: map → reduce → map).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from infbrush_wsi.operators.partial import Partial

Program = Generator["Barrier", Any, Tensor]


@dataclass(frozen=True)
class Barrier:
    """A sum over all points that the network waits for.

    Attributes:
        measure: gives this tile's part of the sum; not called where the finished value is known already.
        finish: turns the sum of all parts into the value to send back (identical on every tile).
    """

    measure: Callable[[], Partial]
    finish: Callable[[Any], Any]

    @cached_property
    def partial(self) -> Partial:
        """This tile's part of the sum."""
        return self.measure()


def run_whole(program: Program) -> Tensor:
    """Run a program whose tile is the whole image: every partial sum is already complete."""
    try:
        barrier = next(program)
        while True:
            barrier = program.send(barrier.finish(barrier.partial))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def run_with(program: Program, known: list[Any], *, suspend: bool = False) -> Barrier | Tensor:
    """Feed the global values that are known; stop at the first unknown one.

    Args:
        program: a fresh program.
        known: global values, in order.
        suspend: leave the program waiting at its barrier, to be continued by `resume`; otherwise it is closed.

    Returns:
        The barrier that waits for global number ``len(known)``, or the program's result if all were known.
    """
    values = iter(known)
    try:
        barrier = next(program)
        for value in values:
            barrier = program.send(value)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    if not suspend:
        program.close()
    return barrier


def resume(program: Program, value: Any) -> Barrier | Tensor:
    """Give a suspended program the global value that it waits for; returns its next barrier or its result."""
    try:
        return program.send(value)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
