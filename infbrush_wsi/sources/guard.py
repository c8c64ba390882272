"""Errors of the libraries below as errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from infbrush_wsi.errors import CorruptSourceError, InfbrushError, SourceTooLargeError


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn what a library raises into an error of this package.

    Raises:
        CorruptSourceError: for anything but errors of this package.
        SourceTooLargeError: if memory ran out.
    """
    try:
        yield
    except InfbrushError:
        raise
    except MemoryError as error:
        raise SourceTooLargeError(
            f"{what}: it does not fit in memory ({error}); use coarser levels or parts"
        ) from error
    except Exception as error:
        raise CorruptSourceError(f"{what}: {type(error).__name__}: {error}") from error
