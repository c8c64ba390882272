"""The `infbrush` command: one file a command. Heavy libraries are imported when a command runs."""

from __future__ import annotations

import os

# Has to be set before torch is imported. libgomp's threads spin while they wait for each other, and as soon as any
# other process uses a core, they burn the time slices of those that have work: training then is several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from infbrush_wsi._process import keep_freed_memory
from infbrush_wsi.cli.app import app

keep_freed_memory()

__all__ = ["app"]
