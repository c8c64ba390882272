"""Generate many images side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sized

from infbrush_wsi.fields._threads import run_parts

Progress = Callable[[int, int], None]


def make_all(items: Sized, keep: Callable[[int], object], progress: Progress | None) -> None:
    """Call `keep` with every index, on as many threads as there are processors, and count.

    Args:
        items: what is made.
        keep: generates an item and puts it where it belongs.
        progress: called with (images done, images in all), one call at a time.
    """
    lock, done = threading.Lock(), 0

    def make(index: int) -> None:
        nonlocal done
        keep(index)
        with lock:
            done += 1
            if progress is not None:
                progress(done, len(items))

    run_parts(make, range(len(items)), None)
