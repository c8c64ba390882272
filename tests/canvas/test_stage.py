"""The chain of coarser canvases behind a large one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.canvas.spec import CanvasSpec
from infbrush_wsi.canvas.stage import LARGEST_STEP, TOP_SIDE, make_stages
from infbrush_wsi.domain import Lattice, Shape


def spec_of(shape, ratio=1.0, **changes):
    facts = {
        "lattice": Lattice.regular(shape, 0.5 / ratio),
        "ratio": ratio,
        "log_magnification": 0.0,
        "seed": 0,
        "condition": None,
        "steps": 2,
        "scheduler": "ddim",
        "guidance_scale": 1.0,
        "eta": 0.0,
        "tile": 32,
        "weights_sha256": "",
    }
    return CanvasSpec(**facts | changes)


@st.composite
def chains(draw, most=30_000):
    shape = Shape(draw(st.integers(1, most)), draw(st.integers(1, most)))
    ratio = draw(st.sampled_from([0.37, 0.5, 1.0, 2.0]))
    spacings = draw(st.sampled_from([(0.5,), (0.5, 1.0, 2.0), (0.5, 2.0), (0.5, 0.6)]))
    frame = draw(st.sampled_from([None, 64, 128]))
    coarse = draw(st.booleans())
    spec = spec_of(shape, ratio, frame=frame, coarse=coarse)
    pitch = draw(st.sampled_from([4.0, 4.7, 16.0]))
    return spec, make_stages(spec, 0.5, spacings, pitch, 32), spacings, pitch


@settings(deadline=None, max_examples=150)
@given(chain=chains())
def test_a_chain_begins_with_the_canvas_and_ends_with_one_frame(chain):
    spec, stages, spacings, pitch = chain
    assert [stage.number for stage in stages] == list(range(len(stages)))
    assert stages[0].factor == 1.0
    assert stages[0].extent == (spec.shape.h / spec.ratio, spec.shape.w / spec.ratio)
    if not spec.coarse:
        assert len(stages) == 1
    else:
        assert stages[-1].frames.count == 1
        assert len(stages) == 1 or max(stages[-1].extent) <= TOP_SIDE * (1 + 1e-9)
    trained = [spacing / 0.5 for spacing in spacings]
    for fine, coarse in itertools.pairwise(stages):
        step = coarse.factor / fine.factor
        assert step > 1.5
        assert coarse.factor in trained or step <= 2**LARGEST_STEP + 1e-9
    for stage in stages:
        assert stage.unit * stage.extent[1] == pytest.approx(0.5 * stages[0].extent[1])
        assert any(math.isclose(2**stage.log_magnification, value) for value in trained)
        for nodes, length in zip(stage.frames.nodes.as_tuple(), stage.extent, strict=True):
            assert nodes * pitch >= length - 1e-6


@settings(deadline=None, max_examples=150)
@given(chain=chains())
def test_cells_of_the_guidance_are_whole_nodes_of_the_same_frames(chain):
    stages = chain[1]
    assert stages[-1].guide_nodes == 0
    for stage in stages[:-1]:
        m, frames, cells = stage.guide_nodes, stage.frames, stage.guide_frames
        assert m >= 1
        assert (frames.nodes.h % m, frames.nodes.w % m) == (0, 0)
        assert cells.shape == frames.shape
        for frame in {(0, 0), (frames.shape.h - 1, 0), (frames.shape.h - 1, frames.shape.w - 1)}:
            box, coarse = frames.box(frame), cells.box(frame)
            assert (box.x0, box.y0, box.w, box.h) == (m * coarse.x0, m * coarse.y0, m * coarse.w, m * coarse.h)
        assert stage.guide_grid.pitch == m * stage.pitch


@settings(deadline=None, max_examples=40)
@given(chain=chains(most=700))
def test_the_pixels_of_the_frames_cover_the_canvas_in_the_order_of_the_frames(chain):
    for stage in chain[1]:
        seen = np.zeros(stage.pixels.as_tuple(), bool)
        for frame in itertools.product(range(stage.frames.shape.h), range(stage.frames.shape.w)):
            box = stage.frame_pixels(frame)
            assert not box.empty
            seen[box.slices] = True
        assert seen.all()
        assert all(
            pixels >= length - 1e-6 for pixels, length in zip(stage.pixels.as_tuple(), stage.extent, strict=True)
        )


@pytest.mark.parametrize(
    ("shape", "frame", "stages"),
    [
        (Shape(1536, 1536), None, 1),
        (Shape(1536, 1537), None, 2),
        (Shape(64, 6144), None, 1),
        (Shape(64, 6145), None, 3),
        (Shape(100, 60), 128, 1),
        (Shape(129, 60), 128, 2),
        (Shape(100_000, 100_000), None, 4),
    ],
)
def test_small_canvases_are_one_stage_and_larger_ones_have_a_coarser_one(shape, frame, stages):
    chain = make_stages(spec_of(shape, frame=frame), 0.5, (0.5,), 4.0, 32)
    assert len(chain) == stages
    assert chain[-1].frames.count == 1
    assert chain[0].frames.count == 1 or stages > 1


def test_coarser_models_are_stages_of_their_own():
    chain = make_stages(spec_of(Shape(40_000, 30_000)), 0.5, (0.5, 2.0), 4.0, 32)
    assert [stage.factor for stage in chain] == [1.0, 4.0, 32.0, 128.0]
    assert [stage.log_magnification for stage in chain] == [0.0, 2.0, 2.0, 2.0]
