"""Folders of temporary files: gone with their owner, and soon after a process that was killed."""

import gc
import os
import signal

from infbrush_wsi.writers import scratch
from infbrush_wsi.writers.scratch import scratch_folder


class Owner:
    pass


def fill(folder):
    (folder / "tiles").mkdir()
    (folder / "tiles" / "a.npy").write_bytes(b"0" * 100)


def test_a_folder_goes_with_its_owner(tmp_path):
    owner = Owner()
    folder = scratch_folder(owner, "infbrush-x-", tmp_path)
    fill(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    process = os.fork()
    if not process:
        del owner
        gc.collect()
        os._exit(0)
    os.waitpid(process, 0)
    assert folder.is_dir()  # it was not the child's
    del owner
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_the_next_call_removes_what_killed_processes_left_and_nothing_else(tmp_path):
    living = Owner()
    kept = {scratch_folder(living, "infbrush-x-", tmp_path), tmp_path / "infbrush-x-of-an-older-version"}
    (tmp_path / "infbrush-x-of-an-older-version").mkdir()
    for _ in range(3):
        process = os.fork()
        if not process:
            owner = Owner()
            fill(scratch_folder(owner, "infbrush-x-", tmp_path))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(process, 0)
        left = {path for path in tmp_path.iterdir() if path.is_dir()}
        assert len(left) == 3  # each process has removed what the one before left
        assert kept < left
    other = Owner()
    kept.add(scratch_folder(other, "infbrush-x-", tmp_path))
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == kept
    assert len(list(tmp_path.glob("*.lock"))) == 2


def test_without_locks_there_is_a_folder_all_the_same_and_nothing_is_removed(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(scratch.fcntl, "flock", unknown)
    owner, other = Owner(), Owner()
    folders = [scratch_folder(each, "infbrush-x-", tmp_path) for each in (owner, other)]
    assert sorted(tmp_path.iterdir()) == sorted(folders)
    del owner, other
    gc.collect()
    assert list(tmp_path.iterdir()) == []
