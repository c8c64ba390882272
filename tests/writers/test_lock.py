"""One writer at a time, by a lock that ends with its process."""

import os
import signal
import time

import pytest

from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers.lock import sole_writer


def child(work):
    """Fork a process that does something and waits to be killed; its number, when it is done."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        try:
            work(writing)
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    return process, reading


def hold_and_fork(folder):
    """Take the lock, and have a child that outlives this process."""

    def work(writing):
        with sole_writer(folder, ".lock"):
            orphan = os.fork()
            if not orphan:
                time.sleep(60)
                os._exit(0)
            os.write(writing, b"%d\n" % orphan)
            signal.pause()

    return work


def test_a_lock_ends_with_the_process_that_took_it_though_its_children_live(tmp_path):
    process, reading = child(hold_and_fork(tmp_path / "run"))
    orphan = int(os.read(reading, 20))
    try:
        with (
            pytest.raises(OutputError, match="being written by another process"),
            sole_writer(tmp_path / "run", ".lock"),
        ):
            pass
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.kill(orphan, 0)  # it lives
        with sole_writer(tmp_path / "run", ".lock"):
            assert (tmp_path / "run" / ".lock").is_file()
    finally:
        os.kill(orphan, signal.SIGKILL)
        os.close(reading)


def test_a_child_that_leaves_the_block_does_not_unlock(tmp_path):
    with sole_writer(tmp_path / "run"):
        process = os.fork()
        if not process:
            os._exit(_leave())
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        with pytest.raises(OutputError, match="another process"), sole_writer(tmp_path / "run"):
            pass


def _leave():
    """As if a child had run to the end of the block of its parent."""
    from infbrush_wsi.writers import lock

    return 0 if not lock._HELD else 1
