"""How another process makes the same canvas: the model's directory and the arguments of the call.

The network never travels; each process loads it once and keeps the canvases that it has made, with their tiles.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from infbrush_wsi.errors import CheckpointError, PlanError

if TYPE_CHECKING:
    from infbrush_wsi.canvas.canvas import Canvas
    from infbrush_wsi.models.bundle import ModelBundle

KEPT_CANVASES = 4
_CANVASES: OrderedDict[tuple[str, Path], Canvas] = OrderedDict()
_LOCK = threading.Lock()


class Pipeline(Protocol):
    """A pipeline of any system, as recipes see it."""

    bundle: ModelBundle

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> Self:
        """Load a model directory."""
        ...

    def save_pretrained(self, directory: str | Path) -> None:
        """Write the model to a directory."""
        ...

    def __call__(self, **call: Any) -> Canvas:
        """Describe an image."""
        ...


@dataclass(frozen=True)
class Recipe:
    """What a call of a pipeline was.

    Attributes:
        pipeline: that was called; not part of what travels.
        call: its arguments.
        token: of the canvas, with which the result is compared; empty until it is made portable.
        directory: of the model.
        kind: class of the pipeline, module:name, which another process imports when it needs it.
        name: hash that a model in memory goes by, which need not be that of the file it was saved to for the journey.
    """

    pipeline: Any
    call: dict[str, Any]
    token: str = ""
    directory: Path | None = None
    kind: str = ""
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
        kind = f"{type(self.pipeline).__module__}:{type(self.pipeline).__name__}"
        travelling = replace(self, pipeline=None, kind=kind, token=token, name=name, _saved=[])
        return replace(travelling, directory=directory.resolve())

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
            canvas = _pipeline(self.kind, self.directory, self.name)(**self.call)
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
def _pipeline(kind: str, directory: Path, name: str | None) -> Pipeline:
    if not directory.is_dir():
        raise CheckpointError(f"there is no model directory {directory} on this machine; put it on a shared disk")
    module, _, class_name = kind.partition(":")
    pipeline: Pipeline = getattr(import_module(module), class_name).from_pretrained(directory)
    if name is not None:
        pipeline.bundle = replace(pipeline.bundle, weights_sha256=name, directory=None)
    return pipeline
