"""Scratch arrays on disk: windows, mirroring, and a disk that has no room."""

import resource
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.canvas.state import StateArray, read_mirrored
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import OutputError

# What happens on a disk of the size of the first argument, where a file of the second size is made and filled.
FILL = """
import sys
from pathlib import Path
import numpy as np
from infbrush_wsi.canvas import state
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import OutputError
folder, side, sparse = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "sparse"
if sparse:  # a file system that cannot reserve room
    def refuse(*_): raise OSError(state.errno.EOPNOTSUPP, "not supported")
    state.os.posix_fallocate = refuse
stage = "made"
try:
    array = state.StateArray(folder / "a.raw", Shape(side, side), 3)
    stage = "written"
    array.write(Box(0, 0, side, side), np.ones((side, side, 3), np.float32))
except OutputError as error:
    print(stage, error, [p.name for p in folder.iterdir()])
else:
    print("fine", array.path.stat().st_size)
"""


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(23, 31, 2)).astype(np.float32)


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_windows_are_read_as_they_were_written(tmp_path_factory, data):
    h, w = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    dtype = data.draw(st.sampled_from([np.float32, np.uint8]))
    state = StateArray(tmp_path_factory.mktemp("s") / "a.raw", Shape(h, w), 3, dtype)
    expected = np.zeros((h, w, 3), dtype)
    for number in range(3):
        x0, y0 = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
        box = Box(x0, y0, data.draw(st.integers(1, w - x0)), data.draw(st.integers(1, h - y0)))
        patch = np.random.default_rng(number).integers(0, 255, (box.h, box.w, 3)).astype(dtype)
        state.write(box, patch)
        expected[box.slices] = patch
        np.testing.assert_array_equal(state.read(box), patch)
    np.testing.assert_array_equal(state.read(Box(0, 0, w, h)), expected)
    assert state.path.stat().st_size == expected.nbytes


def test_a_view_that_is_not_contiguous_is_written_in_order(tmp_path, values):
    state = StateArray(tmp_path / "a.raw", Shape(31, 23), 2)
    state.write(Box(0, 0, 23, 31), values.transpose(1, 0, 2))
    np.testing.assert_array_equal(state.open(), values.transpose(1, 0, 2))


@pytest.mark.parametrize("box", [Box(-4, -3, 12, 9), Box(20, 15, 20, 20), Box(-70, -60, 180, 150), Box(2, 3, 4, 5)])
def test_outside_the_image_is_mirrored_with_the_edge_repeated(tmp_path, values, box):
    state = StateArray(tmp_path / "a.raw", Shape(23, 31), 2)
    state.write(Box(0, 0, 31, 23), values)
    margin = 100
    padded = np.pad(values, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    x0, y0 = box.x0 + margin, box.y0 + margin
    np.testing.assert_array_equal(read_mirrored(state, box), padded[y0 : y0 + box.h, x0 : x0 + box.w])


def run(code, *arguments, wrap=(), **options):
    command = [*wrap, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, **options)


def test_no_room_for_the_file_is_an_error_and_leaves_none(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # Python ignores SIGXFSZ

    done = run(FILL, tmp_path, 400, "reserved", preexec_fn=limit)
    assert done.stdout.startswith("made cannot make a scratch file of 2 MiB")
    assert done.stdout.endswith("[]\n"), done.stderr
    assert run(FILL, tmp_path, 200, "reserved", preexec_fn=limit).stdout == "fine 480000\n"


@pytest.mark.parametrize(("kind", "message"), [("reserved", "made cannot make"), ("sparse", "written cannot write")])
def test_a_full_disk_is_an_error_and_not_a_bus_error(tmp_path, kind, message):
    """On a real file system of 1 MiB: writing into a mapping of a sparse file would end the process with SIGBUS."""
    script = f'mount -t tmpfs -o size=1m tmpfs "{tmp_path}" && exec "$@"'
    wrap = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    try:
        if subprocess.run([*wrap, "true"], capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    done = run(FILL, tmp_path, 400, kind, wrap=wrap)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(message)
    assert "No space left" in done.stdout


def test_a_folder_that_is_gone_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="scratch file"):
        StateArray(tmp_path / "nowhere" / "a.raw", Shape(3, 3), 1)
    state = StateArray(tmp_path / "a.raw", Shape(3, 3), 1)
    state.remove()
    state.remove()
    with pytest.raises(OutputError, match="cannot write"):
        state.write(Box(0, 0, 3, 3), np.zeros((3, 3, 1), np.float32))
