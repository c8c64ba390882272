"""One thread computes, the others share its value or its error."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from infbrush_wsi.canvas.once import Once


def race(once, compute, threads=6):
    """Let threads ask at once; compute is entered only when all have started."""
    started = threading.Barrier(threads)
    calls = []

    def work():
        calls.append(threading.get_ident())
        return compute(len(calls))

    def ask(_):
        started.wait()
        try:
            return once.get(work)
        except KeyError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, range(threads))), calls


def test_the_value_is_computed_once():
    once = Once()
    assert not once.done
    release = threading.Timer(0.2, lambda: None)
    release.start()
    found, calls = race(once, lambda number: release.join() or f"value {number}")
    assert found == ["value 1"] * 6
    assert len(calls) == 1
    assert once.done
    assert once.get(lambda: "another") == "value 1"


def test_threads_that_wait_get_the_error_and_a_later_request_tries_anew():
    once = Once()
    release = threading.Timer(0.5, lambda: None)
    release.start()

    def fail(number):
        release.join()
        raise KeyError(number)

    found, calls = race(once, fail)
    assert len(calls) == 1
    assert [error.args for error in found] == [(1,)] * 6
    assert not once.done
    assert once.get(lambda: "now") == "now"


def test_a_failure_keeps_nothing_alive():
    class Owner:
        def __init__(self):
            self.once = Once()

        def fail(self):
            raise KeyError

    owner = Owner()
    reference = weakref.ref(owner)
    gc.disable()
    try:
        with pytest.raises(KeyError) as caught:
            owner.once.get(owner.fail)
        del owner, caught
        assert reference() is None
    finally:
        gc.enable()
