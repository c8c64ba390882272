"""Slow and failing disks, and clusters that go away, in a rendering: one error, and the next call goes on."""

from __future__ import annotations

import asyncio
import errno
import itertools
import random

import pytest
from zarr.storage import LocalStore

from infbrush_wsi.errors import OutputError, PlanError
from infbrush_wsi.writers import partial_folder

distributed = pytest.importorskip("distributed")

from infbrush_wsi.pipelines.worker import prepare_cluster  # noqa: E402 (it needs distributed)


def disturbed(monkeypatch, disturb):
    """Let every write of a chunk be preceded by something."""
    write = LocalStore.set

    async def set_after(self, key, value):
        if "/c/" in key:
            await disturb(key)
        await write(self, key, value)

    monkeypatch.setattr(LocalStore, "set", set_after)


def test_a_store_that_fails_now_and_then_is_told_each_time_and_completed_in_the_end(
    pipeline, killed, whole, tree, tmp_path, monkeypatch
):
    count, target, told = itertools.count(1), tmp_path / "x.ome.zarr", []

    async def fail(key):
        if next(count) in (6, 15):
            raise OSError(errno.EIO, "Input/output error", key)

    disturbed(monkeypatch, fail)
    canvas = killed["make"](pipeline)
    while not target.exists():
        try:
            killed["write"](canvas, target, resume=True)
        except OutputError as error:
            told.append(str(error))
        assert len(told) <= 2
    assert len(told) == 2
    assert all("Input/output error" in text and "resume to go on" in text for text in told)
    assert tree(target) == tree(whole)


def test_a_slow_store_changes_no_byte(pipeline, killed, whole, tree, tmp_path, monkeypatch):
    rng = random.Random(0)

    async def wait(key):
        await asyncio.sleep(rng.uniform(0, 0.02))

    disturbed(monkeypatch, wait)
    killed["write"](killed["make"](pipeline), tmp_path / "x.ome.zarr", resume=False)
    assert tree(tmp_path / "x.ome.zarr") == tree(whole)


@pytest.mark.parametrize("how", ["restarted", "closed"])
def test_a_cluster_that_goes_away_is_told_and_the_next_call_goes_on(pipeline, killed, whole, tree, tmp_path, how):
    target, canvas, calls = tmp_path / "x.ome.zarr", killed["make"](pipeline), []
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    client = distributed.Client(cluster)

    def tell(done, total):
        calls.append(done)
        if len(calls) == 6:
            client.restart(wait_for_workers=False) if how == "restarted" else cluster.close()

    try:
        prepare_cluster(client, canvas)
        with pytest.raises(OutputError) as caught:
            killed["write"](canvas, target, progress=tell, resume=True)
        assert "resume to go on" in " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    finally:
        client.close()
        cluster.close()
    assert not target.exists()
    calls.clear()
    killed["write"](killed["make"](pipeline), target, progress=lambda done, total: calls.append(done), resume=True)
    assert calls[0] >= 5
    assert tree(target) == tree(whole)


def test_plan_and_unfinished_image_of_another_model_are_refused(pipeline, killed, make_pipeline, tmp_path):
    other, target = make_pipeline(seed=1), tmp_path / "x.ome.zarr"
    plan = killed["make"](other).save_plan(tmp_path / "other.plan.safetensors")
    canvas = killed["make"](pipeline)
    with pytest.raises(PlanError, match=r"other\.plan\.safetensors belongs to another canvas: model"):
        canvas.load_plan(plan)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed["write"](killed["make"](other), target, progress=stop, resume=True)
    before = sorted(partial_folder(target).rglob("*"))
    with pytest.raises(OutputError, match=r"holds an unfinished write of .* of other pixels"):
        killed["write"](canvas, target, resume=True)
    assert sorted(partial_folder(target).rglob("*")) == before
