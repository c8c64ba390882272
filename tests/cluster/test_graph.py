"""The graph of a giant canvas: quickly made, and small."""

import pickle

import pytest


@pytest.mark.parametrize("level", [0, 3])
def test_a_giant_canvas_has_a_small_graph(pipeline, level):
    canvas = pipeline("Invasive", (100_000, 100_000), num_inference_steps=20)
    lazy = canvas.to_dask(level, chunk=1024)
    side = -(-100_000 // 2**level)
    assert lazy.shape == (side, side, 3)
    assert lazy.npartitions == (-(-side // 1024)) ** 2
    assert len(pickle.dumps(lazy)) < 10_000
    assert len(lazy.__dask_graph__().layers) == 2
    assert not canvas.reader.plan.has(canvas.reader.plan.stages[-1], (0, 0))
