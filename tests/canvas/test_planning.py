"""Planning while others plan: progress, and threads that do not wait for each other where there is other work."""

import os
import threading
import time

import pytest
import torch

from infbrush_wsi.canvas import plan as plan_module
from infbrush_wsi.canvas.state_bytes import to_tensors

CALL = {"condition": "Invasive", "seed": 5, "num_inference_steps": 3}


@pytest.fixture
def canvas(make_pipeline):
    return make_pipeline()(**CALL, size=(150, 100), frame=32)


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.005)


def test_planning_tells_every_step_once(make_pipeline):
    canvas, told = make_pipeline()(**CALL, size=(72, 64)), []
    canvas.render(lambda done, total: told.append((done, total)))
    canvas.render(lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_frame_that_another_thread_computes_is_waited_for_last(canvas):
    plan = canvas.reader.plan
    stage, first, second = plan.stages[0], (0, 0), (1, 1)
    begun, go_on = threading.Event(), threading.Event()

    def hold(done, total):
        begun.set()
        assert go_on.wait(30)

    found = []
    slow = threading.Thread(target=plan.state, args=(stage, first, hold))
    both = threading.Thread(target=lambda: found.extend(plan.states(stage, [first, second])))
    slow.start()
    assert begun.wait(30)
    both.start()
    try:
        wait_for(lambda: plan.has(stage, second))
        assert not plan.has(stage, first)
    finally:
        go_on.set()
        slow.join(30)
        both.join(30)
    for state, frame in zip(found, (first, second), strict=True):
        own = to_tensors(plan.state(stage, frame))
        assert all(torch.equal(tensor, own[name]) for name, tensor in to_tensors(state).items())
    assert len(found) == 2


@pytest.mark.skipif(os.name == "nt", reason="no file modes")
def test_a_saved_plan_may_be_read_by_whom_the_folder_allows(canvas, tmp_path):
    path = canvas.save_plan(tmp_path / "a.plan.safetensors")
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.fixture
def counted(canvas, monkeypatch):
    """The canvas, and the frames that are run, with the threads that ran them."""
    runs, plan = [], canvas.reader.plan
    run = plan.run

    def noting(generator, stage, frame, progress=None):
        runs.append(((stage.number, *frame), threading.current_thread().name))
        return run(generator, stage, frame, progress)

    monkeypatch.setattr(plan, "run", noting)
    return canvas, runs


def test_a_window_runs_each_frame_that_its_tiles_need_once(counted, make_pipeline):
    canvas, runs = counted
    window = canvas.read_region((60, 20), 0, (50, 40))
    before = len(runs)
    canvas.reader.forget_tiles()
    again = canvas.read_region((60, 20), 0, (50, 40))
    frames = [frame for frame, _ in runs]
    assert 1 < before == len(runs) == len(set(frames))
    assert (window == again).all()
    lonely = make_pipeline()(**CALL, size=(150, 100), frame=32)
    lonely.reader.plan.prepare = lambda *_: None  # every tile plans for itself
    assert (lonely.read_region((60, 20), 0, (50, 40)) == window).all()


def test_frames_that_would_not_stay_in_memory_are_left_to_the_tiles(counted, monkeypatch):
    canvas, runs = counted
    monkeypatch.setattr(plan_module, "default_threads", lambda: 2)
    plan, stage = canvas.reader.plan, canvas.reader.stages[0]
    whole = [stage.frames.box((i, j)) for i in range(stage.frames.shape.h) for j in range(stage.frames.shape.w)]
    plan._cache.memory = 1
    plan.prepare(stage, whole)
    assert [frame for frame, _ in runs] == [(canvas.reader.stages[-1].number, 0, 0)]  # it tells how large they are
    plan._cache.memory = 1 << 30
    plan.prepare(stage, whole)
    assert len(runs) == sum(s.frames.count for s in canvas.reader.stages)
