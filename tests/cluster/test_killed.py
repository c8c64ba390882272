"""Killed while rendering: the next call goes on, and every byte is that of an uninterrupted write."""

import numpy as np
import pytest

from infbrush_wsi import open_source


def kill(tmp_path, script, saved, tree, whole, kills, longest, seed):
    (line,) = script("_killed_rendering.py", saved, tmp_path, kills, longest, seed)
    images, met = map(int, line.split())
    expected = tree(whole)
    for number in range(images):
        assert tree(tmp_path / f"{number}.ome.zarr") == expected
    assert len(list(tmp_path.iterdir())) == images
    return met


def test_the_store_is_what_is_read(pipeline, killed, whole):
    canvas = killed["make"](pipeline)
    with open_source(whole) as source:
        assert source.level_shapes == canvas.level_shapes
        for level, (h, w) in enumerate(canvas.level_shapes):
            expected = canvas.read_region((0, 0), level, (w, h))
            np.testing.assert_array_equal(source.read_region((0, 0), level, (w, h)), expected)


def test_five_kills_while_rendering(tmp_path, script, saved, tree, whole):
    assert kill(tmp_path, script, saved, tree, whole, 5, 0.8, 3) >= 1


@pytest.mark.slow
def test_fifty_kills_at_random_moments(tmp_path, script, saved, tree, whole):
    assert kill(tmp_path, script, saved, tree, whole, 50, 1.5, 4) > 25


@pytest.mark.slow
@pytest.mark.timeout(900)  # eight worker processes import torch, two at a time
def test_a_cluster_may_lose_its_workers(tmp_path, script, saved, tree, whole):
    """Lost chunks are rendered by another worker; where the cluster gives up, the next call goes on."""
    lines = script("_lost_workers.py", saved, tmp_path, seconds=850)
    retried, message, failed, there, resumed = lines
    assert message.startswith("failed: ")
    assert "KilledWorker" in message
    assert "resume to go on" in message
    assert there == "False"
    retried, failed, resumed = ([int(word) for word in line.split()] for line in (retried, failed, resumed))
    total = retried[-1]
    assert retried == list(range(1, total + 1))
    assert 6 <= len(failed) < total
    assert resumed[0] >= len(failed)
    assert resumed == list(range(resumed[0], total + 1))
    assert tree(tmp_path / "retried.ome.zarr") == tree(tmp_path / "failed.ome.zarr") == tree(whole)
    assert len(list(tmp_path.iterdir())) == 3
