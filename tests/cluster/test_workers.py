"""Workers of a cluster: threads and processes, prepared and not, with the model and without."""

import os
import pickle
import shutil
import sys

import dask
import numpy as np
import pytest

from infbrush_wsi.errors import CheckpointError, ConfigError, PlanError

distributed = pytest.importorskip("distributed")

from infbrush_wsi.pipelines.worker import prepare_cluster  # noqa: E402 (it needs distributed)


def processes(count):
    return distributed.LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=":0")


@pytest.fixture(scope="module")
def cluster():
    """One process, as one on another machine would be."""
    with processes(1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def canvas(pipeline, killed):
    return killed["make"](pipeline)


def facts():
    """What is set and loaded in a worker."""
    import numba
    import torch

    from infbrush_wsi.pipelines import recipe

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    return {
        "threads": (torch.get_num_threads(), numba.get_num_threads()),
        "environment": {name: os.environ.get(name) for name in names},
        "loads": recipe._pipeline.cache_info().misses,
        "canvases": len(recipe._CANVASES),
    }


def loaded():
    return sorted({"torch", "numba"} & set(sys.modules))


def test_a_worker_process_loads_the_model_once_and_keeps_to_its_thread(client, canvas, killed, whole, tmp_path, tree):
    assert client.run(loaded) == {address: [] for address in client.run(os.getpid)}
    prepare_cluster(client, canvas, tmp_path / "x.plan.safetensors")
    killed["write"](canvas, tmp_path / "x.ome.zarr", resume=True)
    (found,) = client.run(facts).values()
    assert found["threads"] == (1, 1)
    assert {found["environment"][name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {"1"}
    assert found["environment"]["GOMP_SPINCOUNT"] or found["environment"]["OMP_WAIT_POLICY"]
    assert (found["loads"], found["canvases"]) == (1, 1)
    assert tree(tmp_path / "x.ome.zarr") == tree(whole)
    prepare_cluster(client, canvas)  # again: nothing is loaded again
    assert next(iter(client.run(facts).values()))["loads"] == 1


def test_a_worker_that_finds_no_model_says_so(client, killed, saved, tmp_path):
    from infbrush_wsi import InfBrushPipeline

    shutil.copytree(saved, tmp_path / "model")
    canvas = killed["make"](InfBrushPipeline.from_pretrained(tmp_path / "model"))
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"no model directory .*/model on this machine.*shared disk"):
        prepare_cluster(client, canvas)


def test_a_worker_that_finds_another_model_says_so(client, killed, saved, make_pipeline, tmp_path):
    from infbrush_wsi import InfBrushPipeline

    shutil.copytree(saved, tmp_path / "model")
    canvas = killed["make"](InfBrushPipeline.from_pretrained(tmp_path / "model"))
    shutil.rmtree(tmp_path / "model")
    make_pipeline(seed=1).save_pretrained(tmp_path / "model")
    with pytest.raises(PlanError, match=r"the model in .*/model gives another image"):
        prepare_cluster(client, canvas)


def test_a_plan_of_another_canvas_is_refused_before_any_worker_is_asked(client, pipeline, killed, canvas, tmp_path):
    other = pipeline("Normal", (64, 64), num_inference_steps=2).save_plan(tmp_path / "x.plan.safetensors")
    with pytest.raises(PlanError, match="belongs to another canvas"):
        prepare_cluster(client, canvas, other)


def test_a_process_that_was_not_prepared_says_what_to_do(client, canvas):
    prepare_cluster(client, canvas)
    lazy = canvas.to_dask(1)
    (name,) = (plugin for plugin in client.run(_plugins)[next(iter(client.run(os.getpid)))] if "infbrush" in plugin)
    client.unregister_worker_plugin(name)
    with pytest.raises(PlanError, match="prepare_cluster"):
        lazy.compute()
    prepare_cluster(client, canvas)
    np.testing.assert_array_equal(lazy.compute(), np.asarray(canvas.level_array(1)))


def _plugins(dask_worker):
    return list(dask_worker.plugins)


def test_what_travels_is_small_and_opens_nothing(client, canvas):
    prepare_cluster(client, canvas)
    data = pickle.dumps(canvas.level_array(0))
    assert len(data) < 400
    level = pickle.loads(data)
    assert (level.shape, level.dtype, level.ndim) == ((120, 300, 3), np.uint8, 3)
    np.testing.assert_array_equal(level[3:9, 5:8], canvas.level_array(0)[3:9, 5:8])


def test_threads_of_this_process_use_the_canvas_itself(canvas, pipeline, killed, whole, tree, tmp_path):
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        prepare_cluster(client, canvas)
        read = canvas.reader.plan
        assert not read.has(read.stages[-1], (0, 0))
        killed["write"](canvas, tmp_path / "x.ome.zarr", resume=False)
        assert read.has(read.stages[-1], (0, 0))
    assert tree(tmp_path / "x.ome.zarr") == tree(whole)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_threads_gives_the_same_bytes(canvas, killed, whole, tree, tmp_path, workers):
    with dask.config.set(scheduler="threads", num_workers=workers):
        killed["write"](canvas, tmp_path / "x.ome.zarr", resume=False)
    assert tree(tmp_path / "x.ome.zarr") == tree(whole)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_processes_gives_the_same_bytes(canvas, killed, whole, tree, tmp_path, workers):
    with processes(workers) as cluster, distributed.Client(cluster) as client:
        prepare_cluster(client, canvas)
        killed["write"](canvas, tmp_path / "x.ome.zarr", resume=False)
        ranks = client.run(os.getpid)
    assert len(set(ranks.values())) == workers
    assert tree(tmp_path / "x.ome.zarr") == tree(whole)


def test_the_joint_engine_is_refused(client, pipeline):
    with pytest.raises(ConfigError, match="one process"):
        prepare_cluster(client, pipeline("Normal", (64, 64), num_inference_steps=1, engine="joint"))
