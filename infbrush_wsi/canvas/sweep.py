"""Rendering a whole level by its plan: all tiles advance a few steps, exchange halos through files, and go on.

With the halo that these few steps look away, every tile is exact, so the result is the one-piece rendering to
rounding. The cost is linear in the pixels and memory follows the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dask.base import compute
from dask.delayed import delayed

from infbrush_wsi.canvas.reader import Progress
from infbrush_wsi.canvas.state import StateArray
from infbrush_wsi.canvas.tile import Lens, TileRun
from infbrush_wsi.domain import Box, tiles
from infbrush_wsi.operators.one_thread import one_torch_thread

EXCHANGE = 2
"""Steps between two exchanges: the halo that they need is then small beside a tile of 256 pixels."""
TILES_AT_ONCE = 32


@dataclass
class Sweep:
    """Renders T x_0 of a level into a file.

    Attributes:
        lens: stage and resolution.
        tile: side of the tiles.
        folder: for scratch files.
        exchange: steps between two exchanges of halos.
        scheduler: Dask scheduler that runs the tiles of a pass; it must see the folder.
    """

    lens: Lens
    tile: int
    folder: Path
    exchange: int = EXCHANGE
    scheduler: str = "threads"

    def render(self, progress: Progress | None = None) -> StateArray:
        """Run all steps.

        Args:
            progress: called with (tiles done, tiles in all).

        Returns:
            T x_0, float32 (h, w, C); the caller removes it.

        Raises:
            OutputError: if the scratch disk is full; scratch files are removed.
        """
        steps, boxes = len(self.lens.generator.table), list(tiles(self.lens.image, self.tile))
        passes = [(k, min(k + self.exchange, steps)) for k in range(0, steps, self.exchange)]
        files: list[list[StateArray]] = []
        try:
            files = [self._files(side) for side in ("a", "b")]
            for number, (first, end) in enumerate(passes):
                before, after = files[number % 2], files[(number + 1) % 2]
                for start in range(0, len(boxes), TILES_AT_ONCE):
                    some = boxes[start : start + TILES_AT_ONCE]
                    work = [delayed(self._advance)(box, first, end, before, after) for box in some]
                    compute(*work, scheduler=self.scheduler)
                    if progress is not None:
                        progress(number * len(boxes) + start + len(some), len(passes) * len(boxes))
        except BaseException:
            for path in self.folder.glob("sweep-*.raw"):
                path.unlink(missing_ok=True)
            raise
        result, *rest = files[len(passes) % 2]
        for file in (*rest, *files[(len(passes) + 1) % 2]):
            file.remove()
        return result

    def _files(self, side: str) -> list[StateArray]:
        """One for the state and one for each past prediction."""
        image, channels = self.lens.image, self.lens.generator.channels
        names = [f"sweep-{side}-{k}.raw" for k in range(1 + self.lens.memory)]
        return [StateArray(self.folder / name, image, channels) for name in names]

    def _advance(
        self, box: Box, first: int, end: int, before: Sequence[StateArray], after: Sequence[StateArray]
    ) -> None:
        """Some steps of a tile, from files to files."""
        margins = [self.lens.reach * (end - k) for k in range(first, end + 1)]
        wide = box.pad(margins[0]).clip(self.lens.image)
        with one_torch_thread(), torch.no_grad():
            state = None
            if first:
                x, *past = (torch.from_numpy(file.read(wide)) for file in before)
                state = (x, past[:first])
            run = TileRun(self.lens, box, margins, first, state)
            run.advance(end)
        for file, values in zip(after, (run.x, *run.past), strict=False):
            file.write(box, values.numpy())
