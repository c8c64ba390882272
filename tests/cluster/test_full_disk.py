"""A disk that is full while a canvas is rendered: a clear error, finished chunks stay, and the next call goes on."""

import resource
from contextlib import contextmanager

import pytest

from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers import partial_folder


@contextmanager
def disk_full_after(chunks):
    """A callback of progress; no file may grow beyond some bytes once so many chunks are written."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def tell(done, total):
        if done >= chunks:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, old[1]))

    try:
        yield tell
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def files(target):
    """Chunks of pixels that are there."""
    return {
        str(path.relative_to(partial_folder(target))): path.read_bytes()
        for path in partial_folder(target).glob("store-*/?/c/**/*")
        if path.is_file()
    }


LIMITS = {"output": CacheLimits(), "scratch": CacheLimits(memory=1 << 17, disk=1 << 19)}
MESSAGES = {"output": r"File too large.*free some space.*resume", "scratch": r"computed pixels in .*File too large"}


@pytest.mark.parametrize("again", ["same canvas", "new canvas"])
@pytest.mark.parametrize("full", ["output", "scratch"])
def test_a_full_disk_is_told_and_the_next_call_goes_on(pipeline, killed, whole, tree, tmp_path, full, again):
    target = tmp_path / "x.ome.zarr"
    canvas = killed["make"](pipeline, LIMITS[full])
    with disk_full_after(6) as tell, pytest.raises(OutputError, match=MESSAGES[full]) as caught:
        killed["write"](canvas, target, progress=tell, resume=True)
    assert "resume to go on" in " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    before = files(target)
    assert len(before) >= 6
    calls = []
    canvas = canvas if again == "same canvas" else killed["make"](pipeline, LIMITS[full])
    killed["write"](canvas, target, progress=lambda done, total: calls.append(done), resume=True)
    assert calls[0] >= 6
    assert tree(target) == tree(whole)
    kept = set(tree(target).values())
    assert sum(data in kept for data in before.values()) >= 6
