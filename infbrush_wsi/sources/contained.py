"""Zarr stores that are read without leaving their folder, whatever links lie in it."""

from __future__ import annotations

import os
import stat
from typing import Any

import zarr
from zarr.storage import LocalStore

from infbrush_wsi.errors import CorruptSourceError
from infbrush_wsi.sources.inflated import inflated_bytes
from infbrush_wsi.sources.plausible import MAX_CHUNK_BYTES

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


class ContainedStore(LocalStore):
    """A local store that reads plain files inside its folder only.

    A store that somebody else has made may hold links to files that are not theirs to publish, or to a device or a
    pipe that never ends.
    """

    async def get(self, key: str, *arguments: Any, **named: Any) -> Any:
        """The bytes of a key.

        Raises:
            CorruptSourceError: if it leaves the store, or is a chunk that becomes too large.
        """
        self._check(key)
        return self._bounded(key, await super().get(key, *arguments, **named))

    def get_sync(self, key: str, *arguments: Any, **named: Any) -> Any:
        """As `get`."""
        self._check(key)
        return self._bounded(key, super().get_sync(key, *arguments, **named))

    def _bounded(self, key: str, found: Any) -> Any:
        """What was found, unless decoding it would take more memory than any chunk may."""
        if found is not None and not key.endswith(METADATA):
            size = inflated_bytes(found.to_bytes(), MAX_CHUNK_BYTES)
            if size > MAX_CHUNK_BYTES:
                raise CorruptSourceError(
                    f"{self.root} is not read: its {key!r} would become {size} bytes or more, and no chunk may become "
                    f"more than {MAX_CHUNK_BYTES}"
                )
        return found

    def _check(self, key: str) -> None:
        root = os.path.realpath(self.root)
        path = os.path.realpath(os.path.join(root, key))  # noqa: PTH118 (asked for every chunk)
        if not path.startswith(f"{root.rstrip(os.sep)}{os.sep}"):
            raise CorruptSourceError(
                f"{self.root} is not read: its {key!r} is a link to something outside of the store; if that is meant, "
                "copy the store with its links followed (cp -rL)"
            )
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116
        except OSError:
            return  # what is not there is what Zarr takes for empty
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise CorruptSourceError(
                f"{self.root} is not read: its {key!r} is no file but a device or a pipe; remove it"
            )


def open_contained(path: str, **how: Any) -> zarr.Group:
    """The root group of a store, for reading; of a local one nothing outside of its folder is read.

    Args:
        path: folder of the store, or its URL.
        **how: of `zarr.open_group`.

    Raises:
        Exception: whatever Zarr raises; here or when a chunk is read CorruptSourceError for what leaves the store.
    """
    if "://" in path:
        return zarr.open_group(path, mode="r", **how)
    return zarr.open_group(ContainedStore(path, read_only=True), mode="r", **how)
