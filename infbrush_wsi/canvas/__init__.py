"""A generated image that is a function with a seed: what it is (spec), how it is rendered, how it is read."""

from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.canvas.spec import CanvasSpec

__all__ = ["Canvas", "CanvasSpec"]
