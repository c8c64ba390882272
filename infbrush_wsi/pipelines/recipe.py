"""How another process makes the same canvas: the model's directory and the arguments of the call.

The network never travels; each process loads it once and keeps the canvases that it has made, with their tiles.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infbrush_wsi.errors import CheckpointError, PlanError

if TYPE_CHECKING:
    from infbrush_wsi.canvas.canvas import Canvas
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

KEPT_CANVASES = 4
_CANVASES: OrderedDict[str, Canvas] = OrderedDict()
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Recipe:
    """What a call of a pipeline was.

    Attributes:
        pipeline: that was called; not part of what travels.
        call: its arguments.
        token: of the canvas, with which the result is compared; empty until it is made portable.
        directory: of the model.
    """

    pipeline: InfBrushPipeline | None
    call: dict[str, Any]
    token: str = ""
    directory: Path | None = None
    _saved: list[Path] = field(default_factory=list, repr=False, compare=False)

    def portable(self, folder: Path, token: str) -> Recipe:
        """Without the network; a model that is in memory only is first saved in `folder`."""
        assert self.pipeline is not None  # noqa: S101
        directory = self.pipeline.bundle.directory
        if directory is None:
            with _LOCK:
                if not self._saved:
                    self.pipeline.save_pretrained(folder / "model")
                    self._saved.append(folder / "model")
            directory = self._saved[0]
        return replace(self, pipeline=None, directory=directory.resolve(), token=token, _saved=[])

    def open(self) -> Canvas:
        """The canvas of this process; made at the first request.

        Raises:
            CheckpointError: if there is no such model directory on this machine.
            PlanError: if what comes out is another canvas, because the model was replaced.
        """
        assert self.directory is not None  # noqa: S101
        with _LOCK:
            if self.token in _CANVASES:
                _CANVASES.move_to_end(self.token)
                return _CANVASES[self.token]
            canvas = _pipeline(self.directory)(**self.call)
            if canvas.token != self.token:
                raise PlanError(
                    f"the model in {self.directory} gives another image than the canvas was made for; "
                    "was it trained on or replaced since?"
                )
            _CANVASES[self.token] = canvas
            while len(_CANVASES) > KEPT_CANVASES:
                _CANVASES.popitem(last=False)
            return canvas


@lru_cache(maxsize=2)
def _pipeline(directory: Path) -> InfBrushPipeline:
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    if not directory.is_dir():
        raise CheckpointError(f"there is no model directory {directory} on this machine; put it on a shared disk")
    return InfBrushPipeline.from_pretrained(directory)
