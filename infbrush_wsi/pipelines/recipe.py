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
_CANVASES: OrderedDict[tuple[str, Path], Canvas] = OrderedDict()
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Recipe:
    """What a call of a pipeline was.

    Attributes:
        pipeline: that was called; not part of what travels.
        call: its arguments.
        token: of the canvas, with which the result is compared; empty until it is made portable.
        directory: of the model.
        name: hash that a model in memory goes by, which need not be that of the file it was saved to for the journey.
    """

    pipeline: InfBrushPipeline | None
    call: dict[str, Any]
    token: str = ""
    directory: Path | None = None
    name: str | None = None
    _saved: list[Path] = field(default_factory=list, repr=False, compare=False)

    def portable(self, folder: Path, token: str) -> Recipe:
        """Without the network; a model that is in memory only is first saved in `folder`."""
        assert self.pipeline is not None  # noqa: S101
        directory, name = self.pipeline.bundle.directory, None
        if directory is None:
            name = self.pipeline.bundle.weights_sha256
            with _LOCK:
                if not self._saved:
                    self.pipeline.save_pretrained(folder / "model")
                    self._saved.append(folder / "model")
            directory = self._saved[0]
        return replace(self, pipeline=None, directory=directory.resolve(), token=token, name=name, _saved=[])

    def open(self) -> Canvas:
        """The canvas of this process; made at the first request.

        Raises:
            CheckpointError: if there is no such model directory on this machine.
            PlanError: if what comes out is another canvas, because the model was replaced.
        """
        assert self.directory is not None  # noqa: S101
        key = (self.token, self.directory)
        with _LOCK:
            if key in _CANVASES:
                _CANVASES.move_to_end(key)
                return _CANVASES[key]
            canvas = _pipeline(self.directory, self.name)(**self.call)
            if canvas.token != self.token:
                raise PlanError(
                    f"the model in {self.directory} gives another image than the canvas was made for; "
                    "was it trained on or replaced since?"
                )
            _CANVASES[key] = canvas
            while len(_CANVASES) > KEPT_CANVASES:
                _CANVASES.popitem(last=False)
            return canvas


@lru_cache(maxsize=2)
def _pipeline(directory: Path, name: str | None) -> InfBrushPipeline:
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    if not directory.is_dir():
        raise CheckpointError(f"there is no model directory {directory} on this machine; put it on a shared disk")
    pipeline = InfBrushPipeline.from_pretrained(directory)
    if name is not None:
        pipeline.bundle = replace(pipeline.bundle, weights_sha256=name, directory=None)
    return pipeline
