"""One pipeline a system: a model directory in, canvases out."""
