"""`infbrush demo`."""

from __future__ import annotations

from infbrush_wsi.cli.console import examples

EPILOG = examples("infbrush demo --out demo_out")


def demo() -> None:
    """Demo."""
