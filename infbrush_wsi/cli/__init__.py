"""The `infbrush` command: one file a command. Heavy libraries are imported when a command runs."""

from __future__ import annotations

from infbrush_wsi._process import prepare_process

prepare_process()

from infbrush_wsi.cli.app import app  # noqa: E402 (torch reads the settings when it is imported)

__all__ = ["app"]
