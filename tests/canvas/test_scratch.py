"""Files of a rendering: bounded memory, and none left when it ends, fails or is forgotten."""

import gc
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from infbrush_wsi.errors import OutputError, RegionError

SMALL = {"size": (100, 64), "tile": 32, "engine": "joint"}


def files(canvas):
    return sorted(path.name for path in canvas.reader.folder.iterdir())


def test_after_rendering_only_the_levels_are_left(make_canvas):
    canvas = make_canvas().render()
    assert files(canvas) == ["level-0.raw", "level-1.raw", "level-2.raw"]
    sizes = [(canvas.reader.folder / name).stat().st_size for name in files(canvas)]
    assert sizes == [3 * h * w for h, w in canvas.level_shapes]


@contextmanager
def failing_after(denoiser, calls):
    """The network fails in a forward pass, in the middle of a step."""
    count = iter(range(calls))

    def fail(*_):
        if next(count, None) is None:
            raise RuntimeError("the network failed")

    handle = denoiser.head.register_forward_hook(fail)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("calls", [0, 11])
@pytest.mark.parametrize("form", ["region", "dask"])
def test_an_error_in_the_network_leaves_no_file_and_a_canvas_that_still_works(make_pipeline, calls, form):
    pipeline = make_pipeline()
    canvas = pipeline("Normal", num_inference_steps=2, **SMALL)

    def read():
        return canvas.read_region((0, 0), 0, (100, 64)) if form == "region" else canvas.to_dask().compute()

    with failing_after(pipeline.denoiser, calls), pytest.raises(RuntimeError, match="the network failed"):
        read()
    assert not canvas.rendered
    assert files(canvas) == []
    expected = pipeline("Normal", num_inference_steps=2, **SMALL).read_region((0, 0), 0, (100, 64))
    np.testing.assert_array_equal(read(), expected)


def test_an_error_in_a_sweep_is_told_and_a_later_read_works(make_pipeline):
    """A sweep has its plan in the same folder, and a canvas that travelled its model."""
    pipeline = make_pipeline()
    call = SMALL | {"engine": "sweep", "num_inference_steps": 2}
    canvas = pipeline("Normal", **call)
    canvas.portable()
    with failing_after(pipeline.denoiser, 4), pytest.raises(RuntimeError, match="the network failed"):
        canvas.read_region((0, 0), 0, (100, 64))
    assert not [name for name in files(canvas) if name.endswith(".raw")]
    assert "model" in files(canvas)
    expected = pipeline("Normal", **call).read_region((0, 0), 0, (100, 64))
    np.testing.assert_array_equal(canvas.read_region((0, 0), 0, (100, 64)), expected)


def test_an_interrupt_leaves_no_file(make_canvas):
    canvas = make_canvas(**SMALL)

    def interrupt(done, total):
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        canvas.render(interrupt)
    assert files(canvas) == []


def test_values_that_are_no_numbers_are_an_error_and_leave_no_file(make_pipeline):
    """The network gives NaN: found where the result is sharpened, after the engine."""
    pipeline = make_pipeline(seed=2)
    canvas = pipeline("Normal", num_inference_steps=2, **SMALL)
    with torch.no_grad():
        pipeline.denoiser.head.bias.fill_(float("nan"))
    with pytest.raises(RegionError, match="not finite"):
        canvas.render()
    assert files(canvas) == []


def test_a_forgotten_canvas_takes_its_files_along(make_canvas, tmp_path):
    canvas = make_canvas(**SMALL, workdir=tmp_path / "made" / "here").render()
    folder = canvas.reader.folder
    assert folder.parent == tmp_path / "made" / "here"
    assert list(folder.iterdir())
    del canvas
    gc.collect()
    assert not folder.exists()
    assert folder.parent.is_dir()


def test_files_are_gone_when_the_process_ends(tmp_path):
    code = (
        "import sys; from pathlib import Path; from infbrush_wsi.canvas import Canvas, CanvasSpec\n"
        "from infbrush_wsi.domain import Lattice, Shape\n"
        "spec = CanvasSpec(Lattice.regular(Shape(9, 9), 1.0), 1.0, 0.0, 0, None, 1, 'ddim', 1.0, 0.0, 32, '')\n"
        "canvas = Canvas(spec, lambda folder: None, sigma_px=1.0, channel_names=('a',), workdir=Path(sys.argv[1]))\n"
        "(canvas._folder / 'state.raw').touch()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def largest_file(size):
    """No file may grow beyond `size` bytes, as on a disk that is full; Python ignores SIGXFSZ."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_is_an_output_error_and_leaves_no_file(make_canvas):
    canvas = make_canvas(**SMALL)
    with largest_file(60_000), pytest.raises(OutputError, match="scratch file"):
        canvas.render()
    assert files(canvas) == []
    canvas.render()


def test_a_folder_that_cannot_be_made_is_an_output_error(make_canvas, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="scratch folder"):
        make_canvas(workdir=tmp_path / "file" / "folder")


MEMORY = """
import sys
sys.path.insert(0, sys.argv[1])
from conftest import small_denoiser, small_info
from peak import peak_mib
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
denoiser = small_denoiser(grid_pitch=16.0)  # a coarse grid: its U-Net rightly grows with the canvas
pipeline = InfBrushPipeline(ModelBundle({"denoiser": denoiser}, small_info(denoiser), ""))
def peak(side):
    canvas = pipeline(size=(side, side), num_inference_steps=1, tile=64, engine="joint")
    make = canvas.reader._engine
    canvas.reader._engine = lambda folder: make(folder, keep_bytes=int(sys.argv[2]))
    canvas.render()
    return peak_mib()
peak(256)
print(peak(256), peak(1024))
"""


@pytest.mark.slow
def test_memory_follows_the_tile_and_not_the_canvas():
    def growth(keep_bytes):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(Path(__file__).parents[1]), str(keep_bytes)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        small, large = map(float, done.stdout.split())
        return large - small

    # From 256² to 1024² one state of three bands grows by 11 MiB, and there are three; the features by hundreds.
    assert growth(0) < 8
    assert growth(1 << 30) > 60
